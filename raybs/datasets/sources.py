"""Where datasets come from: the bundled MNIST, a user's files, or torchvision."""

import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from raybs.datasets.archive import PARTS, Parts, read_archive
from raybs.datasets.download import TORCHVISION, data_folder, read_named
from raybs.datasets.idx import read_folder


def archive_of(name: str) -> Path | None:
    """Return the .npz file that `name` is; None for IDX files, and for torchvision's.

    Raises:
        ValueError: The name is unknown, or there is no such file.
    """
    if name == "mnist":
        # A regular file wherever the package is installed: wheels are unpacked.
        return Path(str(resources.files("raybs") / "datasets" / "mnist.npz"))
    source = Path(name).expanduser()
    if name in TORCHVISION or source.is_dir():
        return None
    if source.suffix != ".npz":
        raise ValueError(
            f"dataset {name!r} is unknown; use mnist, {', '.join(TORCHVISION)}, the "
            "path of an .npz file, or that of a folder of IDX files."
        )
    if not source.is_file():
        raise ValueError(f"dataset {name!r}: there is no such file.")
    return source


def read_parts(name: str) -> Parts:
    """Read PARTS of the dataset `name`, as they are stored; download it if need be.

    Raises:
        ValueError: It is nowhere, or cannot be read.
    """
    archive = archive_of(name)
    if archive is None:
        if name in TORCHVISION:
            return read_named(name, data_folder())
        return read_folder(Path(name).expanduser())
    return read_archive(archive)


def fingerprint_of(parts: Parts) -> str:
    """Hash what `parts` hold, wherever they come from: labels of any integer type."""
    digest = hashlib.sha256()
    for part in PARTS:
        array = np.ascontiguousarray(parts[part])
        if (
            part.startswith("y")
            and array.size
            and 0 <= array.min() <= array.max() < 256
        ):
            array = array.astype(np.uint8)  # torchvision has int64, IDX files uint8
        digest.update(f"{part} {array.dtype.str} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()[:16]


def stamp_of(name: str) -> tuple[Any, ...]:
    """Return what changes when the files of `name` do."""
    archive = archive_of(name)
    folder = data_folder() if name in TORCHVISION else Path(name).expanduser()
    paths = [archive] if archive else sorted(folder.glob("*"))
    stats = [(path, path.stat()) for path in paths]
    times = ((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in stats)
    return (str(folder), *times)
