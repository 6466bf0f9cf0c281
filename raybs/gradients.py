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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raybs.config.gradient_sweep import Cell, Pair
from raybs.config.trial import Phase, TrainConfig
from raybs.datasets.tensors import Dataset
from raybs.models.base import make_step, samples_per_call
from raybs.models.mlp import backward, forward, loss_gradient
from raybs.models.state import State, Step, generator, select
from raybs.train import take_steps

SAMPLES_STREAM = 2
SHUFFLE_STREAM = 3

AT_ONCE = 1024
"""Samples of one pass where weights are still; fixed, since sums depend on it."""

MAX_ENTRIES = 2**20
"""Of gradients made at once: 4 MiB."""

CACHE_BYTES = 2**25
"""Of the gradients of sample sets, which draws at other batch sizes need again."""


class Sums:
    """Adds up the gradients of some layers over the steps of R draws, side by side.

    `weighted` is sum n_k g_k and `summed` is sum g_k, by layer (R, out, in);
    `path_length` is (R,). A captured step adds to these very tensors.
    """

    def __init__(self, state: State, layers: Sequence[int]) -> None:
        """Start from zero, for the weights of `layers`."""
        weights = {layer: state.weights[layer] for layer in layers}
        self.weighted = {layer: torch.zeros_like(w) for layer, w in weights.items()}
        self.summed = {layer: torch.zeros_like(w) for layer, w in weights.items()}
        self.path_length = state.weights[0].new_zeros(state.num_replicas)
        # Squared norms of the steps of one call, of which there is one a sample at
        # most: layers are seen one by one.
        self.squares = state.weights[0].new_zeros(state.num_replicas, AT_ONCE)
        self.observers = {layer: partial(self.observe, layer) for layer in layers}

    def reset(self) -> None:
        """Start again from zero."""
        for tensor in (*self.weighted.values(), *self.summed.values()):
            tensor.zero_()
        self.path_length.zero_()

    def observe(
        self, layer: int, delta: Tensor, inputs: Tensor, batch_size: int
    ) -> None:
        """Add the steps that these samples make, as `raybs.models.state.Observe`."""
        num_samples = delta.shape[1]
        num_full = num_samples // batch_size
        at_once = max(MAX_ENTRIES // self.weighted[layer].numel(), 1)
        for first in range(0, num_full, at_once):
            stop = min(first + at_once, num_full)
            samples = slice(first * batch_size, stop * batch_size)
            steps = slice(first, stop)
            self._add(layer, delta[:, samples], inputs[:, samples], steps)
        if num_samples % batch_size:  # the short last batch
            samples = slice(num_full * batch_size, num_samples)
            steps = slice(num_full, num_full + 1)
            self._add(layer, delta[:, samples], inputs[:, samples], steps)

    def _add(self, layer: int, delta: Tensor, inputs: Tensor, steps: slice) -> None:
        num_steps = steps.stop - steps.start
        num_samples = delta.shape[1] // num_steps
        shape = (num_steps, num_samples)
        # n_k g_k of every step, (R, steps, out, in).
        deltas = delta.reshape(len(delta), *shape, -1)
        found = deltas.mT @ inputs.reshape(len(inputs), *shape, -1)
        total = found.sum(1)
        self.weighted[layer].add_(total)
        self.summed[layer].add_(total, alpha=1 / num_samples)
        norms = torch.linalg.vector_norm(found.flatten(2), dim=2).div_(num_samples)
        self.squares[:, steps].add_(norms.square_())

    def end_call(self) -> None:
        """Add the norms of the steps of one call to the path."""
        self.path_length.add_(self.squares.sqrt().sum(1))
        self.squares.zero_()


def flat(by_layer: Mapping[int, Tensor]) -> Tensor:
    """Return (R, entries) on the host: all layers as one vector."""
    return torch.cat([tensor.flatten(1) for tensor in by_layer.values()], 1).cpu()


@dataclass(frozen=True, kw_only=True)
class References:
    """What the draws from one state share: it, and gradients at it.

    `start` holds one replica, which stays as it is. Of the cell only what decides
    sample sets and layers counts, not its batch size.
    """

    start: State
    data: Dataset
    cell: Cell
    kept: dict[int, int] = field(default_factory=dict)

    @cached_property
    def of_all(self) -> Tensor:
        """Gradient of the summed loss of all training samples, (entries,)."""
        return self._gradient(np.arange(self.data.num_samples))

    @cached_property
    def _places(self) -> Tensor:
        """One block: a thousand small tensors among large ones fragmented the heap."""
        layers = self.cell.layers
        entries = sum(self.start.weights[layer].numel() for layer in layers)
        return torch.empty(max(CACHE_BYTES // (4 * entries), 1), entries)

    def of_samples(self, number: int) -> Tensor:
        """Return the gradient of the summed loss of a sample set, (entries,)."""
        place = number % len(self._places)
        if self.kept.get(place) != number:
            samples = sample_set(self.cell, number, self.data.num_samples)
            self._places[place] = self._gradient(samples)
            self.kept[place] = number
        return self._places[place]

    def _gradient(self, samples: "np.ndarray[Any, Any]") -> Tensor:
        sums = Sums(self.start, self.cell.layers)
        step = still_step(self.start, sums)
        order = torch.from_numpy(samples).to(self.data.train_images.device)
        take_steps(self.data, order.unsqueeze(0), step, AT_ONCE, [0.0], AT_ONCE)
        return flat(sums.weighted)[0]


def sample_set(
    cell: Cell, number: int, num_samples: int
) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return the training samples of sample set `number`, ascending.

    Drawn without replacement; the same at every batch size and in every regime, so that
    cells compare as pairs.
    """
    draw = generator(cell.seed, SAMPLES_STREAM, number)
    return np.sort(draw.choice(num_samples, cell.num_samples, replace=False))


def sample_order(
    cell: Cell, pair: Pair, num_samples: int
) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return the samples of a draw in the order in which it steps through them."""
    number, order = pair
    shuffle = generator(cell.seed, SHUFFLE_STREAM, order)
    return sample_set(cell, number, num_samples)[shuffle.permutation(cell.num_samples)]


def still_step(state: State, sums: Sums) -> Step:
    """Return a Step that holds the weights still and only observes."""
    one = state.weights[0].new_ones(1, 1, 1)

    def step(
        images: Tensor, labels: Tensor, learning_rates: Sequence[float], batch_size: int
    ) -> None:
        activations = forward(state, images)
        top = loss_gradient(activations[-1], labels, one)
        for layer, delta, inputs in backward(state, activations, top):
            if layer in sums.observers:
                sums.observers[layer](delta, inputs, batch_size)
            if layer == min(sums.observers):
                break
        sums.end_call()

    return step


@torch.no_grad()
def draw(
    references: References, cell: Cell, pairs: Sequence[Pair], *, num_replicas: int = 1
) -> Iterator[tuple[dict[str, Any], Tensor]]:
    """Yield every draw's numbers, and its sum n_k g_k: (entries,) on the host.

    `num_replicas` draws are taken side by side, which changes the last digits. A draw
    whose numbers are not all finite is "diverged", and they are NaN.
    """
    start, data = references.start, references.data
    device = data.train_images.device
    at_once = _samples_per_call(cell)
    state, sums, step = start, None, None
    for first in range(0, len(pairs), num_replicas):
        group = pairs[first : first + num_replicas]
        if sums is None or state.num_replicas != len(group):
            state = select(start, [0] * len(group))
            sums = Sums(state, cell.layers)
            step = _make_step(cell, state, sums)
        assert step is not None
        for tensors, origin in (
            (state.weights, start.weights),
            (state.biases, start.biases),
        ):
            for tensor, value in zip(tensors, origin, strict=True):
                tensor.copy_(value.expand_as(tensor))
        sums.reset()
        orders = [sample_order(cell, pair, data.num_samples) for pair in group]
        order = torch.from_numpy(np.stack(orders)).to(device)
        rates = [cell.learning_rate] * len(group)
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


def _samples_per_call(cell: Cell) -> int:
    if cell.frozen:  # any number will do
        return max(AT_ONCE // cell.batch_size, 1) * cell.batch_size
    return samples_per_call(_config(cell), cell.batch_size)


def _make_step(cell: Cell, state: State, sums: Sums) -> Step:
    if cell.frozen:
        return still_step(state, sums)
    configs = [_config(cell)] * state.num_replicas
    step = make_step(configs, state, reduction=cell.reduction, observers=sums.observers)

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
    return TrainConfig(phases=(phase,), hidden=cell.config.hidden)


def _distance(state: State, start: State) -> Tensor:
    """Return how far all weights are from `start`, (R,), L2."""
    layers = [
        torch.linalg.vector_norm(
            torch.linalg.vector_norm(weight - origin, dim=2).cpu().double(), dim=1
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
    status = "complete" if finite else "diverged"
    return values | {"num_steps": cell.num_steps, "status": status}


def _cosine(one: Tensor, other: Tensor) -> float:
    other = other.double()
    lengths = float(one.norm() * other.norm())
    return float(one @ other) / lengths if lengths else math.nan
