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


def kept_at(name: str, folder: Path) -> Path | None:
    """Return where `folder` holds a dataset of torchvision's; None if it does not.

    In an .npz, or in a folder of IDX files, or of torchvision's own.
    """
    archive = folder / f"{name}.npz"
    if archive.is_file():
        return archive
    names = (name, name.replace("_", "-"), TORCHVISION[name][1])
    places = (folder / part for part in names)
    return next((place for place in places if place.is_dir()), None)


def read_named(name: str, folder: Path) -> Parts:
    """Read a dataset of torchvision's from `folder`, or download it into there."""
    place = kept_at(name, folder)
    if place is None:
        parts = _download(name, folder)
        with _replacing(folder / f"{name}.npz") as kept:
            np.savez_compressed(kept, allow_pickle=False, **parts)
        return parts
    if place.is_file():
        return read_archive(place)
    if place.name == "cifar-10-batches-py":  # pickles, whose hashes torchvision knows
        return _from_torchvision(name, folder, download=False)
    # Not by torchvision, which unpickles what lies beside.
    return read_folder(place)


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
