"""The inner loop: optimizer steps, several at a time where that is faster.

Backward is in closed form. Plain SGD adds the gradient's matmul straight into the
weights, so no gradient is ever materialized; at small batch sizes even that waits, and
is added for many steps at once. docs/performance.md has what this brings, measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from raybs.config.keys import is_deferred
from raybs.config.trial import TrainConfig
from raybs.models.mlp import (
    add_product,
    backward,
    dtype_of,
    forward,
    in_precision,
    loss_gradient,
    relu_backward,
    summed,
)
from raybs.models.state import Observe, State


class PlainSGD:
    """A Step of SGD without momentum, deferred where batches are small.

    It follows the mean or the sum of the batch's loss, by `reduction`; `observers` see
    what gradients are made of, by layer.
    """

    def __init__(
        self,
        config: TrainConfig,
        state: State,
        reduction: str,
        observers: Mapping[int, Observe],
    ) -> None:
        """Change the tensors of `state`."""
        self.config = config
        self.state = state
        self.reduction = reduction
        self.observers = observers
        self.deferred = DeferredSGD(state, observers)
        # Each is a copy to the device, so none is made twice.
        self.scales: dict[tuple[tuple[float, ...], int], Tensor] = {}

    def __call__(
        self,
        images: Tensor,
        labels: Tensor,
        learning_rates: Sequence[float],
        batch_size: int,
    ) -> None:
        """Take one step, or those that are deferred together."""
        num_samples = labels.shape[1]
        # The last batch may be short.
        scales = [
            self._scale(tuple(learning_rates), min(batch_size, num_samples - start))
            for start in range(0, num_samples, batch_size)
        ]
        if is_deferred(self.config, batch_size):
            self.deferred(images, labels, scales, batch_size)
            return
        [scale] = scales
        work = in_precision(self.config, self.state)
        activations = forward(work, images.to(dtype_of(self.config)))
        top = loss_gradient(activations[-1], labels, scale)
        for layer, delta, inputs in backward(work, activations, top):
            if layer in self.observers:
                self.observers[layer](delta / scale, inputs, batch_size)
            add_product(self.state.weights[layer], delta, inputs)
            self.state.biases[layer].add_(summed(delta))

    def _scale(self, learning_rates: tuple[float, ...], batch_size: int) -> Tensor:
        """Return what the summed loss's gradient is multiplied by, (R, 1, 1).

        It goes into delta, so no gradient is ever materialized.
        """
        key = (learning_rates, batch_size)
        if key not in self.scales:
            divisor = batch_size if self.reduction == "mean" else 1
            sizes = [-learning_rate / divisor for learning_rate in learning_rates]
            device = self.state.weights[0].device
            self.scales[key] = torch.tensor(sizes, device=device).view(-1, 1, 1)
        return self.scales[key]


class _Batch(NamedTuple):
    """One step's views of the buffers: its own rows, and those of the steps before.

    Inputs and deltas are by layer, (R, samples, width); `product` is (R, own, before).
    """

    own: slice
    inputs: list[Tensor]
    inputs_before: list[Tensor]
    deltas: list[Tensor]
    deltas_before: list[Tensor]
    product: Tensor


@dataclass(frozen=True, kw_only=True)
class _Buffers:
    """What the steps of one call fill, by layer, and every step's views of it."""

    inputs: list[Tensor]
    deltas: list[Tensor]  # of all layers but the last
    products: Tensor
    batches: list[_Batch]

    @classmethod
    def of(cls, state: State, batch_size: int, num_samples: int) -> "_Buffers":
        """Make them for steps over `num_samples` samples of each replica."""
        samples = (state.num_replicas, num_samples)
        empty = state.weights[0].new_empty
        inputs = [empty(*samples, weight.shape[2]) for weight in state.weights]
        deltas = [empty(*samples, weight.shape[1]) for weight in state.weights[:-1]]
        products = empty(*samples, num_samples)
        batches = []
        for start in range(0, num_samples, batch_size):
            own, before = slice(start, start + batch_size), slice(0, start)
            batches.append(
                _Batch(
                    own=own,
                    inputs=[x[:, own] for x in inputs],
                    inputs_before=[x[:, before] for x in inputs],
                    deltas=[x[:, own] for x in deltas],
                    deltas_before=[x[:, before] for x in deltas],
                    product=products[:, own, before],
                )
            )
        return cls(inputs=inputs, deltas=deltas, products=products, batches=batches)


