"""What training costs, in seconds and bytes, before any of it has run.

From the speed of one worker, which `raybs.probe` measures in a second. The seconds
order and cut the stretches; while they run, the display corrects what is left.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from raybs.config import TrainConfig
from raybs.data import DatasetInfo

REFERENCE = 784 * 1024 + 1024 * 1024 + 1024 * 10
"""Weights of the article's network, whose speed is measured; others are scaled."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Seconds that one worker takes, with the article's network.

    `step` holds (batch_size, seconds) of one step of plain SGD, `optimizer` what
    torch.optim adds to it, `tiny` what a step takes whose matmuls take nothing,
    `sample` what measuring one sample takes. `replicas` holds (batch_size, number of
    replicas side by side that train most samples a second), where that was measured.
    """

    step: tuple[tuple[int, float], ...]
    optimizer: float
    tiny: float
    sample: float
    replicas: tuple[tuple[int, int], ...] = ()

    def num_replicas(self, batch_size: int) -> int:
        """Return the best number of replicas at the nearest measured batch size."""
        distances = [(abs(math.log(b / batch_size)), n) for b, n in self.replicas]
        return min(distances)[1] if distances else 1


USUAL = Speed(
    step=((1, 350e-6), (8, 1.8e-3), (64, 7.9e-3), (1024, 112e-3)),
    optimizer=1.7e-3,
    tiny=100e-6,
    sample=42e-6,
)
"""One thread of an AMD EPYC (Zen 4), until a probe tells of the machine at hand."""


def speed_from_json(value: Mapping[str, Any]) -> Speed:
    """Read what dataclasses.asdict gave, by way of JSON.

    Raises:
        ValueError: It is not as it must be.
    """
    try:
        pairs = {
            name: tuple((int(b), kind(x)) for b, x in value[name])
            for name, kind in (("step", float), ("replicas", int))
        }
        rest = {name: float(value[name]) for name in ("optimizer", "tiny", "sample")}
        if not pairs["step"] or min(x for _, x in pairs["step"]) <= 0:
            raise ValueError("no steps")
        return Speed(**pairs, **rest)  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a speed: {error}") from None


def epoch_seconds(
    config: TrainConfig, batch_size: int, info: DatasetInfo, speed: Speed
) -> float:
    """Estimate the seconds of one epoch of training at `batch_size`."""
    plain = config.optimizer == "sgd" and not config.momentum
    return _epoch_seconds(config.hidden, plain, info, batch_size, speed)


@cache
def _epoch_seconds(
    hidden: tuple[int, ...],
    plain: bool,
    info: DatasetInfo,
    batch_size: int,
    speed: Speed,
) -> float:
    step = _interpolate(batch_size, speed.step) + (0 if plain else speed.optimizer)
    scale = _num_parameters(hidden, info) / REFERENCE
    step = speed.tiny + max(step - speed.tiny, 0) * scale
    return math.ceil(info.num_samples / batch_size) * step


def measuring_seconds(config: TrainConfig, info: DatasetInfo, speed: Speed) -> float:
    """Estimate the seconds of one exact measurement on training and test set."""
    samples = info.num_samples * 7 / 6  # as many test samples as MNIST has
    return samples * speed.sample * _num_parameters(config.hidden, info) / REFERENCE


def state_bytes(config: TrainConfig, info: DatasetInfo) -> int:
    """Return the bytes of one stored state: float32 weights, biases and moments."""
    moments = {"sgd": 1 if config.momentum else 0, "adam": 2, "adamw": 2}
    return 4 * _num_parameters(config.hidden, info) * (1 + moments[config.optimizer])


@cache
def _num_parameters(hidden: tuple[int, ...], info: DatasetInfo) -> int:
    sizes = (info.num_features, *hidden, info.num_classes)
    return sum((a + 1) * b for a, b in pairwise(sizes))


def _interpolate(batch_size: int, points: tuple[tuple[int, float], ...]) -> float:
    """Interpolate as powers of the batch size; beyond the last, proportionally."""
    last_size, last = points[-1]
    if batch_size >= last_size:
        return last * batch_size / last_size
    if batch_size <= points[0][0]:
        return points[0][1]
    (a, low), (b, high) = next(p for p in pairwise(points) if p[1][0] > batch_size)
    return low * math.exp(
        math.log(high / low) * math.log(batch_size / a) / math.log(b / a)
    )
