"""What a launcher tells while it runs a plan."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from raybs.plan.chunks import Drawn
from raybs.plan.cost import Speed
from raybs.plan.plan import Plan
from raybs.store.rows import Row


class LaunchError(OSError):
    """What a sweep ran on has failed; what it had done is kept."""


class EventKind(StrEnum):
    """What can happen to a piece of work; to chunks only what the last three say."""

    EPOCH = "epoch"
    DIVERGED = "diverged"
    REACHED = "reached"
    """What ends its trial (`until`)."""
    SKIPPED = "skipped"
    """It starts behind one that diverged, or reached what ends its trial."""
    RESTARTED = "restarted"
    STARTED = "started"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happened to a piece of work, by its index in `Plan.pieces`.

    Of an epoch `row` is what was stored, None where it was not measured; of a chunk
    that is finished `drawn` is what came out. `message` says why work failed, or
    starts again.
    """

    kind: EventKind
    index: int
    epoch: int = 0
    row: Row | None = None
    drawn: Drawn | None = None
    message: str = ""


OnEvent = Callable[[Event], None]


class Calibrate(Protocol):
    """Has the speed of workers measured where it is unknown, and plans by it."""

    def __call__(
        self,
        device: str,
        measure: Callable[[], Speed],
        num_workers: int,
        *,
        at_end: bool,
    ) -> Plan:
        """Return the plan for workers on `device`; a launcher calls it twice.

        Once before it starts, when measuring delays the start, and once `at_end`.
        """
