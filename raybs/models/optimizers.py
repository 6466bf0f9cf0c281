"""The optimizers of torch, over replicas."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

# Their functions, not their classes: the first of those that is made imports the
# compiler of torch, which takes longer than many a trial.
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from raybs.config.trial import TrainConfig
from raybs.models.mlp import gradients
from raybs.models.state import State, Step

Update = Callable[[Sequence[Tensor | None], Sequence[float]], None]
"""Changes parameters by their mean gradients, each (R, ...), and R learning rates.

A parameter without a gradient, which no loss of this step depends on, stays as it is,
as in torch: no weight decay, no momentum."""


def optimizer_step(config: TrainConfig, state: State) -> Step:
    """Return a Step that hands closed-form gradients to an optimizer of torch."""
    tensors = state.weights + state.biases
    update = make_update(config, tensors, state.moments, state.step)

    def step(
        images: Tensor, labels: Tensor, learning_rates: Sequence[float], batch_size: int
    ) -> None:
        assert labels.shape[1] <= batch_size
        update(gradients(config, state, images, labels), learning_rates)

    return step


def make_update(
    config: TrainConfig,
    parameters: Sequence[Tensor],
    moments: Mapping[str, Sequence[Tensor]],
    step: int,
) -> Update:
    """Return the update that the optimizer of `config` makes, after `step` others.

    `parameters` are (R, ...); `moments` has a tensor for each of them, by torch's
    names, and is changed in place, too. All start at zero, as in torch: the first
    momentum buffer is the first gradient.
    """
    num_replicas = len(parameters[0])
    updates = []
    for replica in range(num_replicas):
        own = [parameter[replica] for parameter in parameters]
        shared = {name: [t[replica] for t in ts] for name, ts in moments.items()}
        make = _sgd if config.optimizer == "sgd" else _adam
        updates.append(make(config, own, shared, step))

    def update(
        mean_gradients: Sequence[Tensor | None], learning_rates: Sequence[float]
    ) -> None:
        for replica, one in enumerate(updates):
            own = [None if g is None else g[replica] for g in mean_gradients]
            one(own, learning_rates[replica])

    return update


def update_of(
    config: TrainConfig,
    state: State,
    taught: Sequence[int],
    replicas: slice = slice(None),
) -> Update:
    """Return the update of some parameters of some replicas of `state`."""
    tensors = state.weights + state.biases
    return make_update(
        config,
        [tensors[index][replicas] for index in taught],
        {n: [ts[i][replicas] for i in taught] for n, ts in state.moments.items()},
        state.step,
    )


_One = Callable[[list[Tensor | None], float], None]
"""The update of one replica."""


def _having(
    gradients: Sequence[Tensor | None], *lists: Sequence[Any]
) -> list[list[Any]]:
    """Return the gradients that there are, then what of `lists` belongs to them."""
    places = [place for place, g in enumerate(gradients) if g is not None]
    return [[one[place] for place in places] for one in (gradients, *lists)]


def _sgd(
    config: TrainConfig,
    parameters: list[Tensor],
    moments: Mapping[str, list[Tensor]],
    step: int,
) -> _One:
    buffers: list[Tensor | None] = [*moments.get("momentum_buffer", [])]

    def update(mean_gradients: list[Tensor | None], learning_rate: float) -> None:
        found, changed, own = _having(
            mean_gradients, parameters, buffers or [None] * len(parameters)
        )
        sgd(
            changed,
            found,
            own,
            lr=learning_rate,
            momentum=config.momentum,
            nesterov=config.nesterov,
            weight_decay=config.weight_decay,
            dampening=0.0,
            maximize=False,
            fused=True,
        )

    return update


def _adam(
    config: TrainConfig,
    parameters: list[Tensor],
    moments: Mapping[str, list[Tensor]],
    step: int,
) -> _One:
    device = parameters[0].device
    steps = [torch.tensor(float(step), device=device) for _ in parameters]

    def update(mean_gradients: list[Tensor | None], learning_rate: float) -> None:
        found, changed, means, squares, counts = _having(
            mean_gradients, parameters, moments["exp_avg"], moments["exp_avg_sq"], steps
        )
        # Counted where there is no gradient, too: states store one count for all.
        for count, gradient in zip(steps, mean_gradients, strict=True):
            if gradient is None:
                count += 1
        adam(
            changed,
            found,
            means,
            squares,
            [],
            counts,
            lr=learning_rate,
            beta1=config.beta1,
            beta2=config.beta2,
            eps=config.epsilon,
            weight_decay=config.weight_decay,
            decoupled_weight_decay=config.optimizer == "adamw",
            amsgrad=False,
            maximize=False,
            fused=True,
            capturable=device.type == "cuda",
        )

    return update
