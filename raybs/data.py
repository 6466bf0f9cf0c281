"""Datasets: as stored on a node (uint8), and as float32 tensors on a device."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from raybs.sources import (
    archive_of,
    fingerprint_of,
    read_archive,
    read_parts,
    shapes_of,
    stamp_of,
)

if TYPE_CHECKING:
    import torch


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


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset on one device: float32 images (N, features), int64 labels (N,)."""

    train_images: "torch.Tensor"
    train_labels: "torch.Tensor"
    test_images: "torch.Tensor"
    test_labels: "torch.Tensor"
    num_classes: int

    @property
    def num_samples(self) -> int:
        """Number of training samples, N."""
        return len(self.train_labels)


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


def check_parts(name: str, parts: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Refuse arrays that are no dataset.

    Raises:
        ValueError: Their shapes, types or values do not fit together.
    """
    num_samples = len(parts["y_train"]) if parts["y_train"].ndim else 0
    for part in ("train", "test"):
        images, labels = parts[f"x_{part}"], parts[f"y_{part}"]
        flat = images.ndim < 2 or 0 in images.shape[1:]
        if flat or labels.ndim != 1 or len(images) != len(labels):
            raise ValueError(
                f"dataset {name!r}: x_{part} has shape {images.shape} and y_{part} "
                f"{labels.shape}; they must be (N, ...) and (N,)."
            )
        if labels.dtype.kind not in "iu":
            raise ValueError(
                f"dataset {name!r}: y_{part} holds {labels.dtype}; labels are integers."
            )
        if not len(labels) or labels.min() < 0 or labels.max() >= max(num_samples, 1):
            raise ValueError(
                f"dataset {name!r}: y_{part} is empty, or has labels that are not from "
                f"0 up to a number of classes below that of samples, {num_samples}."
            )
        real = images.dtype.kind != "f" or np.isfinite(images).all()
        if images.dtype.kind not in "buif" or not real:
            raise ValueError(
                f"dataset {name!r}: x_{part} must hold finite numbers, not "
                f"{images.dtype} with infinities, NaN or worse."
            )
    known, asked = np.unique(parts["y_train"]), np.unique(parts["y_test"])
    if len(known) < 2:
        raise ValueError(
            f"dataset {name!r}: y_train has one class only, {known[0]}; there is "
            "nothing to tell apart."
        )
    if len(new := np.setdiff1d(asked, known)):
        raise ValueError(
            f"dataset {name!r}: y_test has the label {new[0]}, of which there is no "
            "training sample."
        )
    shapes = [parts[f"x_{part}"].shape[1:] for part in ("train", "test")]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"dataset {name!r}: images are {shapes[0]} in x_train and "
            f"{shapes[1]} in x_test."
        )


def to_device(arrays: Arrays, device: str) -> Dataset:
    """Copy `arrays` to `device` as float32, flattened and standardized.

    Standardized by the mean and deviation of all training pixels (MNIST: .1307 and
    .3081 of full scale), which is what reproduces the article's distances.
    """
    import torch

    def images(array: np.ndarray[Any, Any]) -> torch.Tensor:
        # A copy first: arrays from Ray's object store are read-only, which torch
        # refuses.
        tensor = torch.tensor(array, device=device).flatten(1).to(torch.float32)
        return tensor.sub_(arrays.mean).div_(arrays.deviation)

    def labels(array: np.ndarray[Any, Any]) -> torch.Tensor:
        return torch.tensor(array, device=device)

    return Dataset(
        train_images=images(arrays.x_train),
        train_labels=labels(arrays.y_train),
        test_images=images(arrays.x_test),
        test_labels=labels(arrays.y_test),
        num_classes=int(max(arrays.y_train.max(), arrays.y_test.max())) + 1,
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
