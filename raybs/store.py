"""Rows, states and sweeps in one folder, on disk or in a bucket, through pyarrow.fs.

    format.json      the layout's version
    sweeps/          NAME.json: what each sweep was last asked for
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

import errno
import hashlib
import io
import json
import logging
import os
import posixpath
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from raybs.config.validation import any_of
from raybs.records import sealed, unsealed
from raybs.schemas import CHUNK_SCHEMA, ROW_SCHEMA
from raybs.tables import BROKEN, read_table

log = logging.getLogger("raybs")

FORMAT = 1
ENDINGS = {
    "sweeps": ".json",
    "speeds": ".json",
    "probes": ".json",
    "rows": ".parquet",
    "draws": ".parquet",
    "gradients": ".safetensors",
    "states": ".safetensors",
    "rolling": ".safetensors",
}
"""Folders of a results folder, and how the files end that are ours."""
SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "file")
"""Of addresses: what pyarrow reaches without other software."""
SECRET = "secret|key|sig=|token|@"
"""What an address would hold only to give access."""
MAX_HEADER = 2**24
"""Bytes of a tensor file's head: more is not ours."""
PATIENCE = 600.0
"""Seconds for which a store is tried again that cannot be reached."""
AWAY = {
    *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EHOSTDOWN),
    *(errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH),
    *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED),
}
"""Errors of a network file system that go by."""
BUCKET_AWAY = re.compile(
    "NETWORK_CONNECTION|SLOW_DOWN|THROTTLING|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|"
    "REQUEST_TIMEOUT|HTTP status 5|curlCode|UNAVAILABLE|DEADLINE_EXCEEDED"
)
"""The same, as pyarrow words them for S3 and Google Cloud Storage."""
SCHEMAS = {"rows": ROW_SCHEMA, "draws": CHUNK_SCHEMA}
Place = str | os.PathLike[str]
"""Where a results folder is: a path, or an address."""
Tensors = dict[str, np.ndarray[Any, Any]]
T = TypeVar("T")


class StoreError(OSError):
    """The results folder cannot be read or written; what it held is kept."""


