"""Find stored states that no sweep needs."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from raybs.config.catalog import find_sweep, sweep_names
from raybs.config.keys import fingerprint_of, resolved, state_keys
from raybs.config.status import Status
from raybs.config.sweep import GOAL_COLUMNS, TrainSweep, first_met, with_seeds
from raybs.config.trial import ResolvedConfig
from raybs.datasets.dataset import describe
from raybs.store.records import as_resolved, record_from_json
from raybs.store.store import Store

COLUMNS = ["state_key", "status", *GOAL_COLUMNS]


@dataclass(kw_only=True)
class Share:
    """Stored states of one sweep: how many stay, how many are to go, their bytes.

    A state that sweeps share counts for the first of them. States of no recorded sweep
    have a share of their own, whose `sweep` is "".
    """

    sweep: str
    num_trials: int = 0
    kept: int = 0
    kept_bytes: int = 0
    gone: int = 0
    gone_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """What would be deleted: bytes by path in the results folder; shares of sweeps."""

    sizes: Mapping[str, int]
    shares: Sequence[Share]

    @property
    def paths(self) -> list[str]:
        """What would be deleted."""
        return list(self.sizes)

    @property
    def num_bytes(self) -> int:
        """Bytes of all of it."""
        return sum(self.sizes.values())


def find_prunable(store: Store) -> Pruning:
    """Find states that neither the sweeps of raybs nor those of `store` go on from.

    These are all but forks and ends, also those at goals; a rolling state stays while
    its path misses rows. Rows stay: they are small, and they are the results.
    """
    files = store.state_files()
    needs = _needs(store, files.keys())
    sizes = store.files.sizes()
    gone = {path: sizes.get(path, 0) for path in store.files.leftovers()}
    others = needs.shares[""]
    others.gone, others.gone_bytes = len(gone), sum(gone.values())
    for key, paths in files.items():
        share = needs.owners.get(key, others)
        for path in paths:
            size = sizes.get(path, 0)
            if key in (needs.kept if path.startswith("states") else needs.unfinished):
                share.kept += 1
                share.kept_bytes += size
            else:
                share.gone += 1
                share.gone_bytes += size
                gone[path] = size
    return Pruning(sizes=gone, shares=tuple(needs.shares.values()))


@dataclass(frozen=True, kw_only=True)
class _Needs:
    """Keys of the states that stay, and of those on the way of unfinished trials.

    `shares` are those of sweeps by name, `owners` the sweep that a stored state counts
    for, by its key.
    """

    kept: set[str]
    unfinished: set[str]
    shares: dict[str, Share]
    owners: dict[str, Share]


def _needs(store: Store, stored: AbstractSet[str]) -> _Needs:
    """Return what all sweeps need; `stored` are the keys of stored states."""
    rows = {row["state_key"]: row for row in store.read_rows(COLUMNS).to_pylist()}
    followers: dict[str, set[str]] = {}
    ends, unfinished = set[str](), set[str]()
    shares = {"": Share(sweep="")}
    owners: dict[str, Share] = {}
    for name, keys, measured, until in _paths(store):
        here = stored & set(keys)
        if name:
            share = shares.setdefault(name, Share(sweep=name))
            share.num_trials += 1
            for key in here:
                owners.setdefault(key, share)
        ends.add(keys[-1])
        for key, follower in pairwise(keys):
            if key in stored:  # of a million others some may be asked for
                followers.setdefault(key, set()).add(follower)
        known = [(k, rows[keys[k]]) for k in measured if keys[k] in rows]
        diverged = any(row["status"] == Status.DIVERGED for _, row in known)
        goal = first_met(until, known)
        if goal is not None:  # a state there is one that was asked to stay
            ends.add(keys[goal])
        ended = len(known) == len(measured) or goal is not None
        if not ended and not diverged:
            unfinished |= here
    forks = {key for key, after in followers.items() if len(after) > 1}
    return _Needs(
        kept=ends | forks, unfinished=unfinished, shares=shares, owners=owners
    )


class _Path(NamedTuple):
    """A trial that one may ask for: the sweep that records it, or "", and its keys."""

    sweep: str
    keys: list[str]
    measured: list[int]
    until: Mapping[str, float]


def _paths(store: Store) -> Iterator[_Path]:
    seeds = {0}
    records = store.read_records("sweeps", record_from_json)
    for name, (sweep, entries) in records.items():
        for config in sweep.configs:
            # As recorded: the file of the dataset may be gone, or be another one now.
            fingerprint = fingerprint_of(config, entries["fingerprints"])
            whole = as_resolved(config, entries)
            keys = state_keys(whole, fingerprint, entries["trainer_version"])
            yield _path(name, keys, whole, sweep.training)
            seeds.add(config.seed)
    for name in sweep_names():
        training = find_sweep(name)[2].training
        for config in with_seeds(training, sorted(seeds)).configs:
            info = describe(config.dataset)
            whole = resolved(config, info.num_samples)
            yield _path("", state_keys(whole, info.fingerprint), whole, training)


def _path(
    name: str, keys: list[str], whole: ResolvedConfig, sweep: TrainSweep
) -> _Path:
    return _Path(name, keys, sweep.measured(whole), sweep.until)
