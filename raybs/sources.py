"""Where datasets come from: the bundled MNIST, a user's files, or torchvision."""

import gzip
import hashlib
import math
import os
import shutil
import socket
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

PARTS = ("x_train", "y_train", "x_test", "y_test")
TORCHVISION = {
    "fashion_mnist": ("FashionMNIST", "FashionMNIST/raw"),
    "kmnist": ("KMNIST", "KMNIST/raw"),
    "cifar10": ("CIFAR10", "cifar-10-batches-py"),
}
"""By name: torchvision's class, and the folder where it keeps its files."""

IDX_FILES = {
    "x_train": ("train-images",),
    "y_train": ("train-labels",),
    "x_test": ("t10k-images", "test-images"),
    "y_test": ("t10k-labels", "test-labels"),
}
"""How the files of a folder of IDX files begin."""

IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
SILENCE_SECONDS = 20.0
"""A download that hears nothing for so long has failed."""

UNREADABLE = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError),
    *(OverflowError, MemoryError, RuntimeError, SyntaxError, tokenize.TokenError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What reading an .npz that is none may raise."""

Parts = dict[str, np.ndarray[Any, Any]]


def data_folder() -> Path:
    """Return where datasets with names are kept: RAYBS_DATA, or the user's cache."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("RAYBS_DATA") or Path(caches) / "raybs").expanduser()


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
            return _read_named(name, data_folder())
        return _read_folder(Path(name).expanduser())
    return read_archive(archive)


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
        found = {}
        for part in parts:
            with members.open(f"{part}.npy") as member:
                found[part] = np.lib.format.read_array(member, allow_pickle=False)
        return found


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


def _read_folder(folder: Path) -> Parts:
    found = {part: _idx_file(folder, starts) for part, starts in IDX_FILES.items()}
    missing = [IDX_FILES[part][0] for part, path in found.items() if path is None]
    if missing:
        raise ValueError(
            f"dataset '{folder}': the folder has no {', '.join(missing)}; "
            "they are called train-images*, train-labels*, t10k-images*, t10k-labels*."
        )
    parts: Parts = {}
    for part, path in found.items():
        assert path
        held = sum(array.nbytes for array in parts.values())
        parts[part] = read_idx(path, held=held)
    return parts


def _idx_file(folder: Path, starts: tuple[str, ...]) -> Path | None:
    found = (path for path in folder.iterdir() if path.name.startswith(starts))
    paths = (path for path in found if path.is_file())
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


def _read_named(name: str, folder: Path) -> Parts:
    """Read a dataset of torchvision's from `folder`, or download it into there."""
    kept = folder / f"{name}.npz"
    if kept.is_file():
        return read_parts(str(kept))
    own = folder / TORCHVISION[name][1]
    for place in (folder / name, folder / name.replace("_", "-"), own):
        # Not those of torchvision by torchvision, which unpickles what lies beside.
        if place.is_dir() and place.name != "cifar-10-batches-py":
            return _read_folder(place)
    if own.is_dir():  # pickles, whose hashes it knows
        return _from_torchvision(name, folder, download=False)
    parts = _download(name, folder)
    with _replacing(kept) as place:
        np.savez_compressed(place, allow_pickle=False, **parts)
    return parts


def _download(name: str, folder: Path) -> Parts:
    print(f"Downloading {name} into {folder} ...", flush=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Beside the others, so that whatever goes wrong leaves nothing behind.
        with tempfile.TemporaryDirectory(dir=folder) as place:
            return _from_torchvision(name, Path(place), download=True)
    except (OSError, RuntimeError, ValueError, HTTPException) as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise ValueError(
            f"dataset {name!r}: not in {folder}, and it cannot be downloaded ({why}). "
            f"Connect this machine and try again; or give a folder that holds it, by "
            f"--data FOLDER (with {name}.npz, {name}/ with IDX files, or "
            f"{TORCHVISION[name][1]}/ as torchvision has it), or by its own path: "
            "--dataset FOLDER."
        ) from None


def _from_torchvision(name: str, folder: Path, *, download: bool) -> Parts:
    import torchvision

    kind = getattr(torchvision.datasets, TORCHVISION[name][0])
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE_SECONDS)
    try:
        train = kind(folder, train=True, download=download)
        test = kind(folder, train=False, download=download)
    except RuntimeError as error:
        if download:
            raise
        raise ValueError(f"dataset {name!r} in {folder}: {error}") from None
    finally:
        socket.setdefaulttimeout(before)
    return {
        "x_train": np.asarray(train.data),
        "y_train": np.asarray(train.targets),
        "x_test": np.asarray(test.data),
        "y_test": np.asarray(test.targets),
    }


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a place to write to that becomes `path` whole, or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        place = Path(folder) / path.name
        yield place
        shutil.move(place, path)
