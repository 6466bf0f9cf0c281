"""Folders of IDX files, as MNIST comes in."""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from raybs.datasets.archive import Parts, check_memory

IDX_FILES = {
    "x_train": ("train-images",),
    "y_train": ("train-labels",),
    "x_test": ("t10k-images", "test-images"),
    "y_test": ("t10k-labels", "test-labels"),
}
"""How the files of a folder of IDX files begin."""

IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_folder(folder: Path) -> Parts:
    """Read the four IDX files of a folder.

    Raises:
        ValueError: One is missing, or is none.
    """
    paths = {part: _idx_file(folder, starts) for part, starts in IDX_FILES.items()}
    missing = [IDX_FILES[part][0] for part, path in paths.items() if path is None]
    if missing:
        raise ValueError(
            f"dataset '{folder}': the folder has no {', '.join(missing)}; "
            "they are called train-images*, train-labels*, t10k-images*, t10k-labels*."
        )
    parts: Parts = {}
    for part, path in paths.items():
        assert path
        held = sum(array.nbytes for array in parts.values())
        parts[part] = read_idx(path, held=held)
    return parts


def _idx_file(folder: Path, starts: tuple[str, ...]) -> Path | None:
    named = (path for path in folder.iterdir() if path.name.startswith(starts))
    paths = (path for path in named if path.is_file())
    # Both packed and unpacked: the unpacked one is faster.
    return min(paths, key=lambda path: (path.suffix == ".gz", path.name), default=None)


def read_idx(path: Path, *, held: int = 0) -> np.ndarray[Any, Any]:
    """Read an array from LeCun's IDX format, also packed by gzip.

    Raises:
        ValueError: The file is no IDX file, or truncated, or longer than it says; or
            with the bytes that are `held` already it does not fit in half of the
            memory.
    """
    opened: Any = gzip.open if path.suffix == ".gz" else Path.open
    try:
        with opened(path, "rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in IDX_TYPES:
                raise ValueError("it does not begin as one")
            kind = np.dtype(IDX_TYPES[head[2]])
            sizes = np.frombuffer(file.read(4 * head[3]), ">u4").tolist()
            expected = math.prod(sizes) * kind.itemsize
            check_memory(held + expected)
            content = file.read(expected + 1)  # one more would be too many
    except (OSError, EOFError, ValueError, MemoryError, zlib.error) as error:
        raise ValueError(
            f"{path}: no IDX file, or one that is broken or too large ({error})."
        ) from None
    if len(sizes) != head[3] or len(content) != expected:
        more = " or more" if len(content) > expected else ""
        raise ValueError(
            f"{path}: truncated or overlong: {len(content)} bytes{more} of data, where "
            f"its head says {' x '.join(map(str, sizes))} of {kind.itemsize}."
        )
    array = np.frombuffer(content, kind).reshape(sizes)
    return array.astype(kind.newbyteorder("="), copy=False)
