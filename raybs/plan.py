"""From what sweeps ask for to the stretches to train, their costs and their order.

No Ray and no torch: a plan is a function of configs and of what the store holds.
"""

import heapq
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import pyarrow as pa

from raybs.chunks import Chunk
from raybs.config.keys import path, resolved, state_keys
from raybs.config.sweep import TrainSweep, first_met
from raybs.config.trial import Phase, TrainConfig, label
from raybs.cost import USUAL, Speed, epoch_seconds, measuring_seconds, state_bytes
from raybs.datasets.dataset import DatasetInfo
from raybs.store.records import from_json
from raybs.store.schemas import ROW_BYTES

STRETCH_SECONDS = 60.0
"""Estimated length of a stretch: three paths on two workers end together, nearly."""

MAX_BREAKS = 300
"""Long plans have longer stretches: each is a Tune trial, whose number costs time."""

_ANY_PHASE = Phase(batch_size=1, learning_rate=1.0, epochs=1)


@dataclass(frozen=True, kw_only=True)
class Request:
    """One trial as asked for: its config, resolved, its keys, and the rows wanted.

    It may end before its last epoch, at the first row that meets `until`; `stop` is the
    epoch of that row, where it is stored.
    """

    config: TrainConfig
    info: DatasetInfo
    keys: list[str]
    measured: list[int]
    until: Mapping[str, float] = field(default_factory=dict)
    stop: int | None = None


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Consecutive epochs of one path, trained by one worker: epochs start + 1 to stop.

    `measure` are the epochs whose rows are missing (`start` itself may be one), `keep`
    the epochs whose states stay; with `goes_on` a single stretch follows, which needs
    the last state for a while. A measured row that meets `until` ends it, and all that
    follows it. `parent` is the index in the plan of the stretch that ends where this
    one starts. `seconds` is its estimated cost, `remaining` that of the longest chain
    of stretches that starts with it.
    """

    config: TrainConfig
    fingerprint: str
    start: int
    stop: int
    measure: frozenset[int]
    keep: frozenset[int]
    goes_on: bool
    parent: int | None
    seconds: float
    remaining: float = 0.0
    until: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def keys(self) -> list[str]:
        """State keys of the whole path of `config`, which goes through this stretch."""
        return state_keys(self.config, self.fingerprint)

    @property
    def last_key(self) -> str:
        """Name the state that is missing if this stretch fails."""
        return self.keys[self.stop]

    @property
    def name(self) -> str:
        """Name a trial whose path holds this stretch."""
        return f"{label(self.config)}, seed {self.config.seed}"

    @property
    def length(self) -> int:
        """Number of epochs."""
        return self.stop - self.start

    @cached_property
    def shape(self) -> tuple[Any, ...]:
        """Equal for stretches that can be trained side by side as replicas."""
        setup = replace(self.config, phases=(_ANY_PHASE,), seed=0)
        epochs = path(self.config)[self.start : self.stop]
        sizes = tuple((epoch.batch_size, epoch.samples) for epoch in epochs)
        return (setup, self.start, sizes)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Stretches, parents first, and chunks of draws from the states where they end.

    What the stretches leave aside, in epochs; bytes to write. Its seconds are those of
    workers of `speed`.
    """

    speed: Speed
    stretches: tuple[Stretch, ...]
    chunks: tuple[Chunk, ...] = ()
    num_trials: int
    asked: int
    stored: int
    shared: int
    state_bytes: int
    row_bytes: int
    largest_state: int
    draws_asked: int = 0

    @property
    def to_train(self) -> int:
        """Epochs to train."""
        return sum(stretch.length for stretch in self.stretches)

    @property
    def to_draw(self) -> int:
        """Draws to take."""
        return sum(chunk.length for chunk in self.chunks)

    @cached_property
    def pieces(self) -> tuple[Stretch | Chunk, ...]:
        """All that workers take: what events count."""
        return (*self.stretches, *self.chunks)

    @property
    def seconds(self) -> float:
        """Estimated seconds of one worker."""
        return sum(piece.seconds for piece in self.pieces)

    @property
    def num_bytes(self) -> int:
        """Bytes to write."""
        chunks = sum(chunk.num_bytes for chunk in self.chunks)
        return self.state_bytes + self.row_bytes + chunks

    def bound(self, num_workers: int) -> float:
        """Bound the seconds from below: the longest chain, or an even share of all."""
        longest = max((piece.remaining for piece in self.pieces), default=0.0)
        return max(longest, self.seconds / num_workers)


