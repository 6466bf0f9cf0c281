"""Sums of gradients over the steps of a draw."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from raybs.models.state import State

AT_ONCE = 1024
"""Samples of one pass where weights are still; fixed, since sums depend on it."""

MAX_ENTRIES = 2**20
"""Of gradients made at once: 4 MiB."""


class Sums:
    """Adds up the gradients of some layers over the steps of R draws, side by side.

    `weighted` is sum n_k g_k and `summed` is sum g_k, by layer (R, out, in);
    `path_length` is (R,). A captured step adds to these very tensors.
    """

    def __init__(self, state: State, layers: Sequence[int]) -> None:
        """Start from zero, for the weights of `layers`."""
        weights = {layer: state.weights[layer] for layer in layers}
        self.layers = tuple(layers)
        self.weighted = {layer: torch.zeros_like(w) for layer, w in weights.items()}
        self.summed = {layer: torch.zeros_like(w) for layer, w in weights.items()}
        self.path_length = state.weights[0].new_zeros(state.num_replicas)
        # Squared norms of the steps of one call, of which there is one a sample at
        # most: layers are seen one by one.
        self.squares = state.weights[0].new_zeros(state.num_replicas, AT_ONCE)

    def reset(self) -> None:
        """Start again from zero."""
        for tensor in (*self.weighted.values(), *self.summed.values()):
            tensor.zero_()
        self.path_length.zero_()

    def observe(
        self, layer: int, delta: Tensor, inputs: Tensor, batch_size: int
    ) -> None:
        """Add the steps that these samples make, as `raybs.models.state.Observer`."""
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
        gradients = deltas.mT @ inputs.reshape(len(inputs), *shape, -1)
        self._add_gradients(layer, gradients, num_samples, steps)

    def observe_gradient(
        self, layer: int, gradient: Tensor, num_samples: int, step: int
    ) -> None:
        """Add one step of a single draw, as `raybs.models.state.Observer`."""
        steps = slice(step, step + 1)
        self._add_gradients(layer, gradient[None, None], num_samples, steps)

    def _add_gradients(
        self, layer: int, gradients: Tensor, num_samples: int, steps: slice
    ) -> None:
        """Add n_k g_k of steps over `num_samples` samples each, (R, steps, *shape)."""
        total = gradients.sum(1)
        self.weighted[layer].add_(total)
        self.summed[layer].add_(total, alpha=1 / num_samples)
        norms = torch.linalg.vector_norm(gradients.flatten(2), dim=2).div_(num_samples)
        self.squares[:, steps].add_(norms.square_())

    def end_call(self) -> None:
        """Add the norms of the steps of one call to the path."""
        self.path_length.add_(self.squares.sqrt().sum(1))
        self.squares.zero_()


def flat(by_layer: Mapping[int, Tensor]) -> Tensor:
    """Return (R, entries) on the host: all layers as one vector."""
    return torch.cat([tensor.flatten(1) for tensor in by_layer.values()], 1).cpu()
