"""Cut what is missing of all paths into stretches."""

import math
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from raybs.config.keys import path
from raybs.plan.cost import Speed, epoch_seconds, measuring_seconds
from raybs.plan.requests import Request
from raybs.plan.stretches import Stretch

STRETCH_SECONDS = 60.0
"""Estimated length of a stretch: three paths on two workers end together, nearly."""
MAX_BREAKS = 300
"""Long plans have longer stretches: each is a Tune trial, whose number costs time."""


@dataclass(kw_only=True)
class Branch:
    """Needed epochs of one request that no earlier branch trains; forks cut it."""

    request: Request
    start: int
    stop: int
    forks: set[int] = field(default_factory=set)


def deepest(keys: Sequence[str], stop: int, states: AbstractSet[str]) -> int:
    """Return the last epoch up to `stop` whose state is stored; init always is."""
    if not states:
        return 0
    return next((k for k in range(stop, 0, -1) if keys[k] in states), 0)


def cut(
    branches: list[Branch],
    missing: AbstractSet[str],
    ends: AbstractSet[str],
    at_start: dict[str, tuple[Request, int]],
    speed: Speed,
) -> list[Stretch]:
    """Cut branches at their forks, in an order in which parents come first."""
    pieces: list[tuple[Request, int, int, int | None]] = []
    ending: dict[str, int] = {}
    costs = [
        _seconds(b.request, b.start, b.stop, b.stop - b.start, speed) for b in branches
    ]
    longest = max(STRETCH_SECONDS, sum(costs) / MAX_BREAKS)
    for branch, cost in zip(branches, costs, strict=True):
        breaks = _breaks(branch, longest, speed) if cost > longest else []
        bounds = sorted({branch.start, branch.stop, *branch.forks, *breaks})
        for start, stop in zip(bounds, bounds[1:], strict=False):
            ending[branch.request.keys[stop]] = len(pieces)
            parent = ending.get(branch.request.keys[start])
            pieces.append((branch.request, start, stop, parent))
    starting = Counter(request.keys[start] for request, start, _, _ in pieces)
    for key, (request, epoch) in at_start.items():
        if key not in starting:
            pieces.append((request, epoch, epoch, None))
    measures: list[frozenset[int]] = []
    for request, start, stop, _ in pieces:
        epochs = {k for k in range(start + 1, stop + 1) if request.keys[k] in missing}
        if at_start.pop(request.keys[start], None):
            epochs.add(start)  # the first to start here measures it
        measures.append(frozenset(epochs))
    seconds = [
        _seconds(request, start, stop, len(measure), speed)
        for (request, start, stop, _), measure in zip(pieces, measures, strict=True)
    ]
    remaining = list(seconds)
    for index, (_, _, _, parent) in reversed(list(enumerate(pieces))):
        if parent is not None:
            chain = seconds[parent] + remaining[index]
            remaining[parent] = max(remaining[parent], chain)
    kept = ends | {key for key, num in starting.items() if num > 1}
    return [
        Stretch(
            config=request.config,
            fingerprint=request.info.fingerprint,
            start=start,
            stop=stop,
            measure=measures[index],
            # The state at the start too: it may be a rolling one.
            keep=frozenset(
                k for k in range(max(start, 1), stop + 1) if request.keys[k] in kept
            ),
            goes_on=stop > start and request.keys[stop] in starting,
            parent=parent,
            seconds=seconds[index],
            remaining=remaining[index],
            until=request.until,
        )
        for index, (request, start, stop, parent) in enumerate(pieces)
    ]


def _breaks(branch: Branch, longest: float, speed: Speed) -> list[int]:
    """Return the epochs after which another worker may go on."""
    config, info = branch.request.config, branch.request.info
    epochs = path(config)[: branch.stop]
    cost = {
        epoch: epoch_seconds(config, epoch, info, speed)
        + measuring_seconds(config, info, speed)
        for epoch in set(epochs)
    }
    left = sum(cost[epoch] for epoch in epochs[branch.start :])
    left = min(left, 2 * branch.request.until.get("seconds", math.inf))
    breaks, seconds = [], 0.0
    for epoch in range(branch.start + 1, branch.stop):
        seconds += cost[epochs[epoch - 1]]
        if left < 0:
            break
        # Shorter towards the end of a path: there workers run out of work.
        if seconds >= min(longest, max(left / 3, longest / 4)):
            breaks.append(epoch)
            left -= seconds
            seconds = 0.0
    return breaks


def _seconds(
    request: Request, start: int, stop: int, num_measured: int, speed: Speed
) -> float:
    """Estimate what epochs start + 1 to stop cost, of which some are measured."""
    config, info = request.config, request.info

    def training(start: int, stop: int) -> float:
        epochs = Counter(path(config)[start:stop])
        return sum(
            num * epoch_seconds(config, epoch, info, speed)
            for epoch, num in epochs.items()
        )

    seconds = training(start, stop)
    measuring = num_measured * measuring_seconds(config, info, speed)
    if seconds and (most := request.until.get("seconds")):
        left = max(most - training(0, start), 0.0)
        part = min(left / seconds, 1.0)
        return part * (seconds + measuring)
    return seconds + measuring
