"""Datasets: as stored on a node (uint8), and as float32 tensors on a device."""

import hashlib
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from raybs.datasets.archive import read_archive, shapes_of
from raybs.datasets.sources import archive_of, fingerprint_of, read_parts, stamp_of
from raybs.datasets.validation import check_parts


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What planning needs to know of a dataset; of an .npz read without its images."""

    fingerprint: str
    num_samples: int
    num_features: int
    num_classes: int


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """A dataset in host memory, small enough to share: images as stored, mostly uint8.

    x_* are (samples, ...) images, y_* are (samples,) int64 labels from 0; `mean` and
    `deviation` are those of all training pixels, in the images' own units.
    """

    x_train: np.ndarray[Any, Any]
    y_train: np.ndarray[Any, Any]
    x_test: np.ndarray[Any, Any]
    y_test: np.ndarray[Any, Any]
    mean: float
    deviation: float


def describe(name: str) -> DatasetInfo:
    """Describe the dataset `name`; its fingerprint says what it holds.

    Of an .npz that is a hash of the file's bytes.

    Raises:
        ValueError: The name is unknown, or there is no such dataset.
    """
    return _describe(name, stamp_of(name))


@cache
def _describe(name: str, stamp: tuple[Any, ...]) -> DatasetInfo:
    source = archive_of(name)
    if source is None:
        parts = read_parts(name)
        check_parts(name, parts)
        return DatasetInfo(
            fingerprint=fingerprint_of(parts),
            num_samples=len(parts["y_train"]),
            num_features=math.prod(parts["x_train"].shape[1:]),
            num_classes=int(parts["y_train"].max()) + 1,
        )
    shape = shapes_of(source)["x_train"]
    labels = read_archive(source, ["y_train"])["y_train"]
    if len(shape) < 2 or labels.dtype.kind not in "iu" or not labels.size:
        raise ValueError(
            f"dataset {name!r} cannot be read: x_train has shape {shape}, y_train "
            f"{labels.shape} of {labels.dtype}; they must be (N, ...) and N integers."
        )
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return DatasetInfo(
        fingerprint=digest,
        num_samples=shape[0],
        num_features=math.prod(shape[1:]),
        num_classes=int(labels.max()) + 1,
    )


def load_arrays(name: str) -> Arrays:
    """Read the dataset `name` into host memory.

    A name is "mnist" (bundled), "fashion_mnist", "kmnist" or "cifar10" (by torchvision,
    downloaded once), the path of an .npz that holds x_train, y_train, x_test and
    y_test, or that of a folder of IDX files.

    Raises:
        ValueError: The name is unknown, or the arrays do not fit together.
    """
    parts = read_parts(name)
    check_parts(name, parts)
    mean, deviation = _pixel_statistics(parts["x_train"])
    if not (math.isfinite(mean) and math.isfinite(deviation) and deviation > 0):
        raise ValueError(
            f"dataset {name!r}: the training pixels have mean {mean:g} and deviation "
            f"{deviation:g}; standardizing needs finite pixels that differ."
        )
    return Arrays(
        x_train=parts["x_train"],
        y_train=parts["y_train"].astype(np.int64),
        x_test=parts["x_test"],
        y_test=parts["y_test"].astype(np.int64),
        mean=mean,
        deviation=deviation,
    )


def _pixel_statistics(images: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Return mean and deviation of all pixels, in chunks: float64 copies are large."""
    total = squares = 0.0
    for start in range(0, len(images), 4096):
        chunk = images[start : start + 4096].astype(np.float64).ravel()
        total += float(chunk.sum())
        squares += float(chunk @ chunk)
    mean = total / images.size
    return mean, math.sqrt(max(squares / images.size - mean * mean, 0.0))
