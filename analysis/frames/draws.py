"""Tidy frames of stored draws, and their histograms; no altair here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, cast

import numpy as np
import pandas as pd

from analysis.commands import again, no_sweep
from raybs.config.gradient_sweep import Cell, GradientSweep, cells, is_independent
from raybs.config.status import Status
from raybs.store.draws import PER_DRAW, WORKERS, fold
from raybs.store.histogram import edges
from raybs.store.opening import Place, as_store
from raybs.store.records import record_from_json
from raybs.store.store import Store

NORMS = ("sample_weighted_norm", "summed_gradient_norm", "mean_gradient_norm")
"""The three ways of adding up."""

ARTICLES_NORM = "sample_weighted_norm"

GROUP = ["regime", "batch_size"]

HISTOGRAM = ["regime", "batch_size", "num_draws", "lower", "upper", "count"]

Array = np.ndarray[Any, Any]

Chunk = Mapping[str, Any]
"""A stored row of `CHUNK_SCHEMA`, folded: draws of one cell from one kind of worker."""


class CellRow(TypedDict):
    """The columns of `Draws.cells`, in their order."""

    regime: str
    batch_size: int
    asked: int
    stored: int
    independent: int
    diverged: int
    message: str


@dataclass(frozen=True, kw_only=True)
class Draws:
    """What `load_draws` returns.

    `draws`: one row per draw: regime, batch_size, sample_set, order, independent
    (neither of them shared), the columns of `raybs.gradients.draw`, num_steps, status,
    where it was drawn. `histogram`: one row per regime, batch_size and bin that is not
    empty: lower, upper, count, over all entries of sum n_k g_k of the num_draws
    complete, independent draws that are stored. `cells`: one row per regime and batch
    size: asked, stored (of these independent, diverged), message.
    """

    name: str
    title: str
    sweep: GradientSweep
    draws: pd.DataFrame
    histogram: pd.DataFrame
    cells: pd.DataFrame


def load_draws(results: Place | Store, name: str = "gradient_competition") -> Draws:
    """Assemble the draws that the gradient sweep `name` asks for, as far as stored.

    Raises:
        ValueError: It is no results folder, or holds no such gradient sweep.
    """
    store = as_store(results)
    title, sweep, failed, asked = _asked(store, name)
    stored: dict[str, list[Chunk]] = {}
    for row in fold(store.read_chunks()).to_pylist():
        stored.setdefault(row["cell_key"], []).append(row)
    frames = [_draws(cell, stored.get(cell.key, []), sweep) for cell in asked]
    histograms = [_histogram(cell, stored.get(cell.key, [])) for cell in asked]
    counted = [
        _counted(cell, frame, len(sweep.pairs), failed.get(cell.key, ""))
        for cell, frame in zip(asked, frames, strict=True)
    ]
    return Draws(
        name=name,
        title=title,
        sweep=sweep,
        draws=_joined_frames(frames),
        histogram=_joined_frames(histograms),
        cells=pd.DataFrame(counted),
    )


def load_gradients(
    results: Place | Store,
    regime: str,
    batch_size: int,
    name: str = "gradient_competition",
) -> Array:
    """Return what the draws of one cell add up to, sum n_k g_k, where it was kept.

    Shape: (draws, entries), float32: a row for every complete draw of the cell, in the
    order of `load_draws`; the entries are those of the layers' weights (out, in), one
    layer after the other.

    Raises:
        ValueError: Not all of them are kept: `--keep-gradients` was not asked for.
    """
    store = as_store(results)
    draws = load_draws(store, name).draws
    draws = draws[(draws["regime"] == regime) & (draws["batch_size"] == batch_size)]
    draws = draws[draws["status"] == Status.COMPLETE]
    pairs = list(zip(draws["sample_set"], draws["order"], strict=True))
    kept = {}
    for cell in _asked(store, name)[3]:
        if (cell.regime, cell.batch_size) == (regime, batch_size):
            kept = store.read_gradients(cell.key)
    if not pairs or not kept.keys() >= set(pairs):
        raise ValueError(
            f"{len(kept.keys() & set(pairs))} of the {len(pairs)} complete draws of "
            f"regime '{regime}' at batch size {batch_size} are kept; to keep all: "
            f"{again(name, '--keep-gradients')}"
        )
    return np.stack([kept[pair] for pair in pairs])


def complete(drawn: Draws) -> pd.DataFrame:
    """Return the independent draws that did not diverge."""
    draws = drawn.draws
    return draws[draws["independent"] & (draws["status"] == Status.COMPLETE)]


def cell_rows(drawn: Draws) -> list[CellRow]:
    """Return `Draws.cells` as rows."""
    return cast("list[CellRow]", drawn.cells.to_dict("records"))


def _joined_frames(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Join frames without the empty ones, whose columns are of no type."""
    held = [frame for frame in frames if len(frame)]
    return pd.concat(held or frames[:1], ignore_index=True)


