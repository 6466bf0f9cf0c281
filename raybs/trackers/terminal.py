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

from raybs.config.units import duration
from raybs.launch.events import Event, EventKind
from raybs.plan.chunks import Chunk
from raybs.plan.plan import Plan
from raybs.plan.stretches import Stretch
from raybs.store.rows import Row

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
        self.plan = plan
        self.console = console
        self.clock = clock
        self.failures: dict[int, str] = {}
        self.running: dict[int, Event] = {}
        self.done: dict[int, float] = {}  # fraction of each piece that is done
        self.num_diverged = 0  # of draws
        # (time, fraction) of the first and the last report of every stretch.
        self.seen: dict[int, list[tuple[float, float]]] = {}
        self.drawn_seconds: dict[int, float] = {}
        self.num_workers = num_workers
        self.most_stretches = self.most_chunks = 0  # under way at a time
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

    def follow(self, plan: Plan, num_workers: int) -> None:
        """Show another plan, and how long it takes on so many workers."""
        self.plan = plan
        self.num_workers = num_workers

    def on_event(self, event: Event) -> None:
        """Take notice of `event`; failures are shown as they happen."""
        piece = self.plan.pieces[event.index]
        name = piece.name
        if event.kind in (EventKind.STARTED, EventKind.EPOCH):
            self.running[event.index] = event
            chunks = sum(index >= len(self.plan.stretches) for index in self.running)
            self.most_chunks = max(self.most_chunks, chunks)
            stretches = len(self.running) - chunks
            self.most_stretches = max(self.most_stretches, stretches)
            if event.kind == EventKind.EPOCH and isinstance(piece, Stretch):
                fraction = (event.epoch - piece.start) / max(piece.length, 1)
                self.done[event.index] = fraction = min(max(fraction, 0.0), 1.0)
                seen = self.seen.setdefault(event.index, [])
                seen[1:] = [(self.clock(), fraction)]
                self._plain_line(event)
            return
        if event.kind != EventKind.RESTARTED:
            self.running.pop(event.index, None)
            self.done[event.index] = 1.0
        if event.drawn:
            self.drawn_seconds[event.index] = event.drawn.seconds
            self.num_diverged += event.drawn.num_diverged
        if event.kind == EventKind.FINISHED:
            if not (isinstance(piece, Stretch) and piece.goes_on):
                self._plain_line(event)
        elif event.kind == EventKind.FAILED:
            known = isinstance(piece, Chunk) and event.message in self.failures.values()
            self.failures[event.index] = event.message
            if not known:  # hundreds of chunks may wait for one state
                self._say("failed", f"{name}: {event.message}", "red")
        elif event.kind == EventKind.DIVERGED:
            self._say("diverged", name, "yellow")
        elif event.kind == EventKind.REACHED:
            self._plain_line(event)
        elif event.kind == EventKind.RESTARTED:
            self._say("starting again", f"{name}: {event.message}", "yellow")

    def eta(self) -> float | None:
        """Estimate the seconds left from the speed so far; None before any is done.

        Either all workers stay busy, or the longest chain of stretches decides, and
        the draws that wait for it.
        """
        pace = self._pace()
        if pace is None:
            return None
        plan, pieces = self.plan, self.plan.pieces
        left = {
            index: piece.seconds * (1 - self.done.get(index, 0.0))
            for index, piece in enumerate(pieces)
        }
        training = range(len(plan.stretches))
        chain = max(
            (
                pieces[i].remaining - pieces[i].seconds + left[i]
                for i in training
                if self.done.get(i, 0.0) < 1
            ),
            default=0.0,
        )
        awaited = {
            key
            for i in (training if plan.chunks else ())
            if self.done.get(i, 0.0) < 1
            for key in plan.stretches[i].keys[plan.stretches[i].start + 1 :]
        }
        waiting = sum(
            left[index]
            for index, chunk in enumerate(plan.chunks, len(plan.stretches))
            if chunk.cell.state_key in awaited
        )
        # Stretches side by side in one worker count each; of chunks a worker has one
        # more waiting.
        known = self.num_workers or self.most_chunks // 2
        workers = max(known, self.most_stretches, 1)
        return pace * max(sum(left.values()) / workers, chain + waiting / workers)

    def _pace(self) -> float | None:
        """Return how many seconds of one worker a second of the plan has taken."""
        pieces = self.plan.pieces
        planned = sum(pieces[index].seconds for index in self.drawn_seconds)
        taken = sum(self.drawn_seconds.values())
        for index, reports in self.seen.items():
            (start, before), (end, after) = reports[0], reports[-1]
            planned += pieces[index].seconds * (after - before)
            taken += end - start
        return taken / planned if planned else None

    def _say(self, head: str, text: str, style: str = "") -> None:
        # One line each, however long: logs are searched line by line. As Text: a
        # message may hold square brackets.
        line = Text(head, style).append(f": {text}", "default")
        self.console.print(line, soft_wrap=True)

    def _totals(self) -> tuple[float, str, str]:
        """Return the fraction that is done, how much that is, and how long is left."""
        plan, pieces = self.plan, self.plan.pieces
        parts = [(pieces[i], i, part) for i, part in self.done.items()]
        fraction = sum(p.seconds * part for p, _, part in parts) / (plan.seconds or 1.0)
        num_stretches = len(plan.stretches)
        epochs = sum(p.length * part for p, i, part in parts if i < num_stretches)
        draws = sum(p.length * part for p, i, part in parts if i >= num_stretches)
        counts = []
        if plan.stretches:
            counts.append(f"{round(epochs)} of {plan.to_train} epochs")
        if plan.chunks:
            counts.append(f"{round(draws)} of {plan.to_draw} draws")
        if self.num_diverged:
            counts.append(f"{self.num_diverged} diverged")
        eta = self.eta()
        left = "" if eta is None else f"about {duration(eta)} left"
        return fraction, ", ".join(counts), left

    def _plain_line(self, event: Event) -> None:
        now = self.clock()
        if self.console.is_terminal:
            return
        piece = self.plan.pieces[event.index]
        rare = event.kind in ENDS and isinstance(piece, Stretch)
        all_done = len(self.done) == len(self.plan.pieces) and not self.running
        pause = RARE_SECONDS if rare else PLAIN_SECONDS
        if now - self.line_at < pause and not all_done:
            return
        self.line_at = now
        fraction, counts, left = self._totals()
        what = "done"
        if isinstance(piece, Stretch):
            last = piece.config.num_epochs
            what = f"epoch {event.epoch} of {last}"
            if event.kind == EventKind.FINISHED:
                what = f"epoch {piece.stop} of {last}, finished"
            elif event.kind == EventKind.REACHED:
                what = "has reached what it trained for"
            elif event.row:
                what += f", {_accuracy(event.row)}"
        done = f"{fraction:4.0%}, {counts}"
        head = f"{done}{', ' + left if left else ''} | {piece.name}"
        self._say(head, what)

    def _render(self) -> RenderableType:
        fraction, counts, left = self._totals()
        overall = Table.grid(padding=(0, 1))
        overall.add_row(
            ProgressBar(total=1.0, completed=fraction, width=30),
            counts,
            f"[cyan]{left or 'starting ...'}[/]",
        )
        lines = Table.grid(padding=(0, 2))
        for index, event in sorted(self.running.items()):
            piece = self.plan.pieces[index]
            epoch, accuracy = "", _accuracy(event.row) if event.row else ""
            if isinstance(piece, Stretch):
                last = piece.config.num_epochs
                epoch = f"epoch {max(event.epoch, piece.start)} of {last}"
            lines.add_row(Text(piece.name), epoch, accuracy)
        return Group(overall, lines)


def _accuracy(row: Row) -> str:
    return f"test accuracy {100 * row['test_accuracy']:.2f} %"
