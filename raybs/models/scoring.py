"""How many samples a module gets right, and at which loss."""

from typing import Protocol

import torch
from torch import Tensor, nn

from raybs.models.binding import at_rest
from raybs.models.seeding import MODULE_MEASURING_STREAM, seeded
from raybs.models.state import Score, State

AT_ONCE = 512
"""Samples of one forward pass: feature maps are large."""


class Scored(Protocol):
    """What scoring needs to know of a `raybs.models.module.ModuleModel`."""

    def bound(self, state: State, replica: int) -> nn.Module:
        """Return a module whose tensors are those of a replica of `state`."""
        ...

    def samples(self, images: Tensor) -> Tensor:
        """Return stored samples (B, features) in the shape that a module gets."""
        ...

    def loss(self, logits: Tensor, labels: Tensor, /) -> Tensor:
        """Return one value per sample."""
        ...


def module_scorer(model: Scored, state: State) -> Score:
    """Return what scores samples in eval mode, and leaves all else as it was."""

    def score(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        scored = [
            _score(model, state, replica, images, labels)
            for replica in range(state.num_replicas)
        ]
        losses, num_right = zip(*scored, strict=True)
        return torch.stack(losses), torch.stack(num_right)

    return score


def _score(
    model: Scored, state: State, replica: int, images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    module = model.bound(state, replica)
    loss = torch.zeros((), device=images.device)
    num_right = torch.zeros((), dtype=torch.int64, device=images.device)
    with at_rest(module), seeded(0, MODULE_MEASURING_STREAM, state.epoch):
        for start in range(0, len(labels), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            # A copy: what a module changes in place would be the dataset.
            logits = module(model.samples(images[part].clone())).float()
            loss += model.loss(logits, labels[part]).sum()
            num_right += (logits.argmax(1) == labels[part]).sum()
    return loss, num_right
