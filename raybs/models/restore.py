"""A stored state as a torch.nn.Module, and what its samples must be like."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raybs.config.keys import is_closed_form
from raybs.config.trial import TrainConfig
from raybs.datasets.dataset import Arrays
from raybs.datasets.tensors import Dataset, to_device
from raybs.models.base import MLP
from raybs.models.mlp import make_sequential
from raybs.models.module import ModuleModel
from raybs.store.tensors import Tensors


@dataclass(frozen=True, kw_only=True)
class Standardization:
    """How samples of a dataset become what a network was trained on.

    `mean` and `deviation` are those of all training pixels, in the dataset's own units.
    A sample has the shape `stored` in the dataset, and `shape` for the network; with
    `channels_last` (H, W, C) is turned to (C, H, W).
    """

    mean: float
    deviation: float
    stored: tuple[int, ...]
    shape: tuple[int, ...]
    channels_last: bool

    def apply(self, samples: np.ndarray[Any, Any]) -> Tensor:
        """Return `samples` (N, *stored), as the dataset has them, as (N, *shape).

        In float32.

        Raises:
            ValueError: They are of another shape.
        """
        if samples.shape[1:] != self.stored:
            raise ValueError(
                f"samples of shape {samples.shape[1:]}; the network was trained on "
                f"{self.stored}, give (N, {', '.join(map(str, self.stored))})."
            )
        tensor = torch.tensor(samples).to(torch.float32)
        tensor = tensor.sub_(self.mean).div_(self.deviation)
        if self.channels_last:
            tensor = tensor.permute(0, 3, 1, 2)
        return tensor.reshape(len(samples), *self.shape)

    def __str__(self) -> str:
        """Say it, as to who writes the same elsewhere."""
        order = ""
        if len(self.shape) == 3:
            is_first = self.channels_last or self.shape != self.stored
            order = " (channels, height, width)" if is_first else " (as in the dataset)"
        return (
            f"(x - {self.mean:.9g}) / {self.deviation:.9g} of the dataset's own "
            f"values, float32, a sample of shape {self.shape}{order}"
        )


def restore(
    config: TrainConfig,
    arrays: Arrays,
    stored: tuple[Tensors, Mapping[str, Any]] | None,
) -> nn.Module:
    """Return the network of `config` with the weights of a stored state (None: init).

    In eval mode, on the CPU; its attribute `standardization` is a `Standardization`.
    The built-in MLP is a torch.nn.Sequential.

    Raises:
        ValueError: A user's code is not as it must be; or the state is of another
            network; or the module has an attribute of that name.
    """
    data = to_device(arrays, "cpu", first=1)
    shape, module = data.shape, nn.Module()
    if is_closed_form(config):
        module = _restore_mlp(config, data, stored)
        # It reads the numbers of a sample in the order in which they are stored.
        shape = arrays.x_train.shape[1:] if data.channels_last else shape
    else:
        model = ModuleModel(config, data)
        state = model.load([config], [stored]) if stored else model.init([config])
        module = model.bound(state, 0)
    if hasattr(module, "standardization"):
        raise ValueError(
            f"{config.model}: its module has a 'standardization' of its own, by which "
            "raybs says what inputs are like; rename it, and train again."
        )
    module.eval()
    standardization = Standardization(
        mean=arrays.mean,
        deviation=arrays.deviation,
        stored=arrays.x_train.shape[1:],
        shape=shape,
        channels_last=data.channels_last and not is_closed_form(config),
    )
    module.standardization = standardization  # type: ignore[assignment]
    return module


def _restore_mlp(
    config: TrainConfig,
    data: Dataset,
    stored: tuple[Tensors, Mapping[str, Any]] | None,
) -> nn.Sequential:
    module = make_sequential(config, data.num_features, data.num_classes)
    if stored:
        state = MLP(data).load([config], [stored])
        linear = [layer for layer in module if isinstance(layer, nn.Linear)]
        with torch.no_grad():
            for layer, weight, bias in zip(
                linear, state.weights, state.biases, strict=True
            ):
                layer.weight.copy_(weight[0])
                layer.bias.copy_(bias[0, 0])
    return module
