"""What the arrays of a dataset must be."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def check_parts(name: str, parts: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Refuse arrays that are no dataset.

    Raises:
        ValueError: Their shapes, types or values do not fit together.
    """
    for part in ("train", "test"):
        _check_part(name, part, parts)
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


def _check_part(
    name: str, part: str, parts: Mapping[str, np.ndarray[Any, Any]]
) -> None:
    """Refuse images and labels that do not fit together, or hold other than numbers."""
    images, labels = parts[f"x_{part}"], parts[f"y_{part}"]
    num_samples = len(parts["y_train"]) if parts["y_train"].ndim else 0
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
