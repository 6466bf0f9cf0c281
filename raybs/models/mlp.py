"""A multilayer perceptron: init, logits, and gradients in closed form, of replicas."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from raybs.config.trial import TrainConfig
from raybs.models.state import (
    INIT_STREAM,
    Observer,
    Score,
    State,
    Step,
    generator,
    moment_names,
)


def init_state(
    configs: Sequence[TrainConfig], num_features: int, num_classes: int, device: str
) -> State:
    """Draw the weights of one replica per config; they share all but seed and phases.

    glorot_uniform: uniform within sqrt(6 / (in + out)), zero biases (Glorot and Bengio
    2010; reproduces the article's distances). torch_default: weights and biases uniform
    within sqrt(1 / in), as torch.nn.Linear. he_uniform: within sqrt(6 / in), zero
    biases (He et al. 2015). The same seed gives the same weights on every device.
    """
    sizes = (num_features, *configs[0].hidden, num_classes)
    weights, biases = [], []
    generators = [generator(config.seed, INIT_STREAM) for config in configs]
    for fan_in, fan_out in zip(sizes, sizes[1:], strict=False):
        bound, bias_bound = {
            "glorot_uniform": (math.sqrt(6 / (fan_in + fan_out)), 0.0),
            "torch_default": (math.sqrt(1 / fan_in), math.sqrt(1 / fan_in)),
            "he_uniform": (math.sqrt(6 / fan_in), 0.0),
        }[configs[0].init]
        weights.append(_uniform(generators, (fan_out, fan_in), bound, device))
        if bias_bound:
            biases.append(_uniform(generators, (1, fan_out), bias_bound, device))
        else:
            biases.append(torch.zeros(len(configs), 1, fan_out, device=device))
    names = moment_names(configs[0])
    moments = {
        name: [torch.zeros_like(tensor) for tensor in weights + biases]
        for name in names
    }
    return State(weights=weights, biases=biases, moments=moments)


def make_sequential(
    config: TrainConfig, num_features: int, num_classes: int
) -> nn.Sequential:
    """Return the same network, at the same init, as a torch.nn.Module."""
    state = init_state([config], num_features, num_classes, "cpu")
    layers: list[nn.Module] = [nn.Flatten()]
    for weight, bias in zip(state.weights, state.biases, strict=True):
        linear = nn.Linear(weight.shape[2], weight.shape[1])
        with torch.no_grad():
            linear.weight.copy_(weight[0])
            linear.bias.copy_(bias[0, 0])
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def empty_state(config: TrainConfig) -> State:
    """Return a state of this shape of layers, of empty tensors: what can be named."""
    num_layers = len(config.hidden) + 1
    return State(
        weights=[torch.empty(0) for _ in range(num_layers)],
        biases=[torch.empty(0) for _ in range(num_layers)],
        moments={
            name: [torch.empty(0) for _ in range(2 * num_layers)]
            for name in moment_names(config)
        },
    )


def scorer(state: State, at_once: int) -> Score:
    """Return what scores up to `at_once` samples at a time."""
    # Without buffers the heap fragments: 220 MB more for 60,000 images.
    shape = (state.num_replicas, at_once)
    buffers = [w.new_empty(*shape, w.shape[1]) for w in state.weights]

    def score(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        target = labels.expand(state.num_replicas, -1)
        images = images.expand(state.num_replicas, -1, -1)
        logits = forward(state, images, buffers)[-1]
        negative = torch.logsumexp(logits, -1) - logits.gather(
            2, target.unsqueeze(2)
        ).squeeze(2)
        return negative.sum(1), (logits.argmax(2) == target).sum(1)

    return score


def forward(
    state: State, images: Tensor, buffers: Sequence[Tensor] | None = None
) -> list[Tensor]:
    """Return every layer's input, (R, batch, in), and last the logits (R, batch, C).

    `buffers`, one per layer, (R, batch or more, out), take the outputs.
    """
    activations = [images]
    batch_size, last = images.shape[1], len(state.weights) - 1
    for layer, (weight, bias) in enumerate(
        zip(state.weights, state.biases, strict=True)
    ):
        out = buffers[layer][:, :batch_size] if buffers else None
        output = torch.baddbmm(bias, activations[-1], weight.mT, out=out)
        activations.append(output if layer == last else output.relu_())
    return activations


def loss_gradient(logits: Tensor, labels: Tensor, scale: Tensor) -> Tensor:
    """Return scale x (softmax - one-hot), (R, batch, C): the summed loss's gradient.

    `labels` are (R, batch), `scale` is (R, 1, 1); 1 / batch makes it that of the mean
    loss. Computed in float32, returned in the precision of the logits.
    """
    delta = torch.softmax(logits, -1, dtype=torch.float32)
    delta.scatter_add_(2, labels.unsqueeze(2), delta.new_full((), -1).expand_as(delta))
    return delta.mul_(scale).to(logits.dtype)


def still_step(state: State, observer: Observer) -> Step:
    """Return a Step that holds the weights still and only observes."""
    one = state.weights[0].new_ones(1, 1, 1)

    def step(
        images: Tensor, labels: Tensor, learning_rates: Sequence[float], batch_size: int
    ) -> None:
        activations = forward(state, images)
        top = loss_gradient(activations[-1], labels, one)
        for layer, delta, inputs in backward(state, activations, top):
            if layer in observer.layers:
                observer.observe(layer, delta, inputs, batch_size)
            if layer == min(observer.layers):
                break

    return step


def backward(
    state: State, activations: Sequence[Tensor], delta: Tensor
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield (layer, delta, input) from the last layer to the first.

    delta (R, batch, out) is the loss's gradient by the layer's output; delta.mT @ input
    is that by its weight, delta summed over the batch that by its bias. The weights of
    a yielded layer are no longer needed, so the caller may change them.
    """
    for layer in reversed(range(len(state.weights))):
        below = delta
        if layer:
            below = torch.bmm(delta, state.weights[layer])
            relu_backward(below, activations[layer])
        yield layer, delta, activations[layer]
        delta = below


def relu_backward(delta: Tensor, outputs: Tensor) -> None:
    """Set `delta` to zero where ReLU's outputs are: its gradient is zero there."""
    torch.ops.aten.threshold_backward.grad_input(delta, outputs, 0, grad_input=delta)


def _uniform(
    generators: Sequence[np.random.Generator],
    shape: tuple[int, int],
    bound: float,
    device: str,
) -> Tensor:
    # Drawn on the CPU in float32, so that every device starts with the same weights.
    drawn = np.stack([g.random(shape, dtype=np.float32) for g in generators])
    return torch.from_numpy((drawn * 2 - 1) * np.float32(bound)).to(device)


def gradients(
    config: TrainConfig, state: State, images: Tensor, labels: Tensor
) -> list[Tensor]:
    """Return the mean loss's gradients: one per weight, then one per bias."""
    of_weights = [torch.empty(0)] * len(state.weights)
    of_biases = of_weights.copy()
    work = in_precision(config, state)
    activations = forward(work, images.to(dtype_of(config)))
    scale = images.new_full((len(images), 1, 1), 1 / labels.shape[1])
    top = loss_gradient(activations[-1], labels, scale)
    for layer, delta, inputs in backward(work, activations, top):
        of_weights[layer] = torch.bmm(delta.mT, inputs).float()
        of_biases[layer] = summed(delta)
    return of_weights + of_biases


def dtype_of(config: TrainConfig) -> torch.dtype:
    """Return the type in which matmuls are computed."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[config.precision]


def in_precision(config: TrainConfig, state: State) -> State:
    """Return the weights and biases that matmuls read: in float32 the state's own."""
    dtype = dtype_of(config)
    if dtype == torch.float32:
        return state
    weights = [weight.to(dtype) for weight in state.weights]
    return replace(state, weights=weights, biases=[b.to(dtype) for b in state.biases])


def add_product(weight: Tensor, delta: Tensor, inputs: Tensor) -> None:
    """Add delta.mT @ inputs to `weight`, which is float32 whatever they are."""
    if delta.dtype == weight.dtype:
        weight.baddbmm_(delta.mT, inputs)
    else:
        weight.add_(torch.bmm(delta.mT, inputs))


def summed(delta: Tensor) -> Tensor:
    """Sum over the batch, in float32."""
    return delta.sum(1, keepdim=True, dtype=torch.float32)
