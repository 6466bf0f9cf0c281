"""Datasets in one .npz: what it holds, read no further than is asked."""

import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

PARTS = ("x_train", "y_train", "x_test", "y_test")

UNREADABLE = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError),
    *(OverflowError, MemoryError, RuntimeError, SyntaxError, tokenize.TokenError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What reading an .npz that is none may raise."""

Parts = dict[str, np.ndarray[Any, Any]]


def shapes_of(archive: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of PARTS in an .npz file, which is not unpacked.

    Raises:
        ValueError: It cannot be read, or they do not fit in half of the memory.
    """
    with _reading(archive) as members:
        return _shapes(members)


def read_archive(archive: Path, parts: Sequence[str] = PARTS) -> Parts:
    """Read `parts` of an .npz file, without ever unpickling.

    Raises:
        ValueError: It cannot be read, or PARTS do not fit in half of the memory.
    """
    # Not np.load, which has another member of the same name go first.
    with _reading(archive) as members:
        _shapes(members)
        arrays = {}
        for part in parts:
            with members.open(f"{part}.npy") as member:
                arrays[part] = np.lib.format.read_array(member, allow_pickle=False)
        return arrays


@contextmanager
def _reading(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(archive) as members:
            yield members
    except UNREADABLE as error:
        raise ValueError(
            f"dataset '{archive}' cannot be read ({error}); "
            f"an .npz with the arrays {', '.join(PARTS)} is needed."
        ) from None


def _shapes(members: zipfile.ZipFile) -> dict[str, tuple[int, ...]]:
    infos = {part: members.getinfo(f"{part}.npy") for part in PARTS}
    check_memory(sum(info.file_size for info in infos.values()))
    shapes = {}
    for part, info in infos.items():
        # The others unpack as much at a time as they like.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{part} is not packed as NumPy does")
        with members.open(info) as member:
            shape, kind = _read_head(member)
            num_bytes = info.file_size - member.tell()
        if kind.hasobject:
            raise ValueError(f"{part} holds pickled objects")
        if math.prod(shape) * kind.itemsize != num_bytes or min(shape, default=0) < 0:
            raise ValueError(f"{part} has {num_bytes} bytes for {shape} of {kind}")
        shapes[part] = shape
    return shapes


def _read_head(member: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and the type that an .npy file begins with."""
    version = np.lib.format.read_magic(member)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"array format {version}")
    shape, _, kind = read(member)
    return shape, kind


def check_memory(num_bytes: int) -> None:
    """Refuse to unpack `num_bytes` if they are more than half of the memory.

    Raises:
        ValueError: They are.
    """
    memory = memory_bytes()
    if num_bytes > memory // 2:
        raise ValueError(
            f"it unpacks to {num_bytes} bytes, more than half of this machine's "
            f"memory of {memory}"
        )


def memory_bytes() -> int:
    """Return the bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
