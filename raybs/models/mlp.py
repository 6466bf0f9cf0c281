"""A multilayer perceptron: init, logits, and gradients in closed form, of replicas."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from raybs.config.trial import TrainConfig
from raybs.models.state import INIT_STREAM, State, generator, moment_names


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
