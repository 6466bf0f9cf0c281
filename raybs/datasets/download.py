"""Datasets by name that torchvision knows, read or downloaded."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

import numpy as np

from raybs.datasets.archive import Parts, read_archive
from raybs.datasets.idx import read_folder

TORCHVISION = {
    "fashion_mnist": ("FashionMNIST", "FashionMNIST/raw"),
    "kmnist": ("KMNIST", "KMNIST/raw"),
    "cifar10": ("CIFAR10", "cifar-10-batches-py"),
}
"""By name: torchvision's class, and the folder where it keeps its files."""

SILENCE_SECONDS = 20.0
"""A download that hears nothing for so long has failed."""


def data_folder() -> Path:
    """Return where datasets with names are kept: RAYBS_DATA, or the user's cache."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("RAYBS_DATA") or Path(caches) / "raybs").expanduser()


def read_named(name: str, folder: Path) -> Parts:
    """Read a dataset of torchvision's from `folder`, or download it into there."""
    kept = folder / f"{name}.npz"
    if kept.is_file():
        return read_archive(kept)
    own = folder / TORCHVISION[name][1]
    for place in (folder / name, folder / name.replace("_", "-"), own):
        # Not those of torchvision by torchvision, which unpickles what lies beside.
        if place.is_dir() and place.name != "cifar-10-batches-py":
            return read_folder(place)
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
