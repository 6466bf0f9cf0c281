"""Rows, states and sweeps in one folder, on disk or in a bucket, through pyarrow.fs.

    format.json      the layout's version
    sweeps/          NAME.json: what each sweep was last asked for
    networks/        KEY.json: what a network is like that is not the built-in MLP
    speeds/          NAME.json: how fast workers of a kind were measured to be
    rows/            KEY-DIGEST.parquet: measured rows
    draws/           KEY-DIGEST.parquet: draws of gradient sweeps, in chunks
    gradients/       KEY-DIGEST.safetensors: what draws add up to, where it is kept
    states/          KEY-DIGEST.safetensors: weights, biases, optimizer moments
    rolling/         the same, of stretches that are not finished
    probes/          files by which nodes see that they share this folder
    set_aside/       corrupt files, as they were found

Every file appears whole. The name of a data file holds a hash of its content, a record
one of its entries: what does not match is set aside and counts as missing. Files are
only ever added or deleted, so any number of drivers and workers may share a folder.
Nothing is ever unpickled.
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raybs.store.files import Files, T, brief
from raybs.store.records import sealed, unsealed
from raybs.store.rows import Row
from raybs.store.schemas import CHUNK_SCHEMA, ROW_SCHEMA
from raybs.store.tables import BROKEN, read_table
from raybs.store.tensors import MAX_HEADER, Tensors, from_bytes, metadata_of, to_bytes

SCHEMAS = {"rows": ROW_SCHEMA, "draws": CHUNK_SCHEMA}


@dataclass(frozen=True)
class Store:
    """An open results folder: its rows, draws, states and records, in `files`.

    Corrupt files are set aside, and what they held counts as missing. Every method
    raises StoreError where the folder cannot be read or written.
    """

    files: Files

    @property
    def uri(self) -> str:
        """Absolute; it opens the folder again in any process."""
        return self.files.uri

    def write_record(self, folder: str, name: str, value: Mapping[str, Any]) -> None:
        """Replace what `<folder>/<name>.json` says; in any folder of such."""
        text = json.dumps(sealed(name, value), indent=1).encode()
        self.files.write(f"{folder}/{name}.json", text)

    def read_records(self, folder: str, parse: Callable[[Any], T]) -> dict[str, T]:
        """Return what `parse` makes of the records in `folder`, by name.

        What it raises an error for is set aside, as what is no JSON, or has changed.
        """
        records = {}
        for file in self.files.names(folder):
            content = self.files.read(f"{folder}/{file}")
            if content is None:
                continue
            name = file.removesuffix(".json")
            try:
                records[name] = parse(unsealed(name, json.loads(content)))
            except BROKEN as error:
                why = f"is no record ({brief(error)})"
                self.files.set_aside(f"{folder}/{file}", why)
        return records

    def write_rows(self, rows: Sequence[Row]) -> None:
        """Add measured rows; the file is named after the last one."""
        if rows:
            table = pa.Table.from_pylist(list(rows), schema=ROW_SCHEMA)
            self._add_table("rows", rows[-1]["state_key"], table)

    def read_rows(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all rows, one per state key, with `columns` or all of them.

        Where two workers measured one key, the first file by name counts, so that every
        reader sees the same row.
        """
        table = self._read_tables("rows", columns)
        keys = np.array(table["state_key"].to_pylist(), dtype=str)
        _, first = np.unique(keys, return_index=True)
        return table if len(first) == len(table) else table.take(np.sort(first))

    def write_chunk(self, chunk: Mapping[str, Any]) -> None:
        """Add the draws of a chunk, and their histogram."""
        table = pa.Table.from_pylist([chunk], schema=CHUNK_SCHEMA)
        self._add_table("draws", str(chunk["cell_key"]), table)

    def read_chunks(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all chunks as they were written, with `columns` or all of them.

        The same draw may be in several (`raybs.store.draws.fold`).
        """
        return self._read_tables("draws", columns)

    def read_statuses(self) -> dict[str, str]:
        """Return the status of every stored row by its state key."""
        rows = self.read_rows(["state_key", "status"]).to_pydict()
        return dict(zip(rows["state_key"], rows["status"], strict=True))

    def compact_rows(self) -> None:
        """Merge all row files into one."""
        self._compact("rows", self.read_rows)

    def compact_chunks(self, fold: Callable[[pa.Table], pa.Table]) -> None:
        """Merge all files of draws into one, which holds what `fold` makes of them."""
        self._compact("draws", lambda: fold(self.read_chunks()))

    def write_state(
        self,
        key: str,
        tensors: Tensors,
        metadata: Mapping[str, float],
        *,
        rolling: bool,
    ) -> str:
        """Write a state and return its path; a `rolling` one makes way for the next."""
        folder = "rolling" if rolling else "states"
        return self.files.add(folder, key, to_bytes(tensors, metadata))

    def read_state(self, key: str) -> tuple[Tensors, dict[str, Any]] | None:
        """Return tensors and metadata of a state, or None if no sound file holds it."""
        for path in self.state_files().get(key, []):
            state = self.files.read_checked(path, from_bytes)
            if state is not None:
                return state
        return None

    def write_gradients(
        self, key: str, gradients: np.ndarray[Any, Any], pairs: Sequence[Sequence[int]]
    ) -> None:
        """Keep (draws, entries) of the draws `pairs` of the cell `key`."""
        metadata = {"pairs": list(map(list, pairs))}
        content = to_bytes({"gradients": gradients}, metadata)
        self.files.add("gradients", key, content)

    def read_gradients(self, key: str) -> dict[tuple[int, ...], np.ndarray[Any, Any]]:
        """Return (entries,) of every kept draw of the cell `key`, by its pair."""
        gradients: dict[tuple[int, ...], np.ndarray[Any, Any]] = {}
        for path in self.files.by_key("gradients").get(key, []):
            kept = self.files.read_checked(path, from_bytes)
            if kept is not None:
                tensors, metadata = kept
                pairs = map(tuple, metadata["pairs"])
                gradients |= zip(pairs, tensors["gradients"], strict=True)
        return gradients

    def kept_pairs(self) -> dict[str, set[tuple[int, ...]]]:
        """Return the draws whose gradients are kept, by cell, from the files' heads.

        A file that is not as long as its head says is set aside.
        """
        kept: dict[str, set[tuple[int, ...]]] = {}
        sizes = self.files.sizes()
        for key, paths in self.files.by_key("gradients").items():
            for path in paths:
                begun = self.files.read_head(path, MAX_HEADER)
                if begun is None:
                    continue
                length, content = begun
                try:
                    head = json.loads(content)
                    end = head["gradients"]["data_offsets"][1]
                    if sizes.get(path) != 8 + length + end:
                        raise ValueError("it is truncated")
                    pairs = set(map(tuple, metadata_of(head)["pairs"]))
                except BROKEN as error:
                    self.files.set_aside(path, f"cannot be read ({brief(error)})")
                else:
                    kept.setdefault(key, set()).update(pairs)
        return kept

    def state_files(self) -> dict[str, list[str]]:
        """Return the paths of all state files by state key, rolling ones last."""
        return self.files.by_key("states", "rolling")

    def _add_table(self, folder: str, key: str, table: pa.Table) -> str:
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd", use_dictionary=["device"])
        return self.files.add(folder, key, buffer.getvalue())

    def _read_tables(self, folder: str, columns: Sequence[str] | None) -> pa.Table:
        schema = SCHEMAS[folder]
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])

        def parse(content: bytes) -> pa.Table:
            return read_table(content, schema)

        tables: list[pa.Table | None] = [None]
        for _ in range(5):
            paths = [f"{folder}/{name}" for name in self.files.names(folder)]
            with ThreadPoolExecutor(8) as pool:
                read = partial(self.files.read_checked, parse=parse)
                tables = list(pool.map(read, paths))
            if None not in tables:
                break  # else one was corrupt, or another driver merged it: look again
        sound = [table for table in tables if table is not None]
        # schema.empty_table() would import pandas.
        return pa.concat_tables(sound or [pa.Table.from_batches([], schema)])

    def _compact(self, folder: str, read: Callable[[], pa.Table]) -> None:
        """Merge the files of a folder.

        The merged file is there before the others go, so that no moment loses a row.
        """
        paths = [f"{folder}/{name}" for name in self.files.names(folder)]
        if len(paths) > 1:
            merged = self._add_table(folder, "all", read())
            self.files.delete(path for path in paths if path != merged)
