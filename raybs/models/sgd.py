"""The inner loop: optimizer steps, several at a time where that is faster.

Backward is in closed form. Plain SGD adds the gradient's matmul straight into the
weights, so no gradient is ever materialized; at small batch sizes even that waits, and
is added for many steps at once. docs/performance.md has what this brings, measured.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from raybs.config.keys import is_deferred
from raybs.config.trial import TrainConfig
from raybs.models.mlp import (
    _dtype,
    add_product,
    backward,
    forward,
    in_precision,
    loss_gradient,
    relu_backward,
    summed,
)
from raybs.models.state import Observe, State, Step


def plain_sgd(
    config: TrainConfig, state: State, reduction: str, observers: Mapping[int, Observe]
) -> Step:
    """Return a Step of SGD without momentum, deferred where batches are small.

    A loss that follows the mean or the sum of a batch, by `reduction`; `observers` see
    what gradients are made of, by layer.
    """
    device = state.weights[0].device
    deferred = _deferred_sgd(state, observers)

    @cache  # a copy to the device, so not in every step
    def step_size(learning_rates: tuple[float, ...], batch_size: int) -> Tensor:
        divisor = batch_size if reduction == "mean" else 1
        sizes = [-learning_rate / divisor for learning_rate in learning_rates]
        return torch.tensor(sizes, device=device).view(-1, 1, 1)

    def step(
        images: Tensor, labels: Tensor, learning_rates: Sequence[float], batch_size: int
    ) -> None:
        num_samples = labels.shape[1]
        # The step size goes into delta, so no gradient is ever materialized. The last
        # batch may be short.
        scales = [
            step_size(tuple(learning_rates), min(batch_size, num_samples - start))
            for start in range(0, num_samples, batch_size)
        ]
        if is_deferred(config, batch_size):
            deferred(images, labels, scales, batch_size)
            return
        [scale] = scales
        work = in_precision(config, state)
        activations = forward(work, images.to(_dtype(config)))
        top = loss_gradient(activations[-1], labels, scale)
        for layer, delta, inputs in backward(work, activations, top):
            if layer in observers:
                observers[layer](delta / scale, inputs, batch_size)
            add_product(state.weights[layer], delta, inputs)
            state.biases[layer].add_(summed(delta))

    return step


def _deferred_sgd(
    state: State, observers: Mapping[int, Observe]
) -> Callable[[Tensor, Tensor, list[Tensor], int], None]:
    """Return plain SGD that updates all layers but the last once for many steps.

    Some steps after W the weights are W + D.mT @ A: A are the layer's inputs and D its
    deltas, times the step size, of all samples since. So inputs a have the outputs
    a @ W.mT + (a @ A.mT) @ D, and backward likewise: the same numbers up to rounding,
    but the big W is read twice a step and written once for many. A bias is the weight
    of an input that is always 1: hence the one added to a @ A.mT.

    In float32 whatever the config's precision: thin products are not faster in
    bfloat16, and (a @ A.mT) @ D, rounded to it, was found to lose a digit.
    """
    w, b, last = state.weights, state.biases, len(state.weights) - 1

    @cache
    def buffers(batch_size: int, num_samples: int) -> tuple[Any, ...]:
        """Make what all steps of a call fill, and every step's views of it."""
        samples = (state.num_replicas, num_samples)
        empty = w[0].new_empty
        inputs = [empty(*samples, weight.shape[2]) for weight in w]
        deltas = [empty(*samples, weight.shape[1]) for weight in w[:last]]
        products = empty(*samples, num_samples)
        steps = []
        for start in range(0, num_samples, batch_size):
            now, before = slice(start, start + batch_size), slice(0, start)
            a, d = [x[:, now] for x in inputs], [x[:, now] for x in deltas]
            a_before = [x[:, before] for x in inputs]
            d_before = [x[:, before] for x in deltas]
            steps.append((now, a, a_before, d, d_before, products[:, now, before]))
        return inputs, deltas, products, steps

    def step(
        images: Tensor, labels: Tensor, scales: list[Tensor], batch_size: int
    ) -> None:
        inputs, deltas, products, steps = buffers(batch_size, labels.shape[1])
        one = products.new_ones(1, 1, 1)
        tops: list[Tensor] = []
        inputs[0].copy_(images)
        # The inputs of the first layer are known: one matmul serves all steps.
        torch.baddbmm(b[0], inputs[0], w[0].mT, out=inputs[1])
        torch.baddbmm(one, inputs[0], inputs[0].mT, out=products)
        for scale, (now, a, a_before, d, d_before, product) in zip(
            scales, steps, strict=True
        ):
            for layer in range(last):
                if layer:
                    torch.baddbmm(b[layer], a[layer], w[layer].mT, out=a[layer + 1])
                if now.start:
                    if layer:  # the first layer's products are used up by now
                        torch.baddbmm(one, a[layer], a_before[layer].mT, out=product)
                    a[layer + 1].baddbmm_(product, d_before[layer])
                a[layer + 1].relu_()
            logits = torch.baddbmm(b[last], a[last], w[last].mT)
            delta = loss_gradient(logits, labels[:, now], scale)
            tops.append(delta)
            torch.bmm(delta, w[last], out=d[last - 1])
            add_product(w[last], delta, a[last])
            b[last].add_(summed(delta))
            for layer in reversed(range(last)):
                relu_backward(d[layer], a[layer + 1])
                if layer:
                    torch.bmm(d[layer], w[layer], out=d[layer - 1])
                    if now.start:
                        torch.bmm(d[layer], d_before[layer].mT, out=product)
                        d[layer - 1].baddbmm_(product, a_before[layer])
        if observers:
            pairs = zip(scales, tops, strict=True)
            sizes = torch.cat([s.expand(-1, top.shape[1], 1) for s, top in pairs], 1)
            for layer, observe in observers.items():
                delta = torch.cat(tops, 1) if layer == last else deltas[layer]
                observe(delta / sizes, inputs[layer], batch_size)
        for layer in range(last):
            add_product(w[layer], deltas[layer], inputs[layer])
            b[layer].add_(summed(deltas[layer]))

    return step
