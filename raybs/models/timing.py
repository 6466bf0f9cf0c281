"""Times the steps of a network, for plans."""

import time
from collections.abc import Callable

import torch

from raybs.config.trial import TrainConfig
from raybs.models.module import ModuleModel
from raybs.models.seeding import MODULE_TRAINING_STREAM, seeded
from raybs.models.state import State, select

BATCH_SIZES = (1, 16, 64)
"""Whose steps are timed, until one takes `LONG` seconds."""

LONG = 0.25


def time_steps(
    config: TrainConfig, model: ModuleModel, state: State
) -> tuple[tuple[int, float], ...]:
    """Return (batch_size, seconds) of steps of plain SGD, on the samples of `model`.

    Raises:
        ValueError: No step could be taken.
    """
    seconds: list[tuple[int, float]] = []
    plain = TrainConfig(phases=config.phases, model=config.model, loss=config.loss)
    for size in BATCH_SIZES:
        copied = select(state, [0])
        step = model.step(plain, copied, 0)
        model.bound(copied, 0).train()
        images = model.data.train_images[:size][None]
        labels = model.data.train_labels[:size][None]

        def take() -> None:
            step(images, labels, [1e-6], size)  # noqa: B023  # called at once

        try:
            with seeded(0, MODULE_TRAINING_STREAM):
                seconds.append((size, _seconds(take)))
        except Exception as error:  # batch norm of one sample
            if size == BATCH_SIZES[-1] and not seconds:
                raise ValueError(
                    f"{config.model} cannot be trained: {error}"
                ) from error
            continue
        if seconds[-1][1] > LONG:
            break
    return tuple(seconds)


def time_samples(model: ModuleModel, state: State) -> float:
    """Return the seconds that scoring one sample takes."""
    score = model.scorer(state, len(model.data.train_labels))
    data = model.data

    def take() -> None:
        with torch.no_grad():
            score(data.train_images, data.train_labels)

    return _seconds(take) / len(data.train_labels)


def _seconds(call: Callable[[], None]) -> float:
    """Return the least seconds of three calls, or of as many as there is time for."""
    call()
    best, start = float("inf"), time.perf_counter()
    for _ in range(3):
        before = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - before)
        if time.perf_counter() - start > LONG:
            break
    return max(best, 1e-7)