def _asked(
    store: Store, name: str
) -> tuple[str, GradientSweep, dict[str, str], list[Cell]]:
    """Return title, sweep, failures by cell and cells of the gradient sweep `name`."""
    records = store.read_records("sweeps", record_from_json)
    known = [k for k, (sweep, _) in records.items() if isinstance(sweep, GradientSweep)]
    sweep, entries = records.get(name, (None, None))
    if entries is None or not isinstance(sweep, GradientSweep):
        raise no_sweep(name, known, store.uri)
    asked = cells(sweep, entries["fingerprints"], entries["trainer_version"])
    return entries["title"], sweep, entries["failed"], asked


def _draws(cell: Cell, rows: list[Chunk], sweep: GradientSweep) -> pd.DataFrame:
    """Return the draws of a cell that the sweep asks for, ordered by their pairs."""
    parts = [
        pd.DataFrame({name: row[name] for name in PER_DRAW}).assign(
            **{name: row[name] for name in WORKERS}
        )
        for row in rows
    ]
    frame = pd.concat(parts) if parts else pd.DataFrame(columns=[*PER_DRAW, *WORKERS])
    frame = frame.sort_values(PER_DRAW[:2], ignore_index=True)
    asked = pd.MultiIndex.from_tuples(sweep.pairs)
    frame = frame[pd.MultiIndex.from_frame(frame[PER_DRAW[:2]]).isin(asked)]
    own = (frame["sample_set"] == frame["order"]) & (
        frame["sample_set"] < sweep.num_draws
    )
    frame.insert(0, "regime", cell.regime)
    frame.insert(1, "batch_size", cell.batch_size)
    frame.insert(4, "independent", own.astype(bool))
    return frame


def _counted(cell: Cell, frame: pd.DataFrame, asked: int, message: str) -> CellRow:
    return {
        "regime": cell.regime,
        "batch_size": cell.batch_size,
        "asked": asked,
        "stored": len(frame),
        "independent": int(frame["independent"].sum()),
        "diverged": int((frame["status"] == Status.DIVERGED).sum()),
        "message": message,
    }


def _histogram(cell: Cell, rows: list[Chunk]) -> pd.DataFrame:
    none = np.array([], np.int64)
    bins = np.concatenate([none, *(np.array(row["bin"], np.int64) for row in rows)])
    counts = np.concatenate([none, *(np.array(row["count"], np.int64) for row in rows)])
    lower, upper = edges(bins)
    num_draws = sum(
        status == Status.COMPLETE and is_independent((number, order))
        for row in rows
        for number, order, status in zip(
            row["sample_set"], row["order"], row["status"], strict=True
        )
    )
    frame = pd.DataFrame({"lower": lower, "upper": upper, "count": counts})
    total = frame.groupby(["lower", "upper"])["count"].sum().reset_index()
    return total.assign(
        regime=cell.regime, batch_size=cell.batch_size, num_draws=num_draws
    )[HISTOGRAM]
