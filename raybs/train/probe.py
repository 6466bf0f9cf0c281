"""Measure in two seconds how fast this process trains: for plans, and for packing."""

import time
from collections.abc import Callable

import torch
from torch.optim import adam

from raybs.config.trial import Phase, TrainConfig
from raybs.datasets.tensors import Dataset
from raybs.models.base import make_step, samples_per_call
from raybs.models.mlp import init_state
from raybs.models.state import State
from raybs.plan.cost import Speed
from raybs.plan.processor import processor
from raybs.train.measure import evaluate

BATCH_SIZES = (1, 8, 64, 1024)

REPLICAS = (2, 4, 8)

HALF_BATCH_SIZE = 64
"""At which bfloat16 is compared: the smallest where matmuls are most of a step."""

WORTH_IT = 1.1
"""Packing changes the last digits, and delays the first result: for 10 % at least."""


@torch.no_grad()
def probe(device: str, *, replicas: bool = False) -> Speed:
    """Time steps and measurements of the article's network on random samples.

    With `replicas` also packs of them, until a larger one is no longer worth it.
    """
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(2048, 784, generator=draw)
    labels = torch.randint(10, (2048,), generator=draw)
    data = Dataset(
        train_images=images.to(device),
        train_labels=labels.to(device),
        test_images=images[:0],
        test_labels=labels[:0],
        num_classes=10,
    )

    def step(batch_size: int, num: int = 1, **fields: object) -> float:
        return _step_seconds(data, device, batch_size, num, **fields)

    steps = {batch_size: step(batch_size) for batch_size in BATCH_SIZES}
    best = dict.fromkeys(BATCH_SIZES, 1)
    for batch_size, seconds in steps.items() if replicas else ():
        for num in REPLICAS:
            packed = step(batch_size, num)
            if packed * WORTH_IT > seconds:
                break
            best[batch_size], seconds = num, packed
    state = init_state([_config(1)], 784, 10, device)
    measuring = _seconds(
        device, lambda: evaluate(state, data.train_images, data.train_labels)
    )
    times = step(HALF_BATCH_SIZE, precision="bfloat16") / steps[HALF_BATCH_SIZE]
    return Speed(
        step_seconds=tuple(steps.items()),
        optimizer_seconds=_seconds(device, _adam(state)),
        overhead_seconds=step(16, hidden=(1,)),
        sample_seconds=measuring / len(labels),
        replicas=tuple(best.items()) if replicas else (),
        bfloat16=times,
        processor=processor() if device == "cpu" else device,
    )


def _step_seconds(
    data: Dataset, device: str, batch_size: int, num: int, **fields: object
) -> float:
    """Return the seconds of a step of each of `num` replicas."""
    configs = [_config(batch_size, seed=seed, **fields) for seed in range(num)]
    state = init_state(configs, 784, 10, device)
    step = make_step(configs, state)
    at_once = samples_per_call(configs[0], batch_size)
    images = data.train_images[:at_once].expand(num, -1, -1)
    labels = data.train_labels[:at_once].expand(num, -1)
    rates = [1e-3] * num
    call = _seconds(device, lambda: step(images, labels, rates, batch_size))
    return call * batch_size / at_once / num


def _adam(state: State) -> Callable[[], object]:
    """Return one update by torch's fused Adam, whose class takes 2 s to construct."""
    params, grads, means, squares = (
        [torch.ones_like(weight) for weight in state.weights] for _ in range(4)
    )
    steps = [torch.ones((), device=weight.device) for weight in params]
    return lambda: adam.adam(
        params,
        grads,
        means,
        squares,
        max_exp_avg_sqs=[],
        state_steps=steps,
        fused=True,
        amsgrad=False,
        beta1=0.9,
        beta2=0.999,
        lr=1e-3,
        weight_decay=0.0,
        eps=1e-8,
        maximize=False,
    )


def _config(batch_size: int, **fields: object) -> TrainConfig:
    phase = Phase(batch_size=batch_size, learning_rate=1e-3, epochs=1)
    return TrainConfig(phases=(phase,), **fields)  # type: ignore[arg-type]


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
