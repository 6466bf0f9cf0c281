"""From what sweeps ask for to the stretches to train, their costs and their order.

No Ray and no torch: a plan is a function of configs and of what the store holds.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property

from raybs.config.sweep import GOAL_COLUMNS
from raybs.plan.chunks import Chunk, make_chunks, merge
from raybs.plan.cost import USUAL, Speed, state_bytes
from raybs.plan.cut import Branch, cut, deepest
from raybs.plan.requests import Request, with_stops
from raybs.plan.resolve import Asked
from raybs.plan.stretches import Stretch
from raybs.store.schemas import ROW_BYTES
from raybs.store.store import Store


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
    branches: list[Branch] = []
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
            start = deepest(keys, stop, states)
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
                branches.append(Branch(request=request, start=first, stop=stop))
            wanted = [k for k in wanted if k <= start and k < stop]
    stretches = cut(branches, missing, ends, at_start, speed)
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


def plan_for(asked: Sequence[Asked], store: Store, speed: Speed) -> Plan:
    """Plan the union of all that is asked for, minus what `store` holds."""
    found = [request for item in asked for request in item.requests]
    if any(request.until for request in found):
        rows = store.read_rows(["state_key", *GOAL_COLUMNS])
        found = with_stops(found, rows)
    wanted = merge([wanted for item in asked for wanted in item.wanted])
    keep = any(item.keep_gradients for item in asked)
    chunks = make_chunks(wanted, store, speed, keep=keep) if wanted else []
    plan = make_plan(
        found,
        store.read_statuses(),
        store.state_files().keys(),
        speed,
        needed={chunk.cell.state_key for chunk in chunks},
    )
    num_draws = sum(len(item.pairs) for item in wanted)
    return replace(plan, chunks=tuple(chunks), draws_asked=num_draws)