def requests(
    sweep: TrainSweep, describe: Callable[[str], DatasetInfo]
) -> list[Request]:
    """Resolve the configs of `sweep` against their datasets.

    Raises:
        ValueError: A dataset is unknown, or a batch size exceeds its training samples.
    """
    found = []
    for given in sweep.configs:
        info = describe(given.dataset)
        config = resolved(given, info.num_samples)
        for i, phase in enumerate(config.phases):
            if phase.batch_size > info.num_samples:
                raise ValueError(
                    f"'{label(config)}', phase {i}: batch_size={phase.batch_size} "
                    f"exceeds the {info.num_samples} training samples; use 1 to "
                    f"{info.num_samples}."
                )
        keys = state_keys(config, info.fingerprint)
        found.append(
            Request(
                config=config,
                info=info,
                keys=keys,
                measured=sweep.measured(config),
                until=sweep.until,
            )
        )
    return found


def with_stops(asked: Sequence[Request], rows: pa.Table) -> list[Request]:
    """Return `asked`, with where stored rows say that trials have ended.

    `rows` are all there are, with state_key and GOAL_COLUMNS.
    """
    by_key = {row["state_key"]: row for row in rows.to_pylist()}

    def stop(request: Request) -> int | None:
        keys = request.keys
        stored = [(k, by_key[keys[k]]) for k in request.measured if keys[k] in by_key]
        return first_met(request.until, stored)

    return [replace(r, stop=stop(r)) if r.until else r for r in asked]


def make_plan(
    asked: Sequence[Request],
    rows: Mapping[str, str],
    states: AbstractSet[str],
    speed: Speed = USUAL,
    *,
    needed: AbstractSet[str] = frozenset(),
) -> Plan:
    """Cut the union of the asked paths, minus what is stored, into stretches.

    `rows` maps the state keys of stored rows to their status, `states` holds the keys
    of stored states, `needed` those of ends that draws start from: they are trained
    again where only their rows are stored. Each missing row is trained from the deepest
    stored state before it; paths that share epochs train them once; a path ends where
    it diverged.
    """
    branches: list[_Branch] = []
    owner: dict[str, int] = {}  # key of a needed epoch: the branch that trains it
    missing: set[str] = set()
    at_start: dict[str, tuple[Request, int]] = {}  # rows of states that are stored
    ends: set[str] = set()
    diverged = {key for key, status in rows.items() if status == "diverged"}
    # First those that go all the way: what stops early owns what it shares with none.
    for request in sorted(asked, key=lambda request: bool(request.until)):
        keys = request.keys
        last = len(keys) - 1 if request.stop is None else request.stop
        if diverged:
            ended = (k for k, key in enumerate(keys[: last + 1]) if key in diverged)
            last = next(ended, last)
        wanted = [k for k in request.measured if k <= last and keys[k] not in rows]
        missing.update(keys[k] for k in wanted)
        ends.add(keys[-1])
        if keys[last] in needed - states and last not in wanted:
            wanted.append(last)
        while wanted:
            stop = wanted[-1]
            start = _deepest(keys, stop, states)
            if start == stop:
                at_start.setdefault(keys[stop], (request, stop))
            # Needed epochs that another branch trains are the first of this range.
            first = start
            while first < stop and keys[first + 1] in owner:
                first += 1
            if start < first < stop:
                branches[owner[keys[first]]].forks.add(first)
            if first < stop:
                owner.update(dict.fromkeys(keys[first + 1 : stop + 1], len(branches)))
                branches.append(_Branch(request=request, start=first, stop=stop))
            wanted = [k for k in wanted if k <= start and k < stop]
    stretches = _cut(branches, missing, ends, at_start, speed)
    paths = [r.keys[1:] if r.stop is None else r.keys[1 : r.stop + 1] for r in asked]
    distinct = len({key for keys in paths for key in keys})
    total = sum(map(len, paths))
    to_train = sum(stretch.length for stretch in stretches)
    infos = {request.info.fingerprint: request.info for request in asked}
    return Plan(
        speed=speed,
        stretches=tuple(stretches),
        num_trials=len(asked),
        asked=total,
        stored=max(distinct - to_train, 0),
        shared=total - distinct,
        state_bytes=sum(
            len(s.keep - {s.start}) * state_bytes(s.config, infos[s.fingerprint])
            for s in stretches
        ),
        row_bytes=sum(len(stretch.measure) for stretch in stretches) * ROW_BYTES,
        largest_state=max(
            (state_bytes(s.config, infos[s.fingerprint]) for s in stretches), default=0
        ),
    )


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


