"""Draws: what the steps through one set of samples add up to, from one state.

Norms are L2, over the weights of the observed layers as one vector. With g_k the
gradient of the mean loss at step k, over n_k samples and before the step:

    summed_gradient_norm       |sum g_k|
    sample_weighted_norm       |sum n_k g_k|: the article's norm
    mean_gradient_norm         |sum g_k| / number of steps
    path_length                sum |g_k|
    straightness               |sum g_k| / sum |g_k|
    cosine_to_sample_gradient  of sum g_k to the gradient of all samples of the draw,
    cosine_to_full_gradient    and to that of all training samples, both at the start
    distance_moved             of all weights of all layers, from start to end
    largest_entry              of sum n_k g_k, by magnitude

Source: article, "Hypothesis: gradient competition".
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raybs.config.gradient_sweep import MAX_DRAWS, Cell, Pair
from raybs.config.status import Status
from raybs.config.trial import Phase, TrainConfig
from raybs.gradients.references import References, sample_order
from raybs.gradients.sums import AT_ONCE, Sums, flat
from raybs.models.base import Model
from raybs.models.seeding import MODULE_DRAWS_STREAM, seeded
from raybs.models.state import State, Step, select, take_steps


@torch.no_grad()
def draw(
    references: References, cell: Cell, pairs: Sequence[Pair], *, num_replicas: int = 1
) -> Iterator[tuple[dict[str, Any], Tensor]]:
    """Yield every draw's numbers, and its sum n_k g_k: (entries,) on the host.

    `num_replicas` draws are taken side by side, which changes the last digits. A draw
    whose numbers are not all finite is "diverged", and they are NaN.
    """
    start, data, model = references.start, references.data, references.model
    device = data.train_images.device
    if not model.side_by_side:
        num_replicas = 1
    at_once = _samples_per_call(cell, model)
    state, sums, step = start, None, None
    for first in range(0, len(pairs), num_replicas):
        group = pairs[first : first + num_replicas]
        if sums is None or state.num_replicas != len(group):
            state = select(start, [0] * len(group))
            sums = Sums(state, cell.layers)
            step = _make_step(cell, model, state, sums)
        assert step is not None
        _go_back(state, start)
        sums.reset()
        orders = [sample_order(cell, pair, data.num_samples) for pair in group]
        order = torch.from_numpy(np.stack(orders)).to(device)
        rates = [cell.learning_rate] * len(group)
        number = group[0][0] * MAX_DRAWS + group[0][1]
        with seeded(cell.seed, MODULE_DRAWS_STREAM, number):
            take_steps(data, order, step, cell.batch_size, rates, at_once)
        moved = _distance(state, start)
        weighted, summed = flat(sums.weighted), flat(sums.summed).double()
        path_length = sums.path_length.cpu().double()
        for replica, pair in enumerate(group):
            row = _row(
                cell,
                weighted[replica].double(),
                summed[replica],
                float(path_length[replica]),
                float(moved[replica]),
                references.of_samples(pair[0]),
                references.of_all,
            )
            yield row, weighted[replica]


def _go_back(state: State, start: State) -> None:
    """Set the tensors of all replicas to those of `start`, which has one."""
    tensors = (*state.weights, *state.biases, *state.buffers)
    values = (*start.weights, *start.biases, *start.buffers)
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value.expand_as(tensor))


def _samples_per_call(cell: Cell, model: Model) -> int:
    if cell.frozen:  # any number will do
        return max(AT_ONCE // cell.batch_size, 1) * cell.batch_size
    return model.samples_per_call(_config(cell), cell.batch_size)


def _make_step(cell: Cell, model: Model, state: State, sums: Sums) -> Step:
    if cell.frozen:
        step = model.still_step(state, sums)
    else:
        step = model.observed_step(_config(cell), state, cell.reduction, sums)

    def observed(
        images: Tensor, labels: Tensor, learning_rates: Sequence[float], batch_size: int
    ) -> None:
        step(images, labels, learning_rates, batch_size)
        sums.end_call()

    return observed


def _config(cell: Cell) -> TrainConfig:
    """Return the setup of a draw's steps: plain SGD in float32, whatever trained it."""
    phase = Phase(
        batch_size=cell.batch_size, learning_rate=cell.learning_rate, epochs=1
    )
    given = cell.config
    return TrainConfig(
        phases=(phase,), hidden=given.hidden, model=given.model, loss=given.loss
    )


def _distance(state: State, start: State) -> Tensor:
    """Return how far all weights are from `start`, (R,), L2."""
    layers = [
        torch.linalg.vector_norm(
            torch.linalg.vector_norm((weight - origin).flatten(2), dim=2)
            .cpu()
            .double(),
            dim=1,
        )
        for weight, origin in zip(state.weights, start.weights, strict=True)
    ]
    total: Tensor = torch.linalg.vector_norm(torch.stack(layers), dim=0)
    return total


def _row(
    cell: Cell,
    weighted: Tensor,
    summed: Tensor,
    path_length: float,
    moved: float,
    of_samples: Tensor,
    of_all: Tensor,
) -> dict[str, Any]:
    norm = float(summed.norm())
    values = {
        "summed_gradient_norm": norm,
        "sample_weighted_norm": float(weighted.norm()),
        "mean_gradient_norm": norm / cell.num_steps,
        "path_length": path_length,
        "straightness": norm / path_length if path_length else math.nan,
        "cosine_to_sample_gradient": _cosine(summed, of_samples),
        "cosine_to_full_gradient": _cosine(summed, of_all),
        "distance_moved": moved,
        "largest_entry": float(weighted.abs().max()),
    }
    finite = all(map(math.isfinite, (norm, path_length, moved)))
    if not finite:
        values = dict.fromkeys(values, math.nan)
    status = Status.COMPLETE if finite else Status.DIVERGED
    return values | {"num_steps": cell.num_steps, "status": status}


def _cosine(one: Tensor, other: Tensor) -> float:
    other = other.double()
    lengths = float(one.norm() * other.norm())
    return float(one @ other) / lengths if lengths else math.nan
