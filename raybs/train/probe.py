"""Measure in two seconds how fast this process trains: for plans, and for packing."""

import time
from collections.abc import Callable
from dataclasses import replace

import torch

from raybs.config.trial import Phase, TrainConfig
from raybs.datasets.tensors import Dataset
from raybs.models.base import make_step, samples_per_call
from raybs.models.mlp import init_state
from raybs.models.optimizers import make_update
from raybs.models.state import State
from raybs.plan.cost import Speed
from raybs.plan.processor import processor
from raybs.train.measure import evaluate

BATCH_SIZES = (1, 8, 64, 1024)

REPLICAS = (2, 4, 8)

NUM_SAMPLES, NUM_FEATURES, NUM_CLASSES = 2048, 784, 10

HALF_BATCH_SIZE = 64
"""At which bfloat16 is compared: the smallest where matmuls are most of a step."""

WORTH_IT = 1.1
"""Packing changes the last digits, and delays the first result: for 10 % at least."""


@torch.no_grad()
def probe(device: str, *, replicas: bool = False) -> Speed:
    """Time steps and measurements of the article's network on random samples.

    With `replicas` also packs of them, until a larger one is no longer worth it.
    """
    data = _random_samples(device)
    seconds = {size: _step_seconds(data, _config(size)) for size in BATCH_SIZES}
    best = {}
    if replicas:
        best = {size: _best_replicas(data, size, seconds[size]) for size in BATCH_SIZES}
    half = replace(_config(HALF_BATCH_SIZE), precision="bfloat16")
    state = init_state([_config(1)], NUM_FEATURES, NUM_CLASSES, device)
    measuring = _seconds(
        device, lambda: evaluate(state, data.train_images, data.train_labels)
    )
    return Speed(
        step_seconds=tuple(seconds.items()),
        optimizer_seconds=_seconds(device, _adam(state)),
        overhead_seconds=_step_seconds(data, replace(_config(16), hidden=(1,))),
        sample_seconds=measuring / data.num_samples,
        replicas=tuple(best.items()),
        bfloat16=_step_seconds(data, half) / seconds[HALF_BATCH_SIZE],
        processor=processor() if device == "cpu" else device,
    )


def _random_samples(device: str) -> Dataset:
    """Return samples of the size of MNIST's, without a test set."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(NUM_SAMPLES, NUM_FEATURES, generator=draw)
    labels = torch.randint(NUM_CLASSES, (NUM_SAMPLES,), generator=draw)
    return Dataset(
        train_images=images.to(device),
        train_labels=labels.to(device),
        test_images=images[:0],
        test_labels=labels[:0],
        num_classes=NUM_CLASSES,
    )


def _best_replicas(data: Dataset, batch_size: int, alone: float) -> int:
    """Return how many replicas side by side train most samples a second.

    `alone` are the seconds of a step of a single one.
    """
    best, seconds = 1, alone
    for num in REPLICAS:
        packed = _step_seconds(data, _config(batch_size), num)
        if packed * WORTH_IT > seconds:
            break
        best, seconds = num, packed
    return best


def _step_seconds(data: Dataset, config: TrainConfig, num: int = 1) -> float:
    """Return the seconds of a step of each of `num` replicas."""
    device, batch_size = data.train_images.device.type, config.phases[0].batch_size
    configs = [replace(config, seed=seed) for seed in range(num)]
    state = init_state(configs, NUM_FEATURES, NUM_CLASSES, device)
    step = make_step(configs, state)
    at_once = samples_per_call(config, batch_size)
    images = data.train_images[:at_once].expand(num, -1, -1)
    labels = data.train_labels[:at_once].expand(num, -1)
    rates = [1e-3] * num
    call = _seconds(device, lambda: step(images, labels, rates, batch_size))
    return call * batch_size / at_once / num


def _adam(state: State) -> Callable[[], object]:
    """Return one update of the weights by Adam."""
    means, squares, gradients = (
        [torch.ones_like(weight) for weight in state.weights] for _ in range(3)
    )
    moments = {"exp_avg": means, "exp_avg_sq": squares}
    config = replace(_config(1), optimizer="adam")
    update = make_update(config, state.weights, moments, 0)
    return lambda: update(gradients, [1e-3])


def _config(batch_size: int) -> TrainConfig:
    """Return a config of the article's network."""
    phase = Phase(batch_size=batch_size, learning_rate=1e-3, epochs=1)
    return TrainConfig(phases=(phase,))


def _seconds(device: str, call: Callable[[], object]) -> float:
    """Return the median time of a call, once warm (and captured, on a GPU)."""

    def timed() -> float:
        start = time.perf_counter()
        call()
        if device != "cpu":
            getattr(torch, device).synchronize()
        return time.perf_counter() - start

    warm = [timed() for _ in range(1 if device == "cpu" else 3)]
    repeats = min(max(round(0.06 / warm[-1]), 3), 20)
    return sorted(timed() for _ in range(repeats))[repeats // 2]
