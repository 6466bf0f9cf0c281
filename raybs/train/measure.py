"""What is measured of a state: pure functions that leave it and all else alone."""

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from raybs.config.status import Status
from raybs.datasets.tensors import Dataset
from raybs.models import mlp
from raybs.models.state import Score, State
from raybs.store.rows import Measurement

CHUNK = 4096
"""Samples of one forward pass; fixed, because sums depend on it in their last
digits."""

Scorer = Callable[[State, int], Score]
"""Makes what scores so many samples at a time, by a state."""


@torch.no_grad()
def evaluate(
    state: State, images: Tensor, labels: Tensor, scorer: Scorer = mlp.scorer
) -> tuple[Tensor, Tensor]:
    """Return the mean loss (nats) and the accuracy (a fraction), exact, each (R,).

    Shapes: images (N, features), labels (N,), the same for all R replicas.
    """
    losses, hits = [], []
    score = scorer(state, min(CHUNK, len(labels)))
    for start in range(0, len(labels), CHUNK):
        part = slice(start, start + CHUNK)
        loss, num_right = score(images[part], labels[part])
        losses.append(loss)
        hits.append(num_right)
    # Added up in float64 on the host: not every device has it.
    loss = torch.stack(losses).cpu().double().sum(0) / len(labels)
    accuracy = torch.stack(hits).cpu().double().sum(0) / len(labels)
    return loss, accuracy


@torch.no_grad()
def distances(state: State, init: State) -> dict[str, Tensor]:
    """Return norms, distances and cosines to `init`: L2, (R,) or per layer (R, layers).

    weight_distance and bias_distance are over all layers together: the article's W and
    B ("Getting Far Enough"); weight_norm is its distance to the origin, cosine_to_init
    that of each layer's final and initial weights ("ADAM vs SGD").
    """
    columns: dict[str, list[Tensor]] = {"moved": [], "norm": [], "cosine": []}
    biases: dict[str, list[Tensor]] = {"moved": [], "norm": []}
    for weight, start in zip(state.weights, init.weights, strict=True):
        w, w0 = _flat(weight), _flat(start)
        norm = w.norm(dim=1)
        columns["moved"].append((w - w0).norm(dim=1))
        columns["norm"].append(norm)
        columns["cosine"].append((w * w0).sum(1) / (norm * w0.norm(dim=1)))
    for bias, start in zip(state.biases, init.biases, strict=True):
        biases["moved"].append((_flat(bias) - _flat(start)).norm(dim=1))
        biases["norm"].append(_flat(bias).norm(dim=1))
    layers = {name: torch.stack(values, 1) for name, values in columns.items()}
    none = torch.zeros(len(init.weights[0]), dtype=torch.float64)
    totals = {
        name: torch.stack(values, 1).norm(dim=1) if values else none
        for name, values in biases.items()
    }
    return {
        "weight_distance": layers["moved"].norm(dim=1),
        "bias_distance": totals["moved"],
        "weight_norm": layers["norm"].norm(dim=1),
        "bias_norm": totals["norm"],
        "layer_distance": layers["moved"],
        "cosine_to_init": layers["cosine"],
    }


@torch.no_grad()
def measure(
    state: State, init: State, data: Dataset, scorer: Scorer = mlp.scorer
) -> list[Measurement]:
    """Return what is measured of every replica.

    A replica whose loss is not finite is "diverged": what it scores or how far it went
    means nothing, so its other numbers are NaN.
    """
    train_loss, train_accuracy = evaluate(
        state, data.train_images, data.train_labels, scorer
    )
    test_loss, test_accuracy = evaluate(
        state, data.test_images, data.test_labels, scorer
    )
    columns = {
        "train_loss": train_loss,
        "train_accuracy": train_accuracy,
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
        **distances(state, init),
    }
    diverged = ~torch.isfinite(train_loss)
    for column in columns.values():
        column[diverged] = math.nan
    rows = []
    for replica, is_diverged in enumerate(diverged.tolist()):
        row = {
            "epoch": state.epoch,
            "step": state.step,
            "samples_seen": state.samples_seen,
            **{name: column[replica].tolist() for name, column in columns.items()},
            "weight_names": ",".join(state.names.weights) if state.names else "",
            "status": Status.DIVERGED if is_diverged else Status.COMPLETE,
        }
        rows.append(cast(Measurement, row))
    return rows


def _flat(tensor: Tensor) -> Tensor:
    """Return (R, entries) in float64: in float32 a cosine of 1 came out as 1.00001."""
    if tensor.device.type == "mps":  # has no float64
        tensor = tensor.cpu()
    return tensor.reshape(len(tensor), -1).double()  # of a scalar parameter, too
