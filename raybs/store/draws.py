"""Stored chunks of draws, folded: whatever chunks they came in, the same numbers.

A chunk counts whole or not at all, since its histogram belongs to all of its draws.
"""

from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from raybs.config.gradient_sweep import Pair
from raybs.store.rows import Provenance
from raybs.store.schemas import CHUNK_SCHEMA

PER_DRAW = [
    field.name
    for field in CHUNK_SCHEMA
    if pa.types.is_list(field.type) and field.name not in ("bin", "count")
]

WORKERS = tuple(Provenance.__annotations__)


def stored_pairs(table: pa.Table) -> dict[str, set[Pair]]:
    """Return the draws that chunks hold, by cell key."""
    pairs: dict[str, set[Pair]] = {}
    for row in _disjoint(table):
        pairs.setdefault(row["cell_key"], set()).update(_pairs(row))
    return pairs


def fold(table: pa.Table) -> pa.Table:
    """Merge chunks: each draw once, by pair, a row per cell and kind of worker.

    Chunks of other lengths, in whatever order, fold to the same numbers.
    """
    names = ("cell_key", *WORKERS)
    key = itemgetter(*names)
    rows = sorted(_disjoint(table), key=lambda row: tuple(map(str, key(row))))
    merged = []
    for values, group in groupby(rows, key):
        parts = list(group)
        pairs = [pair for part in parts for pair in _pairs(part)]
        order = sorted(range(len(pairs)), key=pairs.__getitem__)
        row: dict[str, Any] = dict(zip(names, values, strict=True))
        for name in PER_DRAW:
            items = [item for part in parts for item in part[name]]
            row[name] = [items[position] for position in order]
        bins = np.concatenate([np.array(part["bin"], np.int64) for part in parts])
        counts = np.concatenate([np.array(part["count"], np.int64) for part in parts])
        row["bin"], where = np.unique(bins, return_inverse=True)
        row["count"] = np.zeros(len(row["bin"]), np.int64)
        np.add.at(row["count"], where, counts)
        row["seconds"] = sum(part["seconds"] for part in parts)
        merged.append(row)
    return pa.Table.from_pylist(merged, schema=CHUNK_SCHEMA)


def _pairs(row: Mapping[str, Any]) -> list[Pair]:
    return list(zip(row["sample_set"], row["order"], strict=True))


def _disjoint(table: pa.Table) -> list[dict[str, Any]]:
    """Return the chunks that count: of those that share a draw, the longest.

    They do if two drivers with other plans worked at a time; then what is left of a
    chunk that does not count is missing, and is drawn again.
    """
    taken: dict[str, set[Pair]] = {}
    disjoint = []
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in sorted(rows, key=lambda row: (-len(row["order"]), row["sample_set"])):
        pairs = set(_pairs(row))
        have = taken.setdefault(row["cell_key"], set())
        if not have & pairs:
            have |= pairs
            disjoint.append(row)
    return disjoint
