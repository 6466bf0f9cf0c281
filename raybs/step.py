"""The inner loop: optimizer steps, several at a time where that is faster.

Backward is in closed form. Plain SGD adds the gradient's matmul straight into the
weights, so no gradient is ever materialized; at small batch sizes even that waits, and
is added for many steps at once. docs/performance.md has what this brings, measured.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from raybs.config.keys import is_deferred, is_plain
from raybs.config.trial import TrainConfig
from raybs.model import (
    State,
    backward,
    forward,
    loss_gradient,
    moment_names,
    relu_backward,
)

DEFERRED_SAMPLES = 64
"""For so many samples deferred updates wait: best of 16 to 256."""

Observe = Callable[[Tensor, Tensor, int], None]
"""Sees a layer's delta (R, samples, out) and inputs (R, samples, in) at the weights of
each step, and the batch size.

delta is the gradient of every sample's own loss by the layer's output, so that
delta.mT @ inputs over the samples of one step is the gradient of their summed loss.
"""

Step = Callable[[Tensor, Tensor, Sequence[float], int], None]
"""Changes the tensors of a state by ceil(samples / batch_size) steps.

It takes images (R, samples, features), labels (R, samples), R learning rates and the
batch size; of samples at most what `samples_per_call` says.
"""


def samples_per_call(config: TrainConfig, batch_size: int) -> int:
    """Return how many samples a Step wants at a time."""
    if is_deferred(config, batch_size):
        return DEFERRED_SAMPLES // batch_size * batch_size
    return batch_size


def make_step(
    configs: Sequence[TrainConfig],
    state: State,
    *,
    reduction: str = "mean",
    observers: Mapping[int, Observe] | None = None,
) -> Step:
    """Return the Step of these replicas, which changes the tensors of `state`.

    Plain SGD adds the gradient's matmul straight into the weights; the others hand
    closed-form gradients to torch.optim, one parameter group per replica. Shapes are
    static and nothing waits for the device, so on a GPU the step is captured as a CUDA
    graph (which has not been run: docs/performance.md).

    Plain SGD also takes the `reduction` of the loss over the batch that a step follows,
    and observers by layer, who see what the gradients are made of.
    """
    config = configs[0]
    if is_plain(config):
        step = _plain_sgd(config, state, reduction, observers or {})
    else:
        assert reduction == "mean"
        assert not observers
        step = _optimizer(config, state)
    return captured(step, cuda_graph) if state.weights[0].is_cuda else step


def gradients(
    config: TrainConfig, state: State, images: Tensor, labels: Tensor
) -> list[Tensor]:
    """Return the mean loss's gradients: one per weight, then one per bias."""
    num_layers = len(state.weights)
    found: list[Tensor] = [torch.empty(0)] * (2 * num_layers)
    work = _in_precision(config, state)
    activations = forward(work, images.to(_dtype(config)))
    scale = images.new_full((len(images), 1, 1), 1 / labels.shape[1])
    top = loss_gradient(activations[-1], labels, scale)
    for layer, delta, inputs in backward(work, activations, top):
        found[layer] = torch.bmm(delta.mT, inputs).float()
        found[num_layers + layer] = _sum(delta)
    return found


def _plain_sgd(
    config: TrainConfig, state: State, reduction: str, observers: Mapping[int, Observe]
) -> Step:
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
        work = _in_precision(config, state)
        activations = forward(work, images.to(_dtype(config)))
        top = loss_gradient(activations[-1], labels, scale)
        for layer, delta, inputs in backward(work, activations, top):
            if layer in observers:
                observers[layer](delta / scale, inputs, batch_size)
            _add_product(state.weights[layer], delta, inputs)
            state.biases[layer].add_(_sum(delta))

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
            _add_product(w[last], delta, a[last])
            b[last].add_(_sum(delta))
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
            _add_product(w[layer], deltas[layer], inputs[layer])
            b[layer].add_(_sum(deltas[layer]))

    return step


