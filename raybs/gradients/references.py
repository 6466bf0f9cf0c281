"""What draws are compared with: sample sets, their orders, their gradients."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raybs.config.gradient_sweep import Cell, Pair
from raybs.datasets.tensors import Dataset
from raybs.gradients.sums import AT_ONCE, Sums, flat
from raybs.models.base import Model
from raybs.models.state import State, generator, take_steps

SAMPLES_STREAM = 2

SHUFFLE_STREAM = 3

CACHE_BYTES = 2**25
"""Of the gradients of sample sets, which draws at other batch sizes need again."""


@dataclass(frozen=True, kw_only=True)
class References:
    """What the draws from one state share: it, and gradients at it.

    `start` holds one replica, which stays as it is. Of the cell only what decides
    sample sets and layers counts, not its batch size.
    """

    start: State
    data: Dataset
    cell: Cell
    model: Model
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
        step = self.model.still_step(self.start, sums)
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
