"""What is done of a plan by now, and how long the rest takes at the speed so far."""

from collections.abc import Callable

from raybs.config.units import duration
from raybs.launch.events import Event, EventKind
from raybs.plan.plan import Plan
from raybs.plan.stretches import Stretch


class Tally:
    """Counts what events say of the pieces of a plan, by their index in it.

    `running` holds the last event of every piece under way, `done` the fraction of each
    that is done.
    """

    def __init__(
        self, plan: Plan, clock: Callable[[], float], num_workers: int | None
    ) -> None:
        """Count for `plan`, by the seconds of `clock`.

        `num_workers` are as many as there are; None: as were seen busy at a time.
        """
        self.plan = plan
        self.clock = clock
        self.num_workers = num_workers
        self.running: dict[int, Event] = {}
        self.done: dict[int, float] = {}
        self.num_diverged = 0  # of draws
        # (time, fraction) of the first and the last report of every stretch.
        self.seen: dict[int, list[tuple[float, float]]] = {}
        self.drawn_seconds: dict[int, float] = {}
        self.most_stretches = self.most_chunks = 0  # under way at a time

    def take(self, event: Event) -> None:
        """Count `event`."""
        if event.kind in (EventKind.STARTED, EventKind.EPOCH):
            self._go_on(event)
        elif event.kind != EventKind.RESTARTED:
            self.running.pop(event.index, None)
            self.done[event.index] = 1.0
        if event.drawn:
            self.drawn_seconds[event.index] = event.drawn.seconds
            self.num_diverged += event.drawn.num_diverged

    @property
    def all_done(self) -> bool:
        """Tell whether nothing of the plan is left, or under way."""
        return len(self.done) == len(self.plan.pieces) and not self.running

    def totals(self) -> tuple[float, str, str]:
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

    def eta(self) -> float | None:
        """Estimate the seconds left from the speed so far; None before any is done.

        Either all workers stay busy, or the longest chain of stretches decides, and
        the draws that wait for it.
        """
        pace = self._pace()
        if pace is None:
            return None
        left = [
            piece.seconds * (1 - self.done.get(index, 0.0))
            for index, piece in enumerate(self.plan.pieces)
        ]
        training = [
            (index, stretch)
            for index, stretch in enumerate(self.plan.stretches)
            if self.done.get(index, 0.0) < 1
        ]
        chains = (s.remaining - s.seconds + left[index] for index, s in training)
        chain = max(chains, default=0.0)
        awaited: set[str] = set()
        if self.plan.chunks:
            awaited.update(key for _, s in training for key in s.keys[s.start + 1 :])
        waiting = sum(
            left[index]
            for index, chunk in enumerate(self.plan.chunks, len(self.plan.stretches))
            if chunk.cell.state_key in awaited
        )
        workers = self._num_workers()
        return pace * max(sum(left) / workers, chain + waiting / workers)

    def _go_on(self, event: Event) -> None:
        """Count a piece that is under way, and how far it is."""
        self.running[event.index] = event
        num_stretches = len(self.plan.stretches)
        chunks = sum(index >= num_stretches for index in self.running)
        self.most_chunks = max(self.most_chunks, chunks)
        self.most_stretches = max(self.most_stretches, len(self.running) - chunks)
        piece = self.plan.pieces[event.index]
        if event.kind == EventKind.EPOCH and isinstance(piece, Stretch):
            fraction = (event.epoch - piece.start) / max(piece.length, 1)
            self.done[event.index] = fraction = min(max(fraction, 0.0), 1.0)
            reports = self.seen.setdefault(event.index, [])
            reports[1:] = [(self.clock(), fraction)]

    def _num_workers(self) -> int:
        # Stretches side by side in one worker count each; of chunks a worker has one
        # more waiting.
        known = self.num_workers or self.most_chunks // 2
        return max(known, self.most_stretches, 1)

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
