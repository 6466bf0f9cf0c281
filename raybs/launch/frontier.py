"""Which pieces of a plan may start, and which are trained side by side."""

import heapq
import logging
from typing import Any

from raybs.config.keys import path
from raybs.launch.events import Event, EventKind, OnEvent
from raybs.plan.plan import Plan
from raybs.plan.stretches import Report, Stretch

log = logging.getLogger("raybs")


class Frontier:
    """The stretches of a plan whose start exists, longest remaining chain first.

    Those of one shape are taken `num_replicas` at a time to train side by side; None is
    as many as the plan's speed says is best, but not so many that some of `num_workers`
    would have none.
    """

    def __init__(
        self, plan: Plan, num_replicas: int | None = 1, num_workers: int = 1
    ) -> None:
        """Start with the stretches that wait for no other."""
        self.plan = plan
        self.num_replicas = num_replicas
        self.num_workers = num_workers
        self.told: set[str] = set()  # by packs, whoever trains them
        self.children: dict[int, list[int]] = {}
        self.ready: dict[tuple[Any, ...], list[tuple[float, int]]] = {}
        for index, stretch in enumerate(plan.stretches):
            if stretch.parent is None:
                self.offer(index)
            else:
                self.children.setdefault(stretch.parent, []).append(index)

    def take(self) -> list[int]:
        """Take stretches that fit side by side; none while all wait."""
        if not self.ready:
            return []
        shape = min(self.ready, key=lambda shape: self.ready[shape][0])
        heap = self.ready[shape]
        num = self.num_replicas or self._best(self.plan.stretches[heap[0][1]])
        taken = [heapq.heappop(heap)[1] for _ in range(min(num, len(heap)))]
        if not heap:
            del self.ready[shape]
        return taken

    @property
    def num_ready(self) -> int:
        """Stretches that can be taken."""
        return sum(map(len, self.ready.values()))

    def _best(self, stretch: Stretch) -> int:
        batch_size = path(stretch.config)[stretch.stop - 1].batch_size
        share = -(-self.num_ready // self.num_workers)
        return min(self.plan.speed.num_replicas(batch_size), share)

    def finish(self, index: int) -> None:
        """Let the stretches go that waited for this one."""
        for child in self.children.pop(index, []):
            self.offer(child)

    def drop(self, index: int) -> list[int]:
        """Give up all that needs this stretch (it failed or diverged); return it."""
        dropped = []
        for child in self.children.pop(index, []):
            dropped += [child, *self.drop(child)]
        return dropped

    def offer(self, index: int) -> None:
        """Let a stretch be taken, for the first time or again."""
        stretch = self.plan.stretches[index]
        heap = self.ready.setdefault(stretch.shape, [])
        heapq.heappush(heap, (-stretch.remaining, index))


class Pack:
    """Stretches side by side: turns their reports into events and next stretches."""

    def __init__(
        self, frontier: Frontier, indices: list[int], on_event: OnEvent
    ) -> None:
        """Hold the stretches at `indices`, taken from `frontier`."""
        self.frontier = frontier
        self.indices = list(indices)
        self.on_event = on_event
        self.ended: dict[int, EventKind] = {}  # before their last epoch: why
        self.stretches = [frontier.plan.stretches[index] for index in indices]

    def start(self) -> None:
        """Say that a worker has them."""
        for index in self.indices:
            self._tell(EventKind.STARTED, index)

    def report(self, report: Report) -> None:
        """Pass on one epoch; say once what there is to say of many packs."""
        if report.message and report.message not in self.frontier.told:
            self.frontier.told.add(report.message)
            log.warning(report.message)
        for position, index in enumerate(self.indices):
            if index not in self.ended:
                kind, row = EventKind.EPOCH, report.rows.get(position)
                self.on_event(
                    Event(kind=kind, index=index, epoch=report.epoch, row=row)
                )
        for position in report.diverged:
            self.ended[self.indices[position]] = EventKind.DIVERGED
        for position in report.reached:
            self.ended[self.indices[position]] = EventKind.REACHED

    def finish(self) -> None:
        """Free what waited for these stretches."""
        self._end_early()
        for index in self.indices:
            self._tell(EventKind.FINISHED, index)
            self.frontier.finish(index)

    def restart(self, message: str) -> None:
        """Put the stretches back, to start again from what was saved."""
        self._end_early()
        for index in self.indices:
            self._tell(EventKind.RESTARTED, index, message)
        self.put_back()

    def put_back(self) -> None:
        """Let the stretches be taken again."""
        for index in self.indices:
            self.frontier.offer(index)

    def fail(self, message: str) -> None:
        """Give up these stretches and all that would start where they end."""
        self._end_early()
        for index in self.indices:
            self._tell(EventKind.FAILED, index, message)
            for child in self.frontier.drop(index):
                why = "it starts from a state that could not be trained"
                self._tell(EventKind.FAILED, child, why)

    def _tell(self, kind: EventKind, index: int, message: str = "") -> None:
        self.on_event(Event(kind=kind, index=index, message=message))

    def _end_early(self) -> None:
        """Take out the stretches that diverged or reached their goal: paths end there.

        Others may want what lies behind a goal: another round of planning gives it.
        """
        for index, kind in sorted(self.ended.items()):
            self.indices.remove(index)
            self._tell(kind, index)
            for child in self.frontier.drop(index):
                self._tell(EventKind.SKIPPED, child)
        self.ended.clear()
