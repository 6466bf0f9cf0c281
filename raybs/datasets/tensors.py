"""A dataset as tensors on the device that trains."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
from raybs.datasets.dataset import Arrays


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset on one device: float32 images (N, features), int64 labels (N,).

    `shape` is that of a sample as modules get it, (C, H, W) of images; with
    `channels_last` the features lie in the order (H, W, C).
    """

    train_images: "torch.Tensor"
    train_labels: "torch.Tensor"
    test_images: "torch.Tensor"
    test_labels: "torch.Tensor"
    num_classes: int
    shape: tuple[int, ...] = ()
    channels_last: bool = False

    @property
    def num_features(self) -> int:
        """Numbers of one sample."""
        return self.train_images.shape[1]

    @property
    def num_samples(self) -> int:
        """Number of training samples, N."""
        return len(self.train_labels)


def to_device(arrays: Arrays, device: str, first: int | None = None) -> Dataset:
    """Copy `arrays` to `device` as float32, flattened and standardized.

    Or only the `first` samples of each set.

    Standardized by the mean and deviation of all training pixels (MNIST: .1307 and
    .3081 of full scale), which is what reproduces the article's distances.
    """
    import torch

    def images(array: np.ndarray[Any, Any]) -> torch.Tensor:
        # A copy first: arrays from Ray's object store are read-only, which torch
        # refuses.
        tensor = torch.tensor(array[:first], device=device).flatten(1).to(torch.float32)
        return tensor.sub_(arrays.mean).div_(arrays.deviation)

    def labels(array: np.ndarray[Any, Any]) -> torch.Tensor:
        return torch.tensor(array[:first], device=device)

    shape, channels_last = sample_shape(arrays.x_train.shape[1:])
    return Dataset(
        train_images=images(arrays.x_train),
        train_labels=labels(arrays.y_train),
        test_images=images(arrays.x_test),
        test_labels=labels(arrays.y_test),
        num_classes=int(max(arrays.y_train.max(), arrays.y_test.max())) + 1,
        shape=shape,
        channels_last=channels_last,
    )


def sample_shape(stored: tuple[int, ...]) -> tuple[tuple[int, ...], bool]:
    """Return the shape in which modules get a sample, and whether it is turned for it.

    Images are (C, H, W): (H, W) gets one channel, and (H, W, C) of one, three or four
    channels is turned.
    """
    channels = (1, 3, 4)
    if len(stored) == 2:
        return (1, *stored), False
    if len(stored) == 3 and stored[2] in channels and stored[0] not in channels:
        return (stored[2], *stored[:2]), True
    return stored, False
