"""The built-in convolutional network: small, for images."""

from collections.abc import Sequence

from torch import nn

CHANNELS = (16, 32)
"""Of the outputs of the two convolutions."""


def make_cnn(shape: Sequence[int], num_classes: int) -> nn.Module:
    """Return two convolutions of 5 x 5, stride 2, with ReLU, and a linear layer.

    Of samples of `shape`, (C, H, W).

    Raises:
        ValueError: They are no images.
    """
    if len(shape) != 3:
        raise ValueError(
            f"model cnn needs images, (channels, height, width) or (height, width), "
            f"not samples of shape {tuple(shape)}; use mlp."
        )
    sizes = [shape[0], *CHANNELS]
    height, width = shape[1:]
    layers: list[nn.Module] = []
    for before, after in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Conv2d(before, after, 5, stride=2, padding=2), nn.ReLU()]
        height, width = -(-height // 2), -(-width // 2)
    last = nn.Linear(CHANNELS[-1] * height * width, num_classes)
    return nn.Sequential(*layers, nn.Flatten(), last)
