"""What running a plan in this process and on Ray share; no torch, no Ray."""

import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from raybs.config.validation import any_of, is_integer, is_number, raise_all
from raybs.plan.chunks import Drawn
from raybs.plan.cost import Speed
from raybs.plan.plan import Frontier, Plan
from raybs.plan.stretches import Report
from raybs.store.files import PATIENCE

DEVICES = ("cpu", "cuda", "mps")


MAX_WORKERS = 10_000


MAX_THREADS = 1_000
"""On one machine: more are a mistake."""


MAX_REPLICAS = 10_000


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What trials may use; None leaves it to what the machine or cluster has.

    `num_workers` trials at a time with `num_threads` CPUs each; `gpus_per_trial` is 0,
    1 or 1/n; `device` overrules the choice by assigned GPUs; `num_replicas` train side
    by side in a worker (None: as many as a probe finds best). A worker of Ray that
    ends no epoch (no chunk of draws) for `trial_timeout` seconds is ended, its work
    starts again. `address` is that of a cluster to join; None starts Ray here.
    """

    num_workers: int | None = None
    num_threads: int = 1
    num_gpus: int | None = None
    gpus_per_trial: float | None = None
    device: str | None = None
    num_replicas: int | None = 1
    trial_timeout: float = 1800.0
    address: str | None = None

    def __post_init__(self) -> None:
        """Raise one ValueError that lists every invalid field."""
        problems = []
        for name, (least, most) in COUNTS.items():
            value = getattr(self, name)
            given = value is not None or name == "num_threads"
            if given and not (is_integer(value) and least <= value <= most):
                problems.append(f"{name}={value!r}; use {least} to {most}")
        if self.device is not None and self.device not in DEVICES:
            problems.append(f"device={self.device!r}; use {any_of(DEVICES)}")
        gpus = self.gpus_per_trial
        if gpus is not None and not (is_number(gpus) and 0 <= gpus <= 1):
            problems.append(f"gpus_per_trial={gpus!r}; use 0, 1 or 1/n")
        if not is_number(self.trial_timeout) or self.trial_timeout <= 0:
            seconds = f"trial_timeout={self.trial_timeout!r}"
            problems.append(f"{seconds}; use a finite number of seconds above 0")
        raise_all("resources", problems)
        if self.address is not None:  # Ray answers by a traceback, or by waiting
            check_address(self.address, "address")

    @property
    def patience(self) -> float:
        """Seconds for which a worker waits for its store, before it counts as hung."""
        return min(PATIENCE, self.trial_timeout / 2)


COUNTS = {
    "num_workers": (1, MAX_WORKERS),
    "num_threads": (1, MAX_THREADS),
    "num_gpus": (0, MAX_WORKERS),
    "num_replicas": (1, MAX_REPLICAS),
}
"""Fields of Resources that count something, and their bounds."""


def find_address(given: str | None) -> str | None:
    """Return what --address gives, or else RAY_ADDRESS, where it is not empty.

    Raises:
        ValueError: It is no address of a cluster.
    """
    if given is not None:
        check_address(given, "--address")
    variable = os.environ.get("RAY_ADDRESS") or None
    if variable and given in (None, "auto"):  # Ray looks there first
        check_address(variable, "RAY_ADDRESS")
    return given or variable


def check_address(address: str, origin: str) -> None:
    """Refuse what is neither 'auto' nor HOST:PORT; `origin` is what it comes from.

    Raises:
        ValueError: It is neither.
    """
    if "://" in address:
        raise ValueError(
            f"{origin} {address!r} is no address for sweeps: give 'auto' or HOST:PORT; "
            "or submit the sweep as a job (ray job submit)."
        )
    host, _, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        named = _is_ipv6(host[1:-1])
    else:
        named = bool(re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?", host))
    numbered = re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= 65535
    if address != "auto" and not (named and numbered):
        raise ValueError(
            f"{origin} {address!r} is no address of a Ray cluster: give 'auto' or "
            "HOST:PORT, as in 10.0.0.5:6379 or [::1]:6379, with a port from 1 to "
            "65535; or leave it out, to use this machine."
        )


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


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


class Pack:
    """Stretches side by side: turns their reports into events and next stretches."""

    def __init__(
        self, frontier: Frontier, indices: list[int], on_event: OnEvent
    ) -> None:
        """Hold the stretches at `indices`, taken from `frontier`."""
        self.frontier = frontier
        self.indices = list(indices)
        self.on_event = on_event
        self.ended: dict[int, str] = {}  # before their last epoch: why
        self.stretches = [frontier.plan.stretches[index] for index in indices]

    def start(self) -> None:
        """Say that a worker has them."""
        for index in self.indices:
            self.on_event(Event(kind="started", index=index))

    def report(self, report: Report) -> None:
        """Pass on one epoch."""
        for position, index in enumerate(self.indices):
            if index not in self.ended:
                accuracy = report.test_accuracy.get(position)
                self.on_event(
                    Event(
                        kind="epoch",
                        index=index,
                        epoch=report.epoch,
                        test_accuracy=accuracy,
                    )
                )
        ended = {"diverged": report.diverged, "reached": report.reached}
        for kind, positions in ended.items():
            self.ended |= {self.indices[position]: kind for position in positions}

    def finish(self) -> None:
        """Free what waited for these stretches."""
        self._end_early()
        for index in self.indices:
            self.on_event(Event(kind="finished", index=index))
            self.frontier.finish(index)

    def restart(self, message: str) -> None:
        """Put the stretches back, to start again from what was saved."""
        self._end_early()
        for index in self.indices:
            self.on_event(Event(kind="restarted", index=index, message=message))
        self.put_back()

    def put_back(self) -> None:
        """Let the stretches be taken again."""
        for index in self.indices:
            self.frontier.offer(index)

    def fail(self, message: str) -> None:
        """Give up these stretches and all that would start where they end."""
        self._end_early()
        for index in self.indices:
            self.on_event(Event(kind="failed", index=index, message=message))
            for child in self.frontier.drop(index):
                why = "it starts from a state that could not be trained"
                self.on_event(Event(kind="failed", index=child, message=why))

    def _end_early(self) -> None:
        """Take out the stretches that diverged or reached their goal: paths end there.

        Others may want what lies behind a goal: another round of planning gives it.
        """
        for index, kind in sorted(self.ended.items()):
            self.indices.remove(index)
            self.on_event(Event(kind=kind, index=index))
            for child in self.frontier.drop(index):
                self.on_event(Event(kind="skipped", index=child))
        self.ended.clear()