class DeferredSGD:
    """Plain SGD that updates all layers but the last once for many steps.

    Some steps after W the weights are W + D.mT @ A: A are the layer's inputs and D its
    deltas, times the step size, of all samples since. So inputs a have the outputs
    a @ W.mT + (a @ A.mT) @ D, and backward likewise: the same numbers up to rounding,
    but the big W is read twice a step and written once for many. A bias is the weight
    of an input that is always 1: hence the one added to a @ A.mT.

    In float32 whatever the config's precision: thin products are not faster in
    bfloat16, and (a @ A.mT) @ D, rounded to it, was measured to lose a digit.
    """

    def __init__(self, state: State, observers: Mapping[int, Observe]) -> None:
        """Change the tensors of `state`."""
        self.weights, self.biases = state.weights, state.biases
        self.last = len(state.weights) - 1
        self.one = state.weights[0].new_ones(1, 1, 1)
        self.state = state
        self.observers = observers
        self.buffers: dict[tuple[int, int], _Buffers] = {}

    def __call__(
        self, images: Tensor, labels: Tensor, scales: list[Tensor], batch_size: int
    ) -> None:
        """Take the steps over all samples; `scales` are those of their step sizes."""
        shape = (batch_size, labels.shape[1])
        if shape not in self.buffers:
            self.buffers[shape] = _Buffers.of(self.state, *shape)
        buffers = self.buffers[shape]
        self._begin(images, buffers)
        tops = []
        for scale, batch in zip(scales, buffers.batches, strict=True):
            logits = self._forward(batch)
            top = loss_gradient(logits, labels[:, batch.own], scale)
            tops.append(top)
            self._backward(batch, top)
        self._observe(buffers, tops, scales, batch_size)
        for layer in range(self.last):
            deltas, inputs = buffers.deltas[layer], buffers.inputs[layer]
            add_product(self.weights[layer], deltas, inputs)
            self.biases[layer].add_(summed(deltas))

    def _begin(self, images: Tensor, buffers: _Buffers) -> None:
        """Start all steps: the inputs of the first layer are known, and serve all."""
        inputs, products = buffers.inputs, buffers.products
        inputs[0].copy_(images)
        torch.baddbmm(self.biases[0], inputs[0], self.weights[0].mT, out=inputs[1])
        torch.baddbmm(self.one, inputs[0], inputs[0].mT, out=products)

    def _forward(self, batch: _Batch) -> Tensor:
        """Return the logits of a step, (R, batch, C)."""
        w, b, a, product = self.weights, self.biases, batch.inputs, batch.product
        for layer in range(self.last):
            if layer:
                torch.baddbmm(b[layer], a[layer], w[layer].mT, out=a[layer + 1])
            if batch.own.start:
                if layer:  # the first layer's products are used up by now
                    before = batch.inputs_before[layer]
                    torch.baddbmm(self.one, a[layer], before.mT, out=product)
                a[layer + 1].baddbmm_(product, batch.deltas_before[layer])
            a[layer + 1].relu_()
        return torch.baddbmm(b[self.last], a[self.last], w[self.last].mT)

    def _backward(self, batch: _Batch, top: Tensor) -> None:
        """Fill the deltas of a step, and update the last layer."""
        w, d, last = self.weights, batch.deltas, self.last
        torch.bmm(top, w[last], out=d[last - 1])
        add_product(w[last], top, batch.inputs[last])
        self.biases[last].add_(summed(top))
        for layer in reversed(range(last)):
            relu_backward(d[layer], batch.inputs[layer + 1])
            if layer:
                torch.bmm(d[layer], w[layer], out=d[layer - 1])
                if batch.own.start:
                    before = batch.deltas_before[layer]
                    torch.bmm(d[layer], before.mT, out=batch.product)
                    d[layer - 1].baddbmm_(batch.product, batch.inputs_before[layer])

    def _observe(
        self,
        buffers: _Buffers,
        tops: list[Tensor],
        scales: list[Tensor],
        batch_size: int,
    ) -> None:
        if not self.observers:
            return
        pairs = zip(scales, tops, strict=True)
        sizes = torch.cat([s.expand(-1, top.shape[1], 1) for s, top in pairs], 1)
        for layer, observe in self.observers.items():
            is_last = layer == self.last
            delta = torch.cat(tops, 1) if is_last else buffers.deltas[layer]
            observe(delta / sizes, buffers.inputs[layer], batch_size)
