"""Stretches: pieces of the paths of trials that are trained in one go."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from raybs.config.keys import path, state_keys
from raybs.config.trial import Phase, ResolvedConfig, known_lengths, label
from raybs.store.records import from_json
from raybs.store.rows import Row


@dataclass(frozen=True, kw_only=True)
class Report:
    """One epoch of a pack: rows by stretch, if measured; who diverged, who is done.

    Those in `reached` have met what ends their trials. `message` is what to say once of
    how they are trained. It crosses processes: plain values, and little of them.
    """

    epoch: int
    rows: dict[int, Row]
    diverged: list[int]
    reached: list[int]
    message: str = ""


_ANY_PHASE = Phase(batch_size=1, learning_rate=1.0, epochs=1)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Consecutive epochs of one path, trained by one worker: epochs start + 1 to stop.

    `measure` are the epochs whose rows are missing (`start` itself may be one), `keep`
    the epochs whose states stay; with `goes_on` a single stretch follows, which needs
    the last state for a while. A measured row that meets `until` ends it, and all that
    follows it; with `keep_goal` the state there stays, too. `parent` is the index in
    the plan of the stretch that ends where this one starts. `seconds` is its estimated
    cost, `remaining` that of the longest chain of stretches that starts with it.
    """

    config: ResolvedConfig
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
    keep_goal: bool = False

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


def stretch_to_json(stretch: Stretch) -> dict[str, Any]:
    """Return `stretch` as JSON values, for a worker."""
    value = asdict(stretch)
    return value | {name: sorted(value[name]) for name in ("measure", "keep")}


def stretch_from_json(value: Mapping[str, Any]) -> Stretch:
    """Read what `stretch_to_json` wrote."""
    sets = {name: frozenset(value[name]) for name in ("measure", "keep")}
    return Stretch(
        **{**value, "config": known_lengths(from_json(value["config"])), **sets}
    )
