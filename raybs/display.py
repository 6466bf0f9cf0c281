"""Progress: a bar with ETA and a line per running stretch, or plain lines."""

import math
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from raybs.launch import Event
from raybs.plan import Plan

PLAIN_SECONDS = 10.0
"""Least time between two plain lines about running stretches."""


class Display:
    """A context manager whose `on_event` shows what happens to the stretches of a plan.

    `failures` collects the message of every failed stretch by its index.
    """

    def __init__(
        self, plan: Plan, console: Console, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Show `plan` on `console`; live if that is a terminal."""
        self.plan = plan
        self.console = console
        self.clock = clock
        self.failures: dict[int, str] = {}
        self.running: dict[int, Event] = {}
        self.done: dict[int, float] = {}  # fraction of each stretch that is done
        self.started_at: float | None = None
        self.line_at = -math.inf
        self.live = Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=4,
            redirect_stdout=False,  # Ray writes there
            redirect_stderr=False,
        )

    def __enter__(self) -> "Display":
        """Start drawing."""
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last picture standing."""
        if self.console.is_terminal:
            self.live.stop()

    def on_event(self, event: Event) -> None:
        """Take notice of `event`; failures are shown as they happen."""
        stretch = self.plan.stretches[event.index]
        name = self._name(event.index)
        if event.kind in ("started", "epoch"):
            self.running[event.index] = event
            if event.kind == "epoch":
                if self.started_at is None:
                    self.started_at = self.clock()
                length = max(stretch.stop - stretch.start, 1)
                fraction = (event.epoch - stretch.start) / length
                self.done[event.index] = min(max(fraction, 0.0), 1.0)
                self._plain_line(event)
            return
        if event.kind != "restarted":
            self.running.pop(event.index, None)
            self.done[event.index] = 1.0
        if event.kind == "finished" and not stretch.goes_on:
            self._plain_line(event)
        elif event.kind == "failed":
            self.failures[event.index] = event.message
            self._say("failed", f"{name}: {event.message}", "red")
        elif event.kind == "diverged":
            self._say("diverged", name, "yellow")
        elif event.kind == "restarted":
            self._say("starting again", f"{name}: {event.message}", "yellow")

    def eta(self) -> float | None:
        """Estimate the seconds left from the speed so far; None before the first epoch.

        Either all workers stay busy, or the longest chain of stretches decides.
        """
        stretches = self.plan.stretches
        done = sum(stretches[i].seconds * part for i, part in self.done.items())
        if self.started_at is None or not done:
            return None
        elapsed = max(self.clock() - self.started_at, 1e-9)
        speed = done / elapsed  # estimated seconds per second, over all workers
        chains = [
            stretch.remaining - stretch.seconds * self.done.get(index, 0.0)
            for index, stretch in enumerate(stretches)
            if self.done.get(index, 0.0) < 1
        ]
        left = sum(s.seconds for s in stretches) - done
        workers = max(len(self.running), 1)
        return max(left, max(chains, default=0.0) * workers) / speed

    def _name(self, index: int) -> str:
        stretch = self.plan.stretches[index]
        return f"{stretch.label}, seed {stretch.config.seed}"

    def _say(self, head: str, text: str, style: str = "") -> None:
        # One line each, however long: logs are searched line by line. As Text: a
        # message may hold square brackets.
        line = Text(head, style).append(f": {text}", "default")
        self.console.print(line, soft_wrap=True)

    def _totals(self) -> tuple[float, int, str]:
        stretches = self.plan.stretches
        total = self.plan.seconds or 1.0
        fraction = sum(stretches[i].seconds * d for i, d in self.done.items()) / total
        lengths = (
            (stretches[i].stop - stretches[i].start) * d for i, d in self.done.items()
        )
        eta = self.eta()
        left = "" if eta is None else f"about {duration(eta)} left"
        return fraction, round(sum(lengths)), left

    def _plain_line(self, event: Event) -> None:
        now = self.clock()
        if self.console.is_terminal:
            return
        if event.kind == "epoch" and now - self.line_at < PLAIN_SECONDS:
            return
        self.line_at = now
        fraction, epochs, left = self._totals()
        stretch = self.plan.stretches[event.index]
        last = stretch.config.num_epochs
        what = f"epoch {event.epoch} of {last}"
        if event.kind == "finished":
            what = f"epoch {stretch.stop} of {last}, finished"
        elif event.test_accuracy is not None:
            what += f", test accuracy {100 * event.test_accuracy:.2f} %"
        done = f"{fraction:4.0%}, {epochs} of {self.plan.to_train} epochs"
        head = f"{done}{', ' + left if left else ''} | {self._name(event.index)}"
        self._say(head, what)

    def _render(self) -> RenderableType:
        fraction, epochs, left = self._totals()
        overall = Table.grid(padding=(0, 1))
        overall.add_row(
            ProgressBar(total=1.0, completed=fraction, width=30),
            f"{epochs} of {self.plan.to_train} epochs",
            f"[cyan]{left or 'starting ...'}[/]",
        )
        lines = Table.grid(padding=(0, 2))
        for index, event in sorted(self.running.items()):
            stretch = self.plan.stretches[index]
            accuracy = ""
            if event.test_accuracy is not None:
                accuracy = f"test accuracy {100 * event.test_accuracy:.2f} %"
            last = stretch.config.num_epochs
            epoch = f"epoch {max(event.epoch, stretch.start)} of {last}"
            lines.add_row(Text(self._name(index)), epoch, accuracy)
        return Group(overall, lines)


def duration(seconds: float) -> str:
    """Return seconds, minutes or hours, as one would say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def size(num_bytes: float) -> str:
    """Return bytes in the largest fitting unit."""
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} GB"
