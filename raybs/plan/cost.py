"""What training costs, in seconds and bytes, before any of it has run.

From the speed of one worker, which `raybs.train.probe` measures in two seconds. The
seconds order and cut the stretches; while they run, the display corrects what is left.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

from raybs.config.gradient_sweep import Cell
from raybs.config.keys import Epoch, is_deferred, is_plain, num_steps
from raybs.config.trial import TrainConfig
from raybs.config.validation import to_line
from raybs.datasets.dataset import DatasetInfo
from raybs.plan.processor import has_bfloat16
from raybs.store.networks import Network

REFERENCE = 784 * 1024 + 1024 * 1024 + 1024 * 10
"""Weights of the article's network, whose speed is measured; others are scaled."""

FASTER, SLOWER = 0.7, 20.0
"""Times the seconds of float32 that bfloat16 takes with instructions for it, and
without: measured on two AMD EPYC, Zen 4 and one with AVX2 alone."""
RESET_SECONDS = 6e-3
"""Of the article's network: setting its weights, and measuring how far they moved."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Seconds that one worker takes, with the article's network in float32.

    `step_seconds` holds (batch_size, seconds) of one step of plain SGD, by growing
    batch size; `optimizer_seconds` is what torch.optim adds to it, `overhead_seconds`
    what a step takes whose matmuls take nothing, `sample_seconds` what measuring one
    sample takes. `replicas` holds (batch_size, number of replicas side by side that
    train most samples a second), where that was measured. A step in bfloat16 takes
    `bfloat16` times the seconds of one in float32 (None: not known). `processor` is
    what was measured.
    """

    step_seconds: tuple[tuple[int, float], ...]
    optimizer_seconds: float
    overhead_seconds: float
    sample_seconds: float
    replicas: tuple[tuple[int, int], ...] = ()
    bfloat16: float | None = None
    processor: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for what no plan could be made with."""
        sizes = [size for size, _ in self.step_seconds]
        seconds = [seconds for _, seconds in self.step_seconds]
        others = (self.optimizer_seconds, self.overhead_seconds, self.sample_seconds)
        if (
            not sizes
            or sizes != sorted({*sizes})
            or min(sizes) < 1
            or not all(0 < value < math.inf for value in seconds)
            or not all(0 <= value < math.inf for value in others)
            or not all(size >= 1 and num >= 1 for size, num in self.replicas)
            or not (self.bfloat16 is None or 0 < self.bfloat16 < math.inf)
        ):
            raise ValueError(f"not a speed: {self}")

    def num_replicas(self, batch_size: int) -> int:
        """Return the best number of replicas at the nearest measured batch size."""
        distances = [(abs(math.log(b / batch_size)), n) for b, n in self.replicas]
        return min(distances)[1] if distances else 1


USUAL = Speed(
    step_seconds=((1, 350e-6), (8, 1.8e-3), (64, 7.9e-3), (1024, 112e-3)),
    optimizer_seconds=1.7e-3,
    overhead_seconds=100e-6,
    sample_seconds=42e-6,
)
"""One thread of an AMD EPYC (Zen 4), until a probe tells of the machine at hand."""


def speed_from_json(value: Mapping[str, Any]) -> Speed:
    """Read what dataclasses.asdict gave, by way of JSON.

    Raises:
        ValueError: It is not as it must be.
    """
    try:
        return Speed(
            step_seconds=tuple((int(b), float(x)) for b, x in value["step_seconds"]),
            optimizer_seconds=float(value["optimizer_seconds"]),
            overhead_seconds=float(value["overhead_seconds"]),
            sample_seconds=float(value["sample_seconds"]),
            replicas=tuple((int(b), int(num)) for b, num in value["replicas"]),
            # Of an older raybs, which did not measure it.
            bfloat16=None if (x := value.get("bfloat16")) is None else float(x),
            processor=to_line(str(value.get("processor", ""))),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"not a speed: {error}") from None


def epoch_seconds(
    config: TrainConfig,
    epoch: Epoch,
    info: DatasetInfo,
    speed: Speed,
    network: Network | None = None,
) -> float:
    """Estimate the seconds of one epoch of training; of the MLP without a `network`."""
    plain = is_plain(config)
    if network:
        step = _interpolate(epoch.batch_size, network.step_seconds)
        step += 0 if plain else speed.optimizer_seconds * _scale_of(network)
        return num_steps(epoch, info.num_samples) * step
    step = _step_seconds(config.hidden, plain, info, epoch.batch_size, speed)
    if is_half(config, epoch.batch_size):
        step *= speed.bfloat16 or 1.0
    return num_steps(epoch, info.num_samples) * step


def is_half(config: TrainConfig, batch_size: int) -> bool:
    """Tell whether epochs of `config` at `batch_size` have matmuls in bfloat16."""
    return config.precision == "bfloat16" and not is_deferred(config, batch_size)


def guessed(speed: Speed) -> Speed:
    """Add what a step in bfloat16 takes on this processor, until it is measured."""
    if speed.bfloat16 is not None:
        return speed
    guess = {True: FASTER, False: SLOWER, None: None}[has_bfloat16()]
    return replace(speed, bfloat16=guess)


def draw_seconds(
    cell: Cell, info: DatasetInfo, speed: Speed, network: Network | None = None
) -> float:
    """Estimate the seconds of one draw of `cell`."""
    if network:
        step = _interpolate(cell.batch_size, network.step_seconds)
        return cell.num_steps * step + RESET_SECONDS * _scale_of(network)
    if cell.frozen:
        return measuring_seconds(cell.config, info, speed, cell.num_samples)
    hidden = cell.config.hidden
    step = _step_seconds(hidden, True, info, cell.batch_size, speed)
    # Besides, the weights are set, and their distance is measured.
    return cell.num_steps * step + RESET_SECONDS * _scale(hidden, info)


@cache
def _step_seconds(
    hidden: tuple[int, ...],
    plain: bool,
    info: DatasetInfo,
    batch_size: int,
    speed: Speed,
) -> float:
    seconds = _interpolate(batch_size, speed.step_seconds)
    seconds += 0 if plain else speed.optimizer_seconds
    overhead = speed.overhead_seconds
    return overhead + max(seconds - overhead, 0) * _scale(hidden, info)


def measuring_seconds(
    config: TrainConfig,
    info: DatasetInfo,
    speed: Speed,
    samples: float | None = None,
    *,
    network: Network | None = None,
) -> float:
    """Estimate the seconds of measuring `samples`, or training and test set."""
    samples = samples or info.num_samples * 7 / 6  # as many test samples as MNIST has
    if network:
        return samples * network.sample_seconds
    return samples * speed.sample_seconds * _scale(config.hidden, info)


def state_bytes(
    config: TrainConfig, info: DatasetInfo, network: Network | None = None
) -> int:
    """Return the bytes of one stored state: float32 parameters, moments, buffers."""
    moments = {"sgd": 1 if config.momentum else 0, "adam": 2, "adamw": 2}
    times = 1 + moments[config.optimizer]
    if network:
        return 4 * (network.num_parameters * times + network.num_buffers)
    return 4 * _num_parameters(config.hidden, info) * times


def gradient_bytes(
    cell: Cell, info: DatasetInfo, network: Network | None = None
) -> int:
    """Return the bytes of what one draw adds up to, where it is kept: float32."""
    if network:
        shapes = [shape for _, shape in network.weights]
        return 4 * sum(math.prod(shapes[layer]) for layer in cell.layers)
    sizes = (info.num_features, *cell.config.hidden, info.num_classes)
    return 4 * sum(sizes[layer] * sizes[layer + 1] for layer in cell.layers)


def _scale_of(network: Network) -> float:
    return network.num_parameters / REFERENCE


def _scale(hidden: tuple[int, ...], info: DatasetInfo) -> float:
    return _num_parameters(hidden, info) / REFERENCE


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
