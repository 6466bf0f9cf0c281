"""What training carries from epoch to epoch, and as what it is stored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from raybs.config.keys import Epoch
from raybs.config.trial import TrainConfig
from raybs.datasets.tensors import Dataset
from raybs.store.tensors import Tensors

INIT_STREAM = 0
ORDER_STREAM = 1


@dataclass(frozen=True, kw_only=True)
class State:
    """R replicas after `epoch` epochs.

    `moments` are the optimizer's running averages by torch's names, each with one
    tensor per weight, then one per bias, in their shapes; empty for plain SGD. Weights
    are parameters of two or more dimensions, biases all others; `buffers` is what else
    a module carries along. `names` are a module's own of them all. Training changes the
    tensors in place.
    """

    weights: list[Tensor]
    biases: list[Tensor]
    moments: dict[str, list[Tensor]]
    buffers: list[Tensor] = field(default_factory=list)
    names: "Names | None" = None
    epoch: int = 0
    step: int = 0
    samples_seen: int = 0

    @property
    def num_replicas(self) -> int:
        """R."""
        return len(self.weights[0])


class Names(NamedTuple):
    """A module's own names of the tensors of its State."""

    weights: tuple[str, ...]
    biases: tuple[str, ...]
    buffers: tuple[str, ...]


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


class Observer(Protocol):
    """Sees the gradients of steps by the weights of some layers."""

    layers: tuple[int, ...]

    def observe(
        self, layer: int, delta: Tensor, inputs: Tensor, batch_size: int
    ) -> None:
        """See what the gradients of R replicas are made of, as `Observe`."""
        ...

    def observe_gradient(
        self, layer: int, gradient: Tensor, num_samples: int, step: int
    ) -> None:
        """See the gradient of the summed loss of one step, in its weight's shape.

        Of one replica; `step` counts the steps of one call.
        """
        ...


Score = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Takes images (samples, features) and labels (samples,), the same for all R replicas;
gives the sum of their losses in nats, and how many are right, each (R,)."""

Step = Callable[[Tensor, Tensor, Sequence[float], int], None]
"""Changes the tensors of a state by ceil(samples / batch_size) steps.

It takes images (R, samples, features), labels (R, samples), R learning rates and the
batch size; of samples at most what `samples_per_call` says.
"""


Steps = Callable[[Tensor, Epoch, Sequence[float], int], None]
"""Trains one epoch: takes the samples in their order, (R, samples), what the epoch
does, R learning rates and the number of the epoch."""


def select(state: State, replicas: Sequence[int]) -> State:
    """Copy some replicas of `state`."""
    picked = list(replicas)
    return replace(
        state,
        weights=[tensor[picked] for tensor in state.weights],
        biases=[tensor[picked] for tensor in state.biases],
        moments={name: [t[picked] for t in ts] for name, ts in state.moments.items()},
        buffers=[tensor[picked] for tensor in state.buffers],
    )


COUNTERS = ("epoch", "step", "samples_seen")
"""Of a state; all its replicas share them."""


def to_tensors(
    state: State, replica: int, training_seconds: float = 0.0
) -> tuple[Tensors, dict[str, Any]]:
    """Return one replica of `state` as named arrays, and its counters."""
    tensors = {
        name: tensor[replica].contiguous().cpu().numpy()
        for name, tensor in _named(state).items()
    }
    counters = {name: getattr(state, name) for name in COUNTERS}
    return tensors, counters | {"training_seconds": training_seconds}


def _named(state: State) -> dict[str, Tensor]:
    """Return all tensors by the names under which they are stored.

    Those of the MLP are numbered, those of a module have its own names.
    """
    groups = {"weights": state.weights, "biases": state.biases, **state.moments}
    if state.names is None:
        return {
            f"{name}.{index}": tensor
            for name, group in groups.items()
            for index, tensor in enumerate(group)
        }
    names = state.names
    parameters = (*names.weights, *names.biases)
    of_groups = {"weights": names.weights, "biases": names.biases}
    of_groups |= {
        moment: tuple(f"{moment}.{name}" for name in parameters)
        for moment in state.moments
    }
    of_groups["buffers"], groups["buffers"] = names.buffers, state.buffers
    return {
        name: tensor
        for group, tensors in groups.items()
        for name, tensor in zip(of_groups[group], tensors, strict=True)
    }


def from_tensors(
    template: State,
    stored: Sequence[tuple[Tensors, Mapping[str, Any]]],
    device: str,
) -> State:
    """Stack what `to_tensors` gave into a state of one replica for each.

    `template` is a state of such replicas, of which only the names count.

    Raises:
        ValueError: They are tensors of another network.
    """
    by_place = {id(tensor): name for name, tensor in _named(template).items()}

    def read(tensors: Sequence[Tensor]) -> list[Tensor]:
        names = [by_place[id(tensor)] for tensor in tensors]
        return [
            torch.from_numpy(np.stack([t[name] for t, _ in stored])).to(device)
            for name in names
        ]

    metadata = stored[0][1]
    try:
        return replace(
            template,
            weights=read(template.weights),
            biases=read(template.biases),
            moments={name: read(ts) for name, ts in template.moments.items()},
            buffers=read(template.buffers),
            **{name: metadata[name] for name in COUNTERS},
        )
    except KeyError as error:
        raise ValueError(f"the stored state lacks {error}") from None


def take_steps(
    data: Dataset,
    order: Tensor,
    step: Step,
    batch_size: int,
    learning_rates: Sequence[float],
    at_once: int,
) -> None:
    """Step through the training samples at `order`, (R, samples)."""
    labels = data.train_labels[order]
    for start in range(0, order.shape[1], at_once):
        picked = order[:, start : start + at_once]
        images = data.train_images.index_select(0, picked.flatten())
        images = images.view(*picked.shape, -1)
        step(images, labels[:, start : start + at_once], learning_rates, batch_size)
