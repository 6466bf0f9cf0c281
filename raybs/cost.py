"""What training costs, in seconds and bytes, before any of it has run.

The seconds are those of one thread of a two-core x86-64 machine with AVX-512. Their
ratios order the stretches; their size is a first guess that the display corrects.
"""

import math
from functools import cache

from raybs.config import TrainConfig
from raybs.data import DatasetInfo

FLOPS = 100e9
BANDWIDTH = 65e9
STEP_OVERHEAD = 30e-6


def epoch_seconds(config: TrainConfig, batch_size: int, info: DatasetInfo) -> float:
    """Estimate the seconds of one epoch of training at `batch_size`."""
    return _epoch_seconds(config.hidden, config.optimizer, info, batch_size)


@cache
def _epoch_seconds(
    hidden: tuple[int, ...], optimizer: str, info: DatasetInfo, batch_size: int
) -> float:
    parameters = _num_parameters(hidden, info)
    # Weights are read forward and backward, then read and written by the update.
    passes = {"sgd": 4, "adam": 22, "adamw": 22}[optimizer]
    num_steps = math.ceil(info.num_samples / batch_size)
    per_step = STEP_OVERHEAD + passes * 4 * parameters / BANDWIDTH
    return num_steps * per_step + 6 * parameters * info.num_samples / FLOPS


def measuring_seconds(config: TrainConfig, info: DatasetInfo) -> float:
    """Estimate the seconds of one exact measurement on training and test set."""
    samples = info.num_samples * 7 / 6  # as many test samples as MNIST has
    return 2 * _num_parameters(config.hidden, info) * samples / FLOPS


def state_bytes(config: TrainConfig, info: DatasetInfo) -> int:
    """Return the bytes of one stored state: float32 weights, biases and moments."""
    moments = {"sgd": 1 if config.momentum else 0, "adam": 2, "adamw": 2}
    return 4 * _num_parameters(config.hidden, info) * (1 + moments[config.optimizer])


@cache
def _num_parameters(hidden: tuple[int, ...], info: DatasetInfo) -> int:
    sizes = (info.num_features, *hidden, info.num_classes)
    return sum((a + 1) * b for a, b in zip(sizes, sizes[1:], strict=False))