@dataclass(frozen=True, kw_only=True)
class Store:
    """An open results folder; `uri` is absolute and opens it again in any process.

    `tell` hears of corrupt files, and of a store that cannot be reached: it is tried
    again for `patience` seconds. Whatever else fails is a StoreError at once.
    """

    uri: str
    filesystem: fs.FileSystem
    root: str
    tell: Callable[[str], None] = log.warning
    patience: float = PATIENCE

    def write_record(self, folder: str, name: str, value: Mapping[str, Any]) -> None:
        """Replace what `<folder>/<name>.json` says; in sweeps, speeds or probes."""
        text = json.dumps(sealed(name, value), indent=1).encode()
        self._write(f"{folder}/{name}.json", text)

    def read_records(self, folder: str, parse: Callable[[Any], T]) -> dict[str, T]:
        """Return what `parse` makes of the records in `folder`, by name.

        What it raises an error for is set aside, as what is no JSON, or has changed.
        """
        records = {}
        for file in self._list(folder):
            content = self._read(f"{folder}/{file}")
            if content is None:
                continue
            name = file.removesuffix(".json")
            try:
                records[name] = parse(unsealed(name, json.loads(content)))
            except BROKEN as error:
                self._set_aside(f"{folder}/{file}", f"is no record ({_brief(error)})")
        return records

    def holds(self, path: str) -> bool:
        """Tell whether there is such a file."""
        look = partial(self.filesystem.get_file_info, f"{self.root}/{path}")
        info = self._patiently(f"{path} cannot be looked for", look)
        return bool(info.type == fs.FileType.File)

    def write_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add measured rows; the file is named after the last one."""
        if rows:
            table = pa.Table.from_pylist(list(rows), schema=ROW_SCHEMA)
            self._write_table("rows", str(rows[-1]["state_key"]), table)

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
        self._write_table("draws", str(chunk["cell_key"]), table)

    def read_chunks(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all chunks as they were written, with `columns` or all of them.

        The same draw may be in several (`raybs.fold.fold`).
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
        return self._write_tensors(folder, key, tensors, metadata)

    def read_state(self, key: str) -> tuple[Tensors, dict[str, Any]] | None:
        """Return tensors and metadata of a state, or None if no sound file holds it."""
        for path in self.state_files().get(key, []):
            state = self._read_checked(path, _parse_tensors)
            if state is not None:
                return state
        return None

    def write_gradients(
        self, key: str, gradients: np.ndarray[Any, Any], pairs: Sequence[Sequence[int]]
    ) -> None:
        """Keep (draws, entries) of the draws `pairs` of the cell `key`."""
        self._write_tensors(
            "gradients",
            key,
            {"gradients": gradients},
            {"pairs": list(map(list, pairs))},
        )

    def read_gradients(self, key: str) -> dict[tuple[int, ...], np.ndarray[Any, Any]]:
        """Return (entries,) of every kept draw of the cell `key`, by its pair."""
        found: dict[tuple[int, ...], np.ndarray[Any, Any]] = {}
        for path in self._gradient_files().get(key, []):
            kept = self._read_checked(path, _parse_tensors)
            if kept is not None:
                tensors, metadata = kept
                pairs = map(tuple, metadata["pairs"])
                found |= zip(pairs, tensors["gradients"], strict=True)
        return found

    def kept_pairs(self) -> dict[str, set[tuple[int, ...]]]:
        """Return the draws whose gradients are kept, by cell, from the files' heads.

        A file that is not as long as its head says is set aside.
        """
        found: dict[str, set[tuple[int, ...]]] = {}
        sizes = self.sizes()
        for key, paths in self._gradient_files().items():
            for path in paths:
                try:
                    read = partial(self._read_head, path)
                    length, content = self._patiently(f"{path} cannot be read", read)
                except FileNotFoundError:
                    continue
                try:
                    head = json.loads(content)
                    end = head["gradients"]["data_offsets"][1]
                    if sizes.get(path) != 8 + length + end:
                        raise ValueError("it is truncated")
                    pairs = set(map(tuple, _metadata(head)["pairs"]))
                except BROKEN as error:
                    self._set_aside(path, f"cannot be read ({_brief(error)})")
                else:
                    found.setdefault(key, set()).update(pairs)
        return found

    def _read_head(self, path: str) -> tuple[int, bytes]:
        with self.filesystem.open_input_stream(f"{self.root}/{path}") as file:
            length = int.from_bytes(file.read(8), "little")
            return length, file.read(min(length, MAX_HEADER))

    def state_files(self) -> dict[str, list[str]]:
        """Return the paths of all state files by state key, rolling ones last."""
        return self._files("states", "rolling")

    def delete(self, paths: Iterable[str]) -> None:
        """Delete files; one that is gone already is fine."""
        for path in paths:
            target = f"{self.root}/{path}"
            delete = partial(self.filesystem.delete_file, target)
            try:
                self._patiently(f"{path} cannot be deleted", delete)
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
        """Return the paths of temporary files, and probes, of those that were killed.

        One that is younger than an hour may belong to a writer that lives.
        """
        before = time.time() - 3600
        return [
            f"{folder}/{info.base_name}"
            for folder in ENDINGS
            for info in self._infos(folder)
            if (info.base_name.endswith(".tmp") or folder == "probes")
            and info.mtime.timestamp() < before
        ]

    def _gradient_files(self) -> dict[str, list[str]]:
        return self._files("gradients")

    def _files(self, *folders: str) -> dict[str, list[str]]:
        """Return the paths of all files in `folders` by their keys."""
        files: dict[str, list[str]] = {}
        for folder in folders:
            for name in self._list(folder):
                files.setdefault(name.split("-")[0], []).append(f"{folder}/{name}")
        return files

    def _write_tensors(
        self, folder: str, key: str, tensors: Tensors, metadata: Mapping[str, Any]
    ) -> str:
        import safetensors.numpy

        # One entry: the library writes several in a random order, and what is equal
        # should be one file.
        content = safetensors.numpy.save(tensors, {"raybs": json.dumps(metadata)})
        path = f"{folder}/{key}-{_digest(content)}.safetensors"
        self._write(path, content)
        return path

    def _write_table(self, folder: str, key: str, table: pa.Table) -> str:
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd", use_dictionary=["device"])
        name = f"{key}-{_digest(buffer.getvalue())}.parquet"
        self._write(f"{folder}/{name}", buffer.getvalue())
        return name

    def _read_tables(self, folder: str, columns: Sequence[str] | None) -> pa.Table:
        schema = SCHEMAS[folder]
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])

        def parse(content: bytes) -> pa.Table:
            return read_table(content, schema)

        found: list[pa.Table | None] = [None]
        for _ in range(5):
            names = self._list(folder)
            with ThreadPoolExecutor(8) as pool:
                read = pool.map(
                    lambda name: self._read_checked(f"{folder}/{name}", parse), names
                )
                found = list(read)
            if None not in found:
                break  # else one was corrupt, or another driver merged it: look again
        found = [table for table in found if table is not None]
        return pa.concat_tables(found) if found else schema.empty_table()

    def _compact(self, folder: str, read: Callable[[], pa.Table]) -> None:
        """Merge the files of a folder.

        The merged file is there before the others go, so that no moment loses a row.
        """
        names = self._list(folder)
        if len(names) > 1:
            merged = self._write_table(folder, "all", read())
            self.delete(f"{folder}/{name}" for name in names if name != merged)

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
        except BROKEN as error:
            self._set_aside(path, f"cannot be read ({_brief(error)})")
            return None

    def _infos(self, folder: str) -> list[fs.FileInfo]:
        selector = fs.FileSelector(f"{self.root}/{folder}", allow_not_found=True)
        list_files = partial(self.filesystem.get_file_info, selector)
        infos = self._patiently(f"{folder} cannot be listed", list_files)
        is_disk = self.filesystem.type_name == "local"  # others may list prefixes, too
        found = []
        for info in infos:
            if info.type == fs.FileType.File:
                found.append(info)
            elif is_disk and _is_ours(folder, info.base_name):
                what = "a folder" if info.type == fs.FileType.Directory else "no file"
                self._set_aside(f"{folder}/{info.base_name}", f"is {what}")
        return found

    def _list(self, folder: str) -> list[str]:
        names = (info.base_name for info in self._infos(folder))
        return sorted(name for name in names if _is_ours(folder, name))

    def _read(self, path: str) -> bytes | None:
        def read() -> bytes:
            with self.filesystem.open_input_stream(f"{self.root}/{path}") as stream:
                content: bytes = stream.read()
                return content

        try:
            return self._patiently(f"{path} cannot be read", read)
        except FileNotFoundError:  # another driver merged or pruned it meanwhile
            return None

    def _write(self, path: str, content: bytes) -> None:
        target = f"{self.root}/{path}"
        # A bucket's put is atomic; on disk, write beside and rename.
        local = self.filesystem.type_name == "local"
        place = f"{target}.{uuid.uuid4().hex}.tmp" if local else target

        def write() -> None:
            try:
                with self.filesystem.open_output_stream(place) as stream:
                    stream.write(content)
                if local:
                    self.filesystem.move(place, target)
            except OSError:
                if local:
                    Path(place).unlink(missing_ok=True)
                raise

        what = f"{path}: {len(content)} bytes cannot be written"
        try:
            self._patiently(what, write)
        except FileNotFoundError as error:  # the folder is gone
            raise StoreError(f"{self.uri}/{what} ({error}).") from None

    def _patiently(self, what: str, action: Callable[[], T]) -> T:
        return _patiently(f"{self.uri}/{what}", action, self.patience, self.tell)

    def _set_aside(self, path: str, why: str) -> None:
        name, where = posixpath.basename(path), "moved to set_aside/"
        try:
            if self.filesystem.type_name == "local":
                self.filesystem.create_dir(f"{self.root}/set_aside")
                if Path(self.root, "set_aside", name).exists():  # maybe a folder
                    name = f"{uuid.uuid4().hex}-{name}"
            self.filesystem.move(f"{self.root}/{path}", f"{self.root}/set_aside/{name}")
        except OSError as error:
            where = f"not moved to set_aside/ ({error})"
        self.tell(f"{self.uri}/{path} {why}: {where}; what it held counts as missing.")


def _patiently(
    what: str,
    action: Callable[[], T],
    patience: float,
    tell: Callable[[str], None] = log.warning,
) -> T:
    """Return what `action` does, as soon as the store can be reached.

    Raises:
        FileNotFoundError: There is no such file.
        StoreError: It failed for another reason, or for too long; with `what`.
    """
    until, pause = time.monotonic() + patience, 0.5
    while True:
        try:
            return action()
        except FileNotFoundError:
            raise
        except OSError as error:
            away = error.errno in AWAY or BUCKET_AWAY.search(str(error))
            why = " ".join(str(error).split())  # on one line
            if not away or time.monotonic() + pause > until:
                raise StoreError(f"{what} ({why}).") from None
            if pause == 0.5:
                tell(f"{what} ({why}): trying again for {patience:g} s.")
        time.sleep(pause)
        pause = min(2 * pause, 30.0)


def as_store(results: Place | Store) -> Store:
    """Return an open results folder, of one that is open or of where it is.

    Raises:
        ValueError: It is neither, or no results folder.
    """
    return results if isinstance(results, Store) else open_store(results)


def open_store(
    uri: Place, *, create: bool = False, missing_ok: bool = False, patience: float = 0.0
) -> Store:
    """Open the results folder at `uri`: a path, or an address such as s3://bucket.

    Where there is none, `create` makes one, and with `missing_ok` it reads as empty.
    One that cannot be reached is tried again for `patience` seconds, also later on;
    with 0 it must be there at first, and later has PATIENCE.

    Raises:
        ValueError: It does not exist (unless `create`), cannot be written, or was
            written by a newer raybs.
        StoreError: It cannot be reached, in spite of `patience`.
    """
    uri = _check_form(uri)
    place = urlsplit(unquote(uri))
    user, _, _ = place.netloc.rpartition("@")
    if "://" in uri and (":" in user or re.search(SECRET, place.query, re.IGNORECASE)):
        # Addresses are logged, recorded and sent to workers.
        raise ValueError(
            "The address of the results folder holds a key or password; leave it out "
            "and give it by the environment (AWS_ACCESS_KEY_ID and the like)."
        )
    try:
        if "://" in uri:
            full = uri.rstrip("/")
            found = partial(fs.FileSystem.from_uri, uri)  # asks where a bucket is
            filesystem, root = _patiently(f"{full} cannot be opened", found, patience)
        else:
            filesystem = fs.LocalFileSystem()
            full = root = str(Path(uri).expanduser().resolve())
        if filesystem.type_name == "local":
            _check_places(Path(root))
        store = Store(
            uri=full, filesystem=filesystem, root=root.rstrip("/"), patience=patience
        )
        content = store._read("format.json")
        if content is None and not create and not missing_ok:
            raise ValueError(f"No results in {uri!r}: there is no format.json in it.")
        if content is not None:
            _check_format(uri, content)
        if create:
            # Also where there is one: git keeps no empty folders, and a folder that
            # cannot be written is better known before hours of work.
            # A bucket has no folders, and who may only use a part of it may make none.
            for folder in ENDINGS if filesystem.type_name == "local" else ():
                filesystem.create_dir(f"{store.root}/{folder}")
            store._write("format.json", json.dumps({"format": FORMAT}).encode())
    except (OSError, RuntimeError, pa.ArrowException) as error:
        if patience and isinstance(error, StoreError):
            raise
        raise ValueError(
            f"The results folder {uri!r} cannot be used: {error}"
        ) from None
    return replace(store, patience=patience or PATIENCE)


def _check_form(given: Place) -> str:
    """Return an address as text; refuse what is neither path nor known address.

    Before pyarrow sees it: it would load Hadoop for some, and make folders of others.

    Raises:
        ValueError: It is so.
    """
    if not isinstance(given, str | os.PathLike):
        raise ValueError(f"{given!r} is no results folder: give a path, or s3://...")
    uri = os.fspath(given)
    scheme, marked, _ = uri.partition("://")
    is_drive = os.name != "nt" and re.match(r"[A-Za-z]:\\", uri)
    if not uri or not uri.isprintable() or is_drive or re.match(r"\w+:/[^/]", uri):
        raise ValueError(f"{uri!r} is no results folder: give a path, or s3://...")
    if marked and scheme not in SCHEMES:
        known = any_of(f"{name}://" for name in SCHEMES)
        raise ValueError(
            f"The results folder {uri!r} cannot be used: give a path, {known}."
        )
    return uri


def _check_places(root: Path) -> None:
    """Refuse a folder whose files are elsewhere: they could be anybody's.

    And one whose folders are files, or whose format.json is none: a pipe would be
    waited for.

    Raises:
        ValueError: It has links in place of folders, or is not as it must be.
    """
    for name in (*ENDINGS, "set_aside"):
        place = root / name
        if place.is_symlink():
            raise ValueError(
                f"'{root}' is no results folder: {name} in it is a link, which leads "
                "elsewhere. Put the whole results folder where there is room."
            )
        if place.exists() and not place.is_dir():
            raise ValueError(
                f"'{root}' is no results folder: {name} in it is no folder. Move "
                f"{place} away."
            )
    place = root / "format.json"
    if place.exists() and not place.is_file():
        raise ValueError(
            f"'{root}' is no results folder: format.json in it is no file. Move "
            f"{place} away."
        )


def _is_ours(folder: str, name: str) -> bool:
    """Tell whether a file in `folder` is ours, by its name.

    Others are no names for a folder or a terminal.
    """
    is_plain = re.fullmatch(r"[\w-][\w .-]*", name) is not None
    return is_plain and name.endswith(ENDINGS[folder])


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
            f"{uri!r} has format {found} by its format.json, this raybs reads up to "
            f"{FORMAT}: upgrade it."
        )


def _parse_tensors(content: bytes) -> tuple[Tensors, dict[str, Any]]:
    import safetensors.numpy

    # The format: 8 bytes of length, then that much JSON, then the tensors.
    length = int.from_bytes(content[:8], "little")
    if length > MAX_HEADER:
        raise ValueError(f"its head is said to be {length} bytes long")
    metadata = _metadata(json.loads(content[8 : 8 + length]))
    try:
        return safetensors.numpy.load(content), metadata
    except safetensors.SafetensorError as error:
        raise ValueError(error) from None


def _metadata(head: Mapping[str, Any]) -> dict[str, Any]:
    metadata: dict[str, Any] = json.loads(head["__metadata__"]["raybs"])
    if not isinstance(metadata, dict):
        raise ValueError("its metadata are none of ours")
    return metadata


def _brief(error: Exception) -> str:
    """Quote an error: it may hold a stranger's text."""
    return repr(str(error)[:200])


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
