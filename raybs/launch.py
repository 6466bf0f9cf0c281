"""Run a plan in this process; and what that shares with running it on Ray."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass

from raybs.data import load_arrays, to_device
from raybs.plan import Frontier, Plan
from raybs.store import Store
from raybs.worker import Report, carry, prepare

DEVICES = ("cpu", "cuda", "mps")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What trials may use; None leaves it to what the machine or cluster has.

    `workers` trials at a time with `threads` CPUs each; `gpus_per_trial` is 0, 1 or
    1/n; `device` overrules the choice by assigned GPUs; `replicas` train side by side
    in a worker.
    """

    workers: int | None = None
    threads: int = 1
    num_gpus: int | None = None
    gpus_per_trial: float | None = None
    device: str | None = None
    replicas: int = 1
    address: str | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happened to a stretch, by its index in the plan.

    `kind` is "started", "epoch", "finished", "diverged", "skipped" (behind a diverged
    one), "restarted" or "failed".
    """

    kind: str
    index: int
    epoch: int = 0
    test_accuracy: float | None = None
    message: str = ""


OnEvent = Callable[[Event], None]


class Pack:
    """Stretches side by side: turns their reports into events and next stretches."""

    def __init__(
        self, frontier: Frontier, indices: list[int], on_event: OnEvent
    ) -> None:
        """Start the stretches at `indices`, taken from `frontier`."""
        self.frontier = frontier
        self.indices = indices
        self.on_event = on_event
        self.diverged: set[int] = set()
        self.stretches = [frontier.plan.stretches[index] for index in indices]
        for index in indices:
            on_event(Event(kind="started", index=index))

    def report(self, report: Report) -> None:
        """Pass on one epoch."""
        for position, index in enumerate(self.indices):
            if index not in self.diverged:
                accuracy = report.test_accuracy.get(position)
                self.on_event(
                    Event(
                        kind="epoch",
                        index=index,
                        epoch=report.epoch,
                        test_accuracy=accuracy,
                    )
                )
        self.diverged |= {self.indices[position] for position in report.diverged}

    def finish(self) -> None:
        """Free what waited for these stretches; a path ends where it diverged."""
        for index in self.indices:
            if index in self.diverged:
                self.on_event(Event(kind="diverged", index=index))
                for child in self.frontier.drop(index):
                    self.on_event(Event(kind="skipped", index=child))
            else:
                self.on_event(Event(kind="finished", index=index))
                self.frontier.finish(index)

    def restart(self, message: str) -> None:
        """Say that a worker was lost and that its stretches start again."""
        for index in self.indices:
            self.on_event(Event(kind="restarted", index=index, message=message))

    def fail(self, message: str) -> None:
        """Give up these stretches and all that would start where they end."""
        for index in self.indices:
            self.on_event(Event(kind="failed", index=index, message=message))
            for child in self.frontier.drop(index):
                why = "it starts from a state that could not be trained"
                self.on_event(Event(kind="failed", index=child, message=why))


def run_local(
    plan: Plan,
    store: Store,
    resources: Resources,
    *,
    on_event: OnEvent,
    stop: threading.Event,
) -> None:
    """Train the stretches of `plan` one after the other in this process, without Ray.

    Setting `stop` ends it after the current epoch, with that epoch's state saved.
    """
    import torch

    prepare(resources.threads)
    device = resources.device or ("cuda" if torch.cuda.is_available() else "cpu")
    loaded = {}
    frontier = Frontier(plan)
    while not stop.is_set() and (indices := frontier.take(resources.replicas)):
        pack = Pack(frontier, indices, on_event)
        dataset = pack.stretches[0].config.dataset
        try:
            if dataset not in loaded:
                loaded = {dataset: to_device(load_arrays(dataset), device)}
            with contextlib.closing(
                carry(pack.stretches, store, loaded[dataset])
            ) as reports:
                for report in reports:
                    pack.report(report)
                    if stop.is_set() and report.epoch < pack.stretches[0].stop:
                        return
        except (OSError, RuntimeError, ValueError) as error:
            pack.fail(f"{type(error).__name__}: {error}")
        else:
            pack.finish()
