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
