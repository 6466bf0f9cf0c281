"""Rows, states and sweeps in one folder, on disk or in a bucket, through pyarrow.fs.

    format.json      the layout's version
    sweeps/          NAME.json: what each sweep was last asked for
    speeds/          NAME.json: how fast workers of a kind were measured to be
    rows/            KEY-DIGEST.parquet: measured rows
    states/          KEY-DIGEST.safetensors: weights, biases, optimizer moments
    rolling/         the same, of stretches that are not finished
    set_aside/       corrupt files, as they were found

Every file appears whole, and the name of a data file holds a hash of its content: what
does not match its name is set aside and counts as missing. Files are only ever added or
deleted, so any number of drivers and workers may share a folder. Nothing is ever
unpickled.
"""

import hashlib
import io
import json
import logging
import posixpath
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

FORMAT = 1
ENDINGS = {
    "sweeps": ".json",
    "speeds": ".json",
    "rows": ".parquet",
    "states": ".safetensors",
    "rolling": ".safetensors",
}
"""Folders of a results folder, and how the files end that are ours."""
Tensors = dict[str, np.ndarray[Any, Any]]
T = TypeVar("T")

ROW_SCHEMA = pa.schema(
    [
        ("state_key", pa.string()),
        ("epoch", pa.int32()),
        ("step", pa.int64()),
        ("samples_seen", pa.int64()),
        ("train_loss", pa.float64()),
        ("train_accuracy", pa.float64()),
        ("test_loss", pa.float64()),
        ("test_accuracy", pa.float64()),
        ("weight_distance", pa.float64()),
        ("bias_distance", pa.float64()),
        ("weight_norm", pa.float64()),
        ("bias_norm", pa.float64()),
        # One item per layer, from the input to the output.
        ("layer_distance", pa.list_(pa.float64())),
        ("cosine_to_init", pa.list_(pa.float64())),
        ("seconds", pa.float64()),
        ("device", pa.string()),
        ("num_threads", pa.int32()),
        ("num_replicas", pa.int32()),
        ("torch_version", pa.string()),
        ("status", pa.string()),
    ]
)
ROW_BYTES = 300
"""Bytes of one row on disk, for estimates: measured in Parquet with 30 rows a file."""


