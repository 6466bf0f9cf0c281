"""The optimizers of torch, over replicas."""

from collections.abc import Sequence

import torch
from torch import Tensor

from raybs.config.trial import TrainConfig
from raybs.models.mlp import gradients
from raybs.models.state import State, Step, moment_names


def optimizer_step(config: TrainConfig, state: State) -> Step:
    """Return a Step that hands closed-form gradients to an optimizer of torch."""
    tensors = state.weights + state.biases
    groups = [{"params": [t[r] for t in tensors]} for r in range(state.num_replicas)]
    optimizer = _optimizer(config, groups)
    _share_moments(optimizer, config, state)

    def step(
        images: Tensor, labels: Tensor, learning_rates: Sequence[float], batch_size: int
    ) -> None:
        assert labels.shape[1] <= batch_size
        mean_gradients = gradients(config, state, images, labels)
        for replica, group in enumerate(optimizer.param_groups):
            group["lr"] = learning_rates[replica]
            for parameter, gradient in zip(
                group["params"], mean_gradients, strict=True
            ):
                parameter.grad = gradient[replica]
        optimizer.step()

    return step


def _optimizer(
    config: TrainConfig, groups: list[dict[str, list[Tensor]]]
) -> torch.optim.Optimizer:
    """Return torch's optimizer of parameter groups, one a replica."""
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=0.0,
            momentum=config.momentum,
            nesterov=config.nesterov,
            weight_decay=config.weight_decay,
            fused=True,
        )
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    optimizer: torch.optim.Optimizer = kind(
        groups,
        lr=0.0,
        weight_decay=config.weight_decay,
        fused=True,
        capturable=groups[0]["params"][0].is_cuda,
    )
    return optimizer


def _share_moments(
    optimizer: torch.optim.Optimizer, config: TrainConfig, state: State
) -> None:
    """Let `optimizer` work on views of the state's moments: so the state is whole.

    Zeros are what torch starts from: the first momentum buffer is the first gradient.
    """
    names = moment_names(config)
    for replica, group in enumerate(optimizer.param_groups):
        for index, parameter in enumerate(group["params"]):
            shared = {name: state.moments[name][index][replica] for name in names}
            if config.optimizer != "sgd":
                steps = torch.tensor(float(state.step), device=parameter.device)
                shared["step"] = steps
            optimizer.state[parameter] = shared
