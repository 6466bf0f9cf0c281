"""A dataset as tensors on the device that trains."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
from raybs.datasets.dataset import Arrays


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
