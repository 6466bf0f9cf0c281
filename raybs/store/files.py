"""Whole files in one folder, on disk or in a bucket, through pyarrow.fs."""

import contextlib
import errno
import hashlib
import logging
import posixpath
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from pyarrow import fs

from raybs.store.tables import BROKEN

log = logging.getLogger("raybs")

ENDINGS = {
    "sweeps": ".json",
    "networks": ".json",
    "speeds": ".json",
    "probes": ".json",
    "rows": ".parquet",
    "draws": ".parquet",
    "gradients": ".safetensors",
    "states": ".safetensors",
    "rolling": ".safetensors",
}
"""Folders of a results folder, and how the files end that are ours."""
PATIENCE = 600.0
"""Seconds for which a store is tried again that cannot be reached."""
PASSING_ERRORS = {
    *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EHOSTDOWN),
    *(errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH),
    *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED),
}
"""Errors of a network file system that go by."""
PASSING_MESSAGES = re.compile(
    "NETWORK_CONNECTION|SLOW_DOWN|THROTTLING|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|"
    "REQUEST_TIMEOUT|HTTP status 5|curlCode|UNAVAILABLE|DEADLINE_EXCEEDED"
)
"""The same, as pyarrow words them for S3 and Google Cloud Storage."""
T = TypeVar("T")


class StoreError(OSError):
    """The results folder cannot be read or written; what it held is kept."""


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files of a results folder, whole: read, written, listed, deleted.

    `uri` is absolute; paths are relative to it. `tell` hears of corrupt files, and of a
    store that cannot be reached: it is tried again for `patience` seconds. Whatever
    else fails is a StoreError at once.
    """

    uri: str
    filesystem: fs.FileSystem
    root: str
    tell: Callable[[str], None] = log.warning
    patience: float = PATIENCE

    @property
    def disk(self) -> Path | None:
        """The folder itself, where it is on this machine's disk; None of a bucket."""
        return Path(self.root) if self.filesystem.type_name == "local" else None

    def holds(self, path: str) -> bool:
        """Tell whether there is such a file."""
        look = partial(self.filesystem.get_file_info, f"{self.root}/{path}")
        info = self._patiently(f"{path} cannot be looked for", look)
        return bool(info.type == fs.FileType.File)

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

    def by_key(self, *folders: str) -> dict[str, list[str]]:
        """Return the paths of all files in `folders` by their keys."""
        files: dict[str, list[str]] = {}
        for folder in folders:
            for name in self.names(folder):
                files.setdefault(name.split("-")[0], []).append(f"{folder}/{name}")
        return files

    def read_checked(self, path: str, parse: Callable[[bytes], T]) -> T | None:
        """Return what `parse` makes of a file that was `add`ed; None if it is gone.

        Or if it is corrupt, or `parse` raises one of BROKEN: then it is set aside.
        """
        content = self.read(path)
        if content is None:
            return None
        digest = posixpath.splitext(path)[0].rpartition("-")[2]
        if digest != _digest(content):
            self.set_aside(path, "is truncated or corrupt")
            return None
        try:
            return parse(content)
        except BROKEN as error:
            self.set_aside(path, f"cannot be read ({brief(error)})")
            return None

    def _infos(self, folder: str) -> list[fs.FileInfo]:
        selector = fs.FileSelector(f"{self.root}/{folder}", allow_not_found=True)
        list_files = partial(self.filesystem.get_file_info, selector)
        infos = self._patiently(f"{folder} cannot be listed", list_files)
        is_disk = self.disk is not None  # others may list prefixes, too
        files = []
        for info in infos:
            if info.type == fs.FileType.File:
                files.append(info)
            elif is_disk and is_ours(folder, info.base_name):
                what = "a folder" if info.type == fs.FileType.Directory else "no file"
                self.set_aside(f"{folder}/{info.base_name}", f"is {what}")
        return files

    def names(self, folder: str) -> list[str]:
        """Return the names of our files in `folder`, sorted."""
        names = (info.base_name for info in self._infos(folder))
        return sorted(name for name in names if is_ours(folder, name))

    def read(self, path: str) -> bytes | None:
        """Return what a file holds, or None if there is none."""

        def read() -> bytes:
            with self.filesystem.open_input_stream(f"{self.root}/{path}") as stream:
                content: bytes = stream.read()
                return content

        try:
            return self._patiently(f"{path} cannot be read", read)
        except FileNotFoundError:  # another driver merged or pruned it meanwhile
            return None

    def read_head(self, path: str, most: int) -> tuple[int, bytes] | None:
        """Return the length that begins a tensor file, and so many bytes, or `most`.

        None if there is no such file.
        """

        def read() -> tuple[int, bytes]:
            with self.filesystem.open_input_stream(f"{self.root}/{path}") as stream:
                length = int.from_bytes(stream.read(8), "little")
                return length, stream.read(min(length, most))

        try:
            return self._patiently(f"{path} cannot be read", read)
        except FileNotFoundError:
            return None

    def add(self, folder: str, key: str, content: bytes) -> str:
        """Write a file that is named after `key` and its content; return its path."""
        path = f"{folder}/{key}-{_digest(content)}{ENDINGS[folder]}"
        self.write(path, content)
        return path

    def write(self, path: str, content: bytes) -> None:
        """Write a file whole: it is there with all of `content`, or as it was."""
        target = f"{self.root}/{path}"
        # A bucket's put is atomic; on disk, write beside and rename.
        local = self.disk is not None
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
        return patiently(f"{self.uri}/{what}", action, self.patience, self.tell)

    def set_aside(self, path: str, why: str) -> None:
        """Move a file to set_aside/, and tell of it."""
        name, where = posixpath.basename(path), "moved to set_aside/"
        try:
            if self.disk:
                self.filesystem.create_dir(f"{self.root}/set_aside")
                if (self.disk / "set_aside" / name).exists():  # maybe a folder
                    name = f"{uuid.uuid4().hex}-{name}"
            self.filesystem.move(f"{self.root}/{path}", f"{self.root}/set_aside/{name}")
        except OSError as error:
            where = f"not moved to set_aside/ ({error})"
        self.tell(f"{self.uri}/{path} {why}: {where}; what it held counts as missing.")


def patiently(
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
            away = error.errno in PASSING_ERRORS or PASSING_MESSAGES.search(str(error))
            why = " ".join(str(error).split())  # on one line
            if not away or time.monotonic() + pause > until:
                raise StoreError(f"{what} ({why}).") from None
            if pause == 0.5:
                tell(f"{what} ({why}): trying again for {patience:g} s.")
        time.sleep(pause)
        pause = min(2 * pause, 30.0)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a place beside `path` to write to, which becomes `path`: whole, or not.

    A link in the place of `path` is replaced, not followed.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def is_ours(folder: str, name: str) -> bool:
    """Tell whether a file in `folder` is ours, by its name.

    Others are no names for a folder or a terminal.
    """
    is_plain = re.fullmatch(r"[\w-][\w .-]*", name) is not None
    return is_plain and name.endswith(ENDINGS[folder])


def brief(error: Exception) -> str:
    """Quote an error: it may hold a stranger's text."""
    return repr(str(error)[:200])


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
