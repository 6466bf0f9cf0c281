"""What a launcher tells while it runs a plan."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from raybs.plan.chunks import Drawn
from raybs.plan.cost import Speed
from raybs.plan.plan import Plan


class LaunchError(OSError):
    """What a sweep ran on has failed; what it had done is kept."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happened to a piece of work, by its index in `Plan.pieces`.

    `kind` is "started", "epoch", "finished", "diverged", "reached" (what ends its
    trial), "skipped" (behind one of these two), "restarted" or "failed"; of chunks
    "started", "finished" (then with `drawn`) or "failed".
    """

    kind: str
    index: int
    epoch: int = 0
    test_accuracy: float | None = None
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
