"""Cut what is missing of all paths into stretches."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise
from typing import NamedTuple

from raybs.config.keys import path
from raybs.plan.branches import Branch, Branches
from raybs.plan.cost import Speed, epoch_seconds, measuring_seconds
from raybs.plan.requests import Request
from raybs.plan.stretches import Stretch

STRETCH_SECONDS = 60.0
"""Estimated length of a stretch: three paths on two workers end together, nearly."""
MAX_BREAKS = 300
"""Long plans have longer stretches: each is a Tune trial, whose number costs time."""


class _Piece(NamedTuple):
    """Epochs `start` + 1 to `stop` of a request; the index of the piece before it."""

    request: Request
    start: int
    stop: int
    parent: int | None


def cut(tree: Branches, speed: Speed) -> list[Stretch]:
    """Cut branches at their forks, in an order in which parents come first."""
    pieces = _pieces(tree.branches, speed)
    starting = Counter(piece.request.keys[piece.start] for piece in pieces)
    pieces += [
        _Piece(request, epoch, epoch, parent=None)
        for key, (request, epoch) in tree.at_start.items()
        if key not in starting
    ]
    measures = _measures(pieces, tree.missing, tree.at_start)
    seconds = [
        _seconds(piece.request, piece.start, piece.stop, len(measure), speed)
        for piece, measure in zip(pieces, measures, strict=True)
    ]
    remaining = _remaining(pieces, seconds)
    kept = tree.ends | {key for key, num in starting.items() if num > 1}
    return [
        Stretch(
            config=request.config,
            fingerprint=request.fingerprint,
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
            keep_goal=request.keep,
        )
        for index, (request, start, stop, parent) in enumerate(pieces)
    ]


def _pieces(branches: Sequence[Branch], speed: Speed) -> list[_Piece]:
    """Cut branches at their forks, and long ones where another worker may go on."""
    costs = [
        _seconds(b.request, b.start, b.stop, b.stop - b.start, speed) for b in branches
    ]
    longest = max(STRETCH_SECONDS, sum(costs) / MAX_BREAKS)
    pieces: list[_Piece] = []
    ending: dict[str, int] = {}
    for branch, cost in zip(branches, costs, strict=True):
        breaks = _breaks(branch, longest, speed) if cost > longest else []
        bounds = sorted({branch.start, branch.stop, *branch.forks, *breaks})
        for start, stop in pairwise(bounds):
            ending[branch.request.keys[stop]] = len(pieces)
            parent = ending.get(branch.request.keys[start])
            pieces.append(_Piece(branch.request, start, stop, parent))
    return pieces


def _measures(
    pieces: Sequence[_Piece], missing: AbstractSet[str], at_start: Iterable[str]
) -> list[frozenset[int]]:
    """Return the epochs that each piece measures; of states the first to start there.

    `missing` are the keys of rows, `at_start` those of stored states to start at.
    """
    measures, unmeasured = [], {*missing} & {*at_start}
    for request, start, stop, _ in pieces:
        epochs = {k for k in range(start + 1, stop + 1) if request.keys[k] in missing}
        if request.keys[start] in unmeasured:
            unmeasured.remove(request.keys[start])
            epochs.add(start)
        measures.append(frozenset(epochs))
    return measures


def _remaining(pieces: Sequence[_Piece], seconds: Sequence[float]) -> list[float]:
    """Return the seconds of the longest chain of pieces that starts with each."""
    remaining = list(seconds)
    for index, piece in reversed(list(enumerate(pieces))):
        if piece.parent is not None:
            chain = seconds[piece.parent] + remaining[index]
            remaining[piece.parent] = max(remaining[piece.parent], chain)
    return remaining


def _breaks(branch: Branch, longest: float, speed: Speed) -> list[int]:
    """Return the epochs after which another worker may go on."""
    config, info = branch.request.config, branch.request.info
    network = branch.request.network
    epochs = path(config)[: branch.stop]
    cost = {
        epoch: epoch_seconds(config, epoch, info, speed, network)
        + measuring_seconds(config, info, speed, network=network)
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
    config, info, network = request.config, request.info, request.network

    def training(start: int, stop: int) -> float:
        epochs = Counter(path(config)[start:stop])
        return sum(
            num * epoch_seconds(config, epoch, info, speed, network)
            for epoch, num in epochs.items()
        )

    seconds = training(start, stop)
    measuring = num_measured * measuring_seconds(config, info, speed, network=network)
    if seconds and (most := request.until.get("seconds")):
        left = max(most - training(0, start), 0.0)
        part = min(left / seconds, 1.0)
        return part * (seconds + measuring)
    return seconds + measuring