@dataclass(frozen=True, kw_only=True)
class Store:
    """An open results folder; `uri` is absolute and opens it again in any process.

    `tell` hears of corrupt files.
    """

    uri: str
    filesystem: fs.FileSystem
    root: str
    tell: Callable[[str], None] = logging.getLogger("raybs").warning

    def write_record(self, folder: str, name: str, value: Mapping[str, Any]) -> None:
        """Replace what `<folder>/<name>.json` says; the folder: sweeps or speeds."""
        text = json.dumps(value, indent=1).encode()
        self._write(f"{folder}/{name}.json", text)

    def read_records(self, folder: str, parse: Callable[[Any], T]) -> dict[str, T]:
        """Return what `parse` makes of the records in `folder`, by name.

        What it raises an error for is set aside, as what is no JSON.
        """
        records = {}
        for name in self._list(folder):
            content = self._read(f"{folder}/{name}")
            try:
                value = json.loads(content or b"")
                records[name.removesuffix(".json")] = parse(value)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                self._set_aside(f"{folder}/{name}", f"is no record ({error})")
        return records

    def write_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add measured rows; the file is named after the last one."""
        if rows:
            table = pa.Table.from_pylist(list(rows), schema=ROW_SCHEMA)
            self._write_table(str(rows[-1]["state_key"]), table)

    def read_rows(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all rows, one per state key, with `columns` or all of them.

        Where two workers measured one key, the first file by name counts, so that every
        reader sees the same row.
        """
        schema = ROW_SCHEMA if columns is None else _subschema(columns)

        def parse(content: bytes) -> pa.Table:
            # Not pq.read_table, which imports pandas: 0.3 s of every start.
            file = pq.ParquetFile(io.BytesIO(content))
            table = file.read(columns=schema.names)
            return table.cast(schema)

        found: list[pa.Table | None] = [None]
        for _ in range(5):
            names = self._list("rows")
            with ThreadPoolExecutor(8) as pool:
                read = pool.map(
                    lambda name: self._read_checked(f"rows/{name}", parse), names
                )
                found = list(read)
            if None not in found:
                break  # else one was corrupt, or another driver merged it: look again
        found = [table for table in found if table is not None]
        table = pa.concat_tables(found) if found else schema.empty_table()
        keys = np.array(table["state_key"].to_pylist(), dtype=str)
        _, first = np.unique(keys, return_index=True)
        return table if len(first) == len(table) else table.take(np.sort(first))

    def read_statuses(self) -> dict[str, str]:
        """Return the status of every stored row by its state key."""
        rows = self.read_rows(["state_key", "status"]).to_pydict()
        return dict(zip(rows["state_key"], rows["status"], strict=True))

    def compact_rows(self) -> None:
        """Merge all row files into one.

        The merged file is there before the others go, so that no moment loses a row.
        """
        names = self._list("rows")
        if len(names) > 1:
            merged = self._write_table("all", self.read_rows())
            self.delete(f"rows/{name}" for name in names if name != merged)

    def write_state(
        self, key: str, tensors: Tensors, metadata: Mapping[str, int], *, rolling: bool
    ) -> str:
        """Write a state and return its path; a `rolling` one makes way for the next."""
        import safetensors.numpy

        # One entry: the library writes several in a random order, and equal states
        # should be equal files.
        content = safetensors.numpy.save(tensors, {"raybs": json.dumps(metadata)})
        folder = "rolling" if rolling else "states"
        path = f"{folder}/{key}-{_digest(content)}.safetensors"
        self._write(path, content)
        return path

    def read_state(self, key: str) -> tuple[Tensors, dict[str, int]] | None:
        """Return tensors and metadata of a state, or None if no sound file holds it."""
        import safetensors.numpy

        def parse(content: bytes) -> tuple[Tensors, dict[str, int]]:
            # The format: 8 bytes of length, then that much JSON, then the tensors.
            length = int.from_bytes(content[:8], "little")
            header = json.loads(content[8 : 8 + length])
            metadata = json.loads(header["__metadata__"]["raybs"])
            return safetensors.numpy.load(content), metadata

        for path in self.state_files().get(key, []):
            state = self._read_checked(path, parse)
            if state is not None:
                return state
        return None

    def state_files(self) -> dict[str, list[str]]:
        """Return the paths of all state files by state key, rolling ones last."""
        files: dict[str, list[str]] = {}
        for folder in ("states", "rolling"):
            for name in self._list(folder):
                files.setdefault(name.split("-")[0], []).append(f"{folder}/{name}")
        return files

    def delete(self, paths: Iterable[str]) -> None:
        """Delete files; one that is gone already is fine."""
        for path in paths:
            try:
                self.filesystem.delete_file(f"{self.root}/{path}")
            except FileNotFoundError:
                pass

    def sizes(self) -> dict[str, int]:
        """Return the bytes of all files by their paths."""
        return {
            f"{folder}/{info.base_name}": info.size or 0
            for folder in ENDINGS
            for info in self._infos(folder)
        }

    def leftovers(self) -> list[str]:
        """Return the paths of temporary files that killed writers left behind.

        One that is younger than an hour may belong to a writer that lives.
        """
        before = time.time() - 3600
        return [
            f"{folder}/{info.base_name}"
            for folder in ENDINGS
            for info in self._infos(folder)
            if info.base_name.endswith(".tmp") and info.mtime.timestamp() < before
        ]

    def _write_table(self, key: str, table: pa.Table) -> str:
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd", use_dictionary=["device"])
        name = f"{key}-{_digest(buffer.getvalue())}.parquet"
        self._write(f"rows/{name}", buffer.getvalue())
        return name

    def _read_checked(self, path: str, parse: Callable[[bytes], T]) -> T | None:
        content = self._read(path)
        if content is None:
            return None
        digest = posixpath.splitext(path)[0].rpartition("-")[2]
        if digest != _digest(content):
            self._set_aside(path, "is truncated or corrupt")
            return None
        try:
            return parse(content)
        except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
            self._set_aside(path, f"cannot be read ({error})")
            return None

    def _infos(self, folder: str) -> list[fs.FileInfo]:
        selector = fs.FileSelector(f"{self.root}/{folder}", allow_not_found=True)
        infos = self.filesystem.get_file_info(selector)
        return [info for info in infos if info.type == fs.FileType.File]

    def _list(self, folder: str) -> list[str]:
        ending = ENDINGS[folder]
        names = (info.base_name for info in self._infos(folder))
        return sorted(n for n in names if n.endswith(ending) and n[0] != ".")

    def _read(self, path: str) -> bytes | None:
        try:
            with self.filesystem.open_input_stream(f"{self.root}/{path}") as stream:
                content: bytes = stream.read()
                return content
        except FileNotFoundError:  # another driver merged or pruned it meanwhile
            return None

    def _write(self, path: str, content: bytes) -> None:
        target = f"{self.root}/{path}"
        # A bucket's put is atomic; on disk, write beside and rename.
        local = self.filesystem.type_name == "local"
        place = f"{target}.{uuid.uuid4().hex}.tmp" if local else target
        try:
            with self.filesystem.open_output_stream(place) as stream:
                stream.write(content)
            if local:
                self.filesystem.move(place, target)
        except OSError:
            if local:
                Path(place).unlink(missing_ok=True)
            raise

    def _set_aside(self, path: str, why: str) -> None:
        name, where = posixpath.basename(path), "moved to set_aside/"
        try:
            self.filesystem.create_dir(f"{self.root}/set_aside")
            self.filesystem.move(f"{self.root}/{path}", f"{self.root}/set_aside/{name}")
        except OSError as error:
            where = f"not moved to set_aside/ ({error})"
        self.tell(f"{self.uri}/{path} {why}: {where}; what it held counts as missing.")


