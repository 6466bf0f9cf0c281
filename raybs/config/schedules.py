"""Common schedules as phases: what learning rate and batch size are over a trial.

Each takes one phase, which says how long the trial is and where it starts, and returns
the phases that it becomes, of the same length together.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from raybs.config.trial import LENGTHS, Phase
from raybs.config.validation import count

Schedule = Callable[[Phase], tuple[Phase, ...]]


def constant(phase: Phase) -> tuple[Phase, ...]:
    """Change nothing."""
    return (phase,)


def decay_rate(
    phase: Phase, *, factor: float = 5, num_drops: int = 2
) -> tuple[Phase, ...]:
    """Divide the learning rate by `factor`, `num_drops` times, after equal parts.

    The schedule that Smith et al. (2018), "Don't Decay the Learning Rate, Increase the
    Batch Size", compare `grow_batch` with.

    Raises:
        ValueError: The phase is too short for so many parts.
    """
    return tuple(
        replace(part, learning_rate=phase.learning_rate / factor**drop)
        for drop, part in enumerate(split(phase, num_drops + 1))
    )


def grow_batch(
    phase: Phase, *, factor: float = 5, num_drops: int = 2, largest: int | None = None
) -> tuple[Phase, ...]:
    """Multiply the batch size by `factor` where `decay_rate` would divide the rate.

    The noise of a step, learning rate x samples / batch size, falls alike (Smith et
    al. 2018). Batches grow up to `largest`; from there on the rate falls instead.

    Raises:
        ValueError: The phase is too short for so many parts.
    """
    parts = []
    for drop, part in enumerate(split(phase, num_drops + 1)):
        wanted = round(phase.batch_size * factor**drop)
        batch_size = min(wanted, max(largest or wanted, phase.batch_size))
        rate = phase.learning_rate * batch_size / wanted
        parts.append(replace(part, batch_size=batch_size, learning_rate=rate))
    return tuple(parts)


def cosine(phase: Phase) -> tuple[Phase, ...]:
    """Let the learning rate fall along half a cosine, epoch by epoch, to nearly 0.

    Epoch k of n, from 0, has rate x (1 + cos(pi k / n)) / 2 (Loshchilov and Hutter
    2017, without restarts).

    Raises:
        ValueError: The phase does not count epochs.
    """
    epochs = _epochs(phase, "cosine")
    return tuple(
        replace(
            phase,
            epochs=1,
            learning_rate=phase.learning_rate
            * (1 + math.cos(math.pi * k / epochs))
            / 2,
        )
        for k in range(epochs)
    )


def warm_up(phases: Sequence[Phase], epochs: int) -> tuple[Phase, ...]:
    """Let the learning rate of the first `epochs` rise to what the phases say.

    Epoch k of them, from 0, has (k + 1) / (epochs + 1) of its rate: a gradual warm-up
    (Goyal et al. 2017), instead of the first epochs, not before them.

    Raises:
        ValueError: The phases do not count epochs, or are shorter than the warm-up.
    """
    total = sum(_epochs(phase, "a warm-up") for phase in phases)
    if not 0 <= epochs <= total:
        raise ValueError(f"warm_up={epochs}; a trial has {count(total, 'epoch')}.")
    rising, rest = [], list(phases)
    for k in range(epochs):
        first = rest.pop(0)
        rate = first.learning_rate * (k + 1) / (epochs + 1)
        rising.append(replace(first, epochs=1, learning_rate=rate))
        if first.epochs > 1:
            rest.insert(0, replace(first, epochs=first.epochs - 1))
    return (*rising, *rest)


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "decay_rate": decay_rate,
    "grow_batch": grow_batch,
    "cosine": cosine,
}
"""By the names that command lines know, with their usual factors."""


def split(phase: Phase, num_parts: int) -> list[Phase]:
    """Cut a phase into parts of equal length, the first ones longer by 1 if need be.

    Raises:
        ValueError: It is too short, or counts both epochs and samples.
    """
    units = [name for name in LENGTHS if getattr(phase, name)]
    if len(units) > 1:
        raise ValueError("A schedule needs a length in epochs, or steps, or samples.")
    total = getattr(phase, units[0])
    if total < num_parts:
        raise ValueError(
            f"{units[0]}={total} cannot be cut into the {num_parts} parts of the "
            f"schedule; use {units[0]}={num_parts} or more."
        )
    length, longer = divmod(total, num_parts)
    return [
        replace(phase, **{units[0]: length + (part < longer)})
        for part in range(num_parts)
    ]


def _epochs(phase: Phase, what: str) -> int:
    if phase.steps or phase.samples:
        raise ValueError(f"{what} counts epochs; give the length in epochs.")
    return phase.epochs
