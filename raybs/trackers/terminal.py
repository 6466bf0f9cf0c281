"""Progress: a bar with ETA and a line per piece of work under way, or plain lines."""

import math
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from raybs.launch.events import Event, EventKind
from raybs.plan.chunks import Chunk
from raybs.plan.plan import Plan
from raybs.plan.stretches import Stretch
from raybs.store.rows import Row
from raybs.trackers.tally import Tally

PLAIN_SECONDS = 10.0
"""Least time between two plain lines about work under way."""

RARE_SECONDS = 1.0
"""The same of trials that have ended: of tiny ones there may be thousands."""

ENDS = (EventKind.FINISHED, EventKind.REACHED)
"""Of a trial, as it was to end."""


class Display:
    """A context manager whose `on_event` shows what happens to the pieces of a plan.

    `failures` collects the message of every failed piece by its index.
    """

    def __init__(
        self,
        plan: Plan,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
        num_workers: int | None = None,
    ) -> None:
        """Show `plan` on `console`; live if that is a terminal.

        `num_workers` are as many as there are; None: as were seen busy at a time.
        """
        self.tally = Tally(plan, clock, num_workers)
        self.console = console
        self.clock = clock
        self.failures: dict[int, str] = {}
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

    @property
    def plan(self) -> Plan:
        """The plan that is shown."""
        return self.tally.plan

    def follow(self, plan: Plan, num_workers: int) -> None:
        """Show another plan, and how long it takes on so many workers."""
        self.tally.plan = plan
        self.tally.num_workers = num_workers

    def on_event(self, event: Event) -> None:
        """Take notice of `event`; failures are shown as they happen."""
        self.tally.take(event)
        piece = self.plan.pieces[event.index]
        match event.kind:
            case EventKind.EPOCH | EventKind.REACHED:
                self._plain_line(event)
            case EventKind.FINISHED:
                if not (isinstance(piece, Stretch) and piece.goes_on):
                    self._plain_line(event)
            case EventKind.FAILED:
                self._say_failure(event)
            case EventKind.DIVERGED:
                self._say("diverged", piece.name, "yellow")
            case EventKind.RESTARTED:
                self._say("starting again", f"{piece.name}: {event.message}", "yellow")

    def _say_failure(self, event: Event) -> None:
        piece = self.plan.pieces[event.index]
        is_chunk = isinstance(piece, Chunk)
        is_known = is_chunk and event.message in self.failures.values()
        self.failures[event.index] = event.message
        if not is_known:  # hundreds of chunks may wait for one state
            self._say("failed", f"{piece.name}: {event.message}", "red")

    def _say(self, head: str, text: str, style: str = "") -> None:
        # One line each, however long: logs are searched line by line. As Text: a
        # message may hold square brackets.
        line = Text(head, style).append(f": {text}", "default")
        self.console.print(line, soft_wrap=True)

    def _plain_line(self, event: Event) -> None:
        """Print how far all is, and what `event` says, where that is due."""
        now = self.clock()
        if self.console.is_terminal:
            return
        piece = self.plan.pieces[event.index]
        is_rare = event.kind in ENDS and isinstance(piece, Stretch)
        pause = RARE_SECONDS if is_rare else PLAIN_SECONDS
        if now - self.line_at < pause and not self.tally.all_done:
            return
        self.line_at = now
        fraction, counts, left = self.tally.totals()
        done = f"{fraction:4.0%}, {counts}"
        head = f"{done}{', ' + left if left else ''} | {piece.name}"
        self._say(head, _in_words(event, piece))

    def _render(self) -> RenderableType:
        fraction, counts, left = self.tally.totals()
        overall = Table.grid(padding=(0, 1))
        overall.add_row(
            ProgressBar(total=1.0, completed=fraction, width=30),
            counts,
            f"[cyan]{left or 'starting ...'}[/]",
        )
        lines = Table.grid(padding=(0, 2))
        for index, event in sorted(self.tally.running.items()):
            piece = self.plan.pieces[index]
            epoch, accuracy = "", _accuracy(event.row) if event.row else ""
            if isinstance(piece, Stretch):
                last = piece.config.num_epochs
                epoch = f"epoch {max(event.epoch, piece.start)} of {last}"
            lines.add_row(Text(piece.name), epoch, accuracy)
        return Group(overall, lines)


def _in_words(event: Event, piece: Stretch | Chunk) -> str:
    if not isinstance(piece, Stretch):
        return "done"
    last = piece.config.num_epochs
    if event.kind == EventKind.FINISHED:
        return f"epoch {piece.stop} of {last}, finished"
    if event.kind == EventKind.REACHED:
        return "has reached what it trained for"
    accuracy = f", {_accuracy(event.row)}" if event.row else ""
    return f"epoch {event.epoch} of {last}{accuracy}"


def _accuracy(row: Row) -> str:
    return f"test accuracy {100 * row['test_accuracy']:.2f} %"
