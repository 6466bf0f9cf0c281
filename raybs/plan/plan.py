"""From what sweeps ask for to the stretches to train, their costs and their order.

No Ray and no torch: a plan is a function of configs and of what the store holds.
"""

import operator
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import cached_property

from raybs.config.sweep import GOAL_COLUMNS
from raybs.config.trial import TrainConfig, own_code
from raybs.plan.branches import find_branches
from raybs.plan.chunks import Chunk, make_chunks, merge
from raybs.plan.cost import USUAL, Speed, state_bytes
from raybs.plan.cut import cut
from raybs.plan.requests import Request, with_stops
from raybs.plan.resolve import Asked
from raybs.plan.stretches import Stretch
from raybs.store.schemas import ROW_BYTES
from raybs.store.store import Store


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Stretches, parents first, and chunks of draws from the states where they end.

    What the stretches leave aside, in epochs; bytes to write. Its seconds are those of
    workers of `speed`. `fingerprints` are those of datasets and of a user's code.
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
    fingerprints: Mapping[str, str] = field(default_factory=dict)

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
    def own_code(self) -> dict[str, str]:
        """The fingerprints of the user's code that workers need, by name."""
        configs: set[TrainConfig] = {stretch.config for stretch in self.stretches}
        configs |= {chunk.cell.config for chunk in self.chunks}
        names = {name for config in configs for name in own_code(config)}
        return {name: self.fingerprints[name] for name in names}

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
    rolling: AbstractSet[str] = frozenset(),
) -> Plan:
    """Cut the union of the asked paths, minus what is stored, into stretches.

    `rows` maps the state keys of stored rows to their status, `states` holds the keys
    of stored states, `needed` those of ends that draws start from: they are trained
    again where only their rows are stored. `rolling` are those of states that are
    stored, but do not stay. Each missing row is trained from the deepest
    stored state before it; paths that share epochs train them once; a path ends where
    it diverged.
    """
    stretches = cut(find_branches(asked, rows, states, needed, rolling), speed)
    paths = [r.keys[1:] if r.stop is None else r.keys[1 : r.stop + 1] for r in asked]
    num_asked = sum(map(len, paths))
    num_distinct = len({key for keys in paths for key in keys})
    to_train = sum(stretch.length for stretch in stretches)
    by_end = {request.keys[-1]: request for request in asked}
    of_stretches = [by_end[stretch.keys[-1]] for stretch in stretches]
    sizes = [state_bytes(r.config, r.info, r.network) for r in of_stretches]
    num_kept = [
        len(stretch.keep - {stretch.start})
        # A state that is there already is written once more, to stay.
        + (not stretch.length and stretch.last_key in rolling)
        for stretch in stretches
    ]
    return Plan(
        speed=speed,
        stretches=tuple(stretches),
        num_trials=len(asked),
        asked=num_asked,
        stored=max(num_distinct - to_train, 0),
        shared=num_asked - num_distinct,
        state_bytes=sum(map(operator.mul, num_kept, sizes)),
        row_bytes=sum(len(stretch.measure) for stretch in stretches) * ROW_BYTES,
        largest_state=max(sizes, default=0),
        fingerprints={n: f for r in asked for n, f in r.fingerprints.items()},
    )


def plan_for(asked: Sequence[Asked], store: Store, speed: Speed) -> Plan:
    """Plan the union of all that is asked for, minus what `store` holds."""
    requests = [
        replace(request, keep=item.keep_states)
        for item in asked
        for request in item.requests
    ]
    if any(request.until for request in requests):
        rows = store.read_rows(["state_key", *GOAL_COLUMNS])
        requests = with_stops(requests, rows)
    wanted = merge([wanted for item in asked for wanted in item.wanted])
    keep = any(item.keep_gradients for item in asked)
    chunks = make_chunks(wanted, store, speed, keep=keep) if wanted else []
    files = store.state_files()
    plan = make_plan(
        requests,
        store.read_statuses(),
        files.keys(),
        speed,
        needed={chunk.cell.state_key for chunk in chunks},
        # Of a key's files those that stay come first.
        rolling={key for key, paths in files.items() if paths[0].startswith("rolling")},
    )
    num_draws = sum(len(item.pairs) for item in wanted)
    return replace(plan, chunks=tuple(chunks), draws_asked=num_draws)