def _optimizer(config: TrainConfig, state: State) -> Step:
    tensors = state.weights + state.biases
    replicas = range(state.num_replicas)
    groups = [{"params": [t[replica] for t in tensors]} for replica in replicas]
    optimizer: torch.optim.Optimizer
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            groups,
            lr=0.0,
            momentum=config.momentum,
            nesterov=config.nesterov,
            weight_decay=config.weight_decay,
            fused=True,
        )
    else:
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
        optimizer = kind(
            groups,
            lr=0.0,
            weight_decay=config.weight_decay,
            fused=True,
            capturable=state.weights[0].is_cuda,
        )
    # The optimizer works on views of the state's own moments, so the state is always
    # whole. Zeros are what torch starts from: the first momentum buffer is the first
    # gradient.
    for replica, group in zip(replicas, optimizer.param_groups, strict=True):
        for index, parameter in enumerate(group["params"]):
            optimizer.state[parameter] = {
                name: state.moments[name][index][replica]
                for name in moment_names(config)
            }
            if config.optimizer != "sgd":
                done = torch.tensor(float(state.step), device=parameter.device)
                optimizer.state[parameter]["step"] = done

    def step(
        images: Tensor, labels: Tensor, learning_rates: Sequence[float], batch_size: int
    ) -> None:
        assert labels.shape[1] <= batch_size
        found = gradients(config, state, images, labels)
        for replica, group in zip(replicas, optimizer.param_groups, strict=True):
            group["lr"] = learning_rates[replica]
            for parameter, gradient in zip(group["params"], found, strict=True):
                parameter.grad = gradient[replica]
        optimizer.step()

    return step


def captured(
    step: Step, record: Callable[[Callable[[], None]], Callable[[], None]]
) -> Step:
    """Replay `step`, recorded once per shape, anew for other learning rates.

    `record` returns what repeats, on the same tensors, all that its argument does on
    the device; it does not do it. On a GPU this network is bound by the launches of its
    kernels, and a replay is one launch.
    """
    seen: dict[torch.Size, Any] = {}
    phase: tuple[object, ...] = ()

    def replayed(
        images: Tensor, labels: Tensor, learning_rates: Sequence[float], batch_size: int
    ) -> None:
        nonlocal phase
        if phase != (*learning_rates, batch_size):
            phase = (*learning_rates, batch_size)
            seen.clear()
        key = images.shape
        if key not in seen:  # for real: it sets up libraries, and copies step sizes
            step(images, labels, learning_rates, batch_size)
            seen[key] = None
            return
        if seen[key] is None:
            static = images.clone(), labels.clone()
            call = partial(step, *static, learning_rates, batch_size)
            seen[key] = (*static, record(call))
        static_images, static_labels, replay = seen[key]
        static_images.copy_(images)
        static_labels.copy_(labels)
        replay()

    return replayed


def cuda_graph(call: Callable[[], None]) -> Callable[[], None]:
    """Record `call` as a CUDA graph."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def _dtype(config: TrainConfig) -> torch.dtype:
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[config.precision]


def _in_precision(config: TrainConfig, state: State) -> State:
    """Return the weights and biases that matmuls read: in float32 the state's own."""
    dtype = _dtype(config)
    if dtype == torch.float32:
        return state
    weights = [weight.to(dtype) for weight in state.weights]
    return replace(state, weights=weights, biases=[b.to(dtype) for b in state.biases])


def _add_product(weight: Tensor, delta: Tensor, inputs: Tensor) -> None:
    """Add delta.mT @ inputs to `weight`, which is float32 whatever they are."""
    if delta.dtype == weight.dtype:
        weight.baddbmm_(delta.mT, inputs)
    else:
        weight.add_(torch.bmm(delta.mT, inputs))


def _sum(delta: Tensor) -> Tensor:
    """Sum over the batch, in float32."""
    return delta.sum(1, keepdim=True, dtype=torch.float32)
