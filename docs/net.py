"""A network of one's own, with batch norm and dropout: see networks.md."""

from torch import nn


def make(num_classes: int) -> nn.Module:
    """Return a network for images of one channel."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 5, stride=2, padding=2), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Flatten(), nn.Dropout(0.2), nn.LazyLinear(num_classes)),
    )