def open_store(uri: str, *, create: bool = False, missing_ok: bool = False) -> Store:
    """Open the results folder at `uri`: a path, or an address such as s3://bucket.

    Where there is none, `create` makes one, and with `missing_ok` it reads as empty.

    Raises:
        ValueError: It does not exist (unless `create`), cannot be written, or was
            written by a newer raybs.
    """
    if not uri or re.match(r"[a-z0-9]+:/[^/]", uri):
        raise ValueError(f"{uri!r} is no results folder: give a path or scheme://path.")
    try:
        if "://" in uri:
            filesystem, root = fs.FileSystem.from_uri(uri)
            full = uri.rstrip("/")
        else:
            filesystem = fs.LocalFileSystem()
            full = root = str(Path(uri).expanduser().resolve())
        store = Store(uri=full, filesystem=filesystem, root=root.rstrip("/"))
        content = store._read("format.json")
        if content is None and not create and not missing_ok:
            raise ValueError(f"No results in {uri!r}: there is no format.json in it.")
        if content is not None:
            _check_format(uri, content)
        if create:
            # Also where there is one: git keeps no empty folders, and a folder that
            # cannot be written is better known before hours of work.
            for folder in ENDINGS:
                filesystem.create_dir(f"{store.root}/{folder}")
            store._write("format.json", json.dumps({"format": FORMAT}).encode())
    except (OSError, RuntimeError, pa.ArrowException) as error:
        raise ValueError(
            f"The results folder {uri!r} cannot be used: {error}"
        ) from None
    return store


def _check_format(uri: str, content: bytes) -> None:
    try:
        found = json.loads(content)["format"]
    except (ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ValueError(
            f"{uri!r} is no results folder: its format.json is unreadable."
        )
    if found > FORMAT:
        raise ValueError(
            f"{uri!r} has format {found}, this raybs reads up to {FORMAT}: upgrade it."
        )


def _subschema(columns: Sequence[str]) -> pa.Schema:
    return pa.schema([ROW_SCHEMA.field(name) for name in columns])


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