def stretch_to_json(stretch: Stretch) -> dict[str, Any]:
    """Return `stretch` as JSON values, for a worker."""
    value = asdict(stretch)
    return value | {name: sorted(value[name]) for name in ("measure", "keep")}


def stretch_from_json(value: Mapping[str, Any]) -> Stretch:
    """Read what `stretch_to_json` wrote."""
    sets = {name: frozenset(value[name]) for name in ("measure", "keep")}
    return Stretch(**{**value, "config": from_json(value["config"]), **sets})


@dataclass(kw_only=True)
class _Branch:
    """Needed epochs of one request that no earlier branch trains; forks cut it."""

    request: Request
    start: int
    stop: int
    forks: set[int] = field(default_factory=set)


def _deepest(keys: Sequence[str], stop: int, states: AbstractSet[str]) -> int:
    """Return the last epoch up to `stop` whose state is stored; init always is."""
    if not states:
        return 0
    return next((k for k in range(stop, 0, -1) if keys[k] in states), 0)


def _cut(
    branches: list[_Branch],
    missing: AbstractSet[str],
    ends: AbstractSet[str],
    at_start: dict[str, tuple[Request, int]],
    speed: Speed,
) -> list[Stretch]:
    """Cut branches at their forks, in an order in which parents come first."""
    pieces: list[tuple[Request, int, int, int | None]] = []
    ending: dict[str, int] = {}
    costs = [
        _seconds(b.request, b.start, b.stop, b.stop - b.start, speed) for b in branches
    ]
    longest = max(STRETCH_SECONDS, sum(costs) / MAX_BREAKS)
    for branch, cost in zip(branches, costs, strict=True):
        breaks = _breaks(branch, longest, speed) if cost > longest else []
        bounds = sorted({branch.start, branch.stop, *branch.forks, *breaks})
        for start, stop in zip(bounds, bounds[1:], strict=False):
            ending[branch.request.keys[stop]] = len(pieces)
            parent = ending.get(branch.request.keys[start])
            pieces.append((branch.request, start, stop, parent))
    starting = Counter(request.keys[start] for request, start, _, _ in pieces)
    for key, (request, epoch) in at_start.items():
        if key not in starting:
            pieces.append((request, epoch, epoch, None))
    measures: list[frozenset[int]] = []
    for request, start, stop, _ in pieces:
        epochs = {k for k in range(start + 1, stop + 1) if request.keys[k] in missing}
        if at_start.pop(request.keys[start], None):
            epochs.add(start)  # the first to start here measures it
        measures.append(frozenset(epochs))
    seconds = [
        _seconds(request, start, stop, len(measure), speed)
        for (request, start, stop, _), measure in zip(pieces, measures, strict=True)
    ]
    remaining = list(seconds)
    for index, (_, _, _, parent) in reversed(list(enumerate(pieces))):
        if parent is not None:
            chain = seconds[parent] + remaining[index]
            remaining[parent] = max(remaining[parent], chain)
    kept = ends | {key for key, num in starting.items() if num > 1}
    return [
        Stretch(
            config=request.config,
            fingerprint=request.info.fingerprint,
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
        )
        for index, (request, start, stop, parent) in enumerate(pieces)
    ]


def _breaks(branch: _Branch, longest: float, speed: Speed) -> list[int]:
    """Return the epochs after which another worker may go on."""
    config, info = branch.request.config, branch.request.info
    epochs = path(config)[: branch.stop]
    cost = {
        epoch: epoch_seconds(config, epoch, info, speed)
        + measuring_seconds(config, info, speed)
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
    config, info = request.config, request.info

    def training(start: int, stop: int) -> float:
        epochs = Counter(path(config)[start:stop])
        return sum(
            num * epoch_seconds(config, epoch, info, speed)
            for epoch, num in epochs.items()
        )

    seconds = training(start, stop)
    measuring = num_measured * measuring_seconds(config, info, speed)
    if seconds and (most := request.until.get("seconds")):
        left = max(most - training(0, start), 0.0)
        part = min(left / seconds, 1.0)
        return part * (seconds + measuring)
    return seconds + measuring
