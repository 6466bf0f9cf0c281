"""What training carries from epoch to epoch, and as what it is stored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raybs.config.trial import TrainConfig
from raybs.store.tensors import Tensors

INIT_STREAM = 0
ORDER_STREAM = 1


@dataclass(frozen=True, kw_only=True)
class State:
    """R replicas after `epoch` epochs.

    `moments` are the optimizer's running averages by torch's names, each with one
    tensor per weight, then one per bias, in their shapes; empty for plain SGD. Training
    changes the tensors in place.
    """

    weights: list[Tensor]
    biases: list[Tensor]
    moments: dict[str, list[Tensor]]
    epoch: int = 0
    step: int = 0
    samples_seen: int = 0

    @property
    def num_replicas(self) -> int:
        """R."""
        return len(self.weights[0])


def generator(seed: int, stream: int, number: int = 0) -> np.random.Generator:
    """Return the random numbers of one purpose: a function of its arguments alone."""
    return np.random.default_rng((seed, stream, number))


def moment_names(config: TrainConfig) -> tuple[str, ...]:
    """Return torch.optim's names of what the optimizer of `config` carries along."""
    if config.optimizer == "sgd":
        return ("momentum_buffer",) if config.momentum else ()
    return ("exp_avg", "exp_avg_sq")


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


def select(state: State, replicas: Sequence[int]) -> State:
    """Copy some replicas of `state`."""
    picked = list(replicas)
    return replace(
        state,
        weights=[tensor[picked] for tensor in state.weights],
        biases=[tensor[picked] for tensor in state.biases],
        moments={name: [t[picked] for t in ts] for name, ts in state.moments.items()},
    )


COUNTERS = ("epoch", "step", "samples_seen")
"""Of a state; all its replicas share them."""


def to_tensors(
    state: State, replica: int, training_seconds: float = 0.0
) -> tuple[Tensors, dict[str, Any]]:
    """Return one replica of `state` as named arrays, and its counters."""
    groups = {"weights": state.weights, "biases": state.biases, **state.moments}
    tensors = {
        f"{name}.{index}": np.ascontiguousarray(tensor[replica].cpu().numpy())
        for name, group in groups.items()
        for index, tensor in enumerate(group)
    }
    counters = {name: getattr(state, name) for name in COUNTERS}
    return tensors, counters | {"training_seconds": training_seconds}


def from_tensors(
    configs: Sequence[TrainConfig],
    stored: Sequence[tuple[Tensors, Mapping[str, Any]]],
    device: str,
) -> State:
    """Stack what `to_tensors` gave into a state of one replica per config."""

    def group(name: str, num: int) -> list[torch.Tensor]:
        return [
            torch.from_numpy(np.stack([t[f"{name}.{i}"] for t, _ in stored])).to(device)
            for i in range(num)
        ]

    num_layers = len(configs[0].hidden) + 1
    moments = moment_names(configs[0])
    metadata = stored[0][1]
    return State(
        weights=group("weights", num_layers),
        biases=group("biases", num_layers),
        moments={name: group(name, 2 * num_layers) for name in moments},
        **{name: metadata[name] for name in COUNTERS},
    )
