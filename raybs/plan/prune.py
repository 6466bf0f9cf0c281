"""Find stored states that no sweep needs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from raybs.config.catalog import find_sweep, sweep_names
from raybs.config.keys import resolved, state_keys
from raybs.config.sweep import GOAL_COLUMNS, TrainSweep, first_met, with_seeds
from raybs.config.trial import TrainConfig
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

    These are all but forks and ends; a rolling state stays while its path misses rows.
    Rows stay: they are small, and they are the results.
    """
    rows = {row["state_key"]: row for row in store.read_rows(COLUMNS).to_pylist()}
    files = store.state_files()
    followers: dict[str, set[str]] = {}
    ends, unfinished = set[str](), set[str]()
    shares = {"": Share(sweep="")}
    owners: dict[str, Share] = {}
    for name, keys, measured, until in _paths(store):
        here = files.keys() & keys
        if name:
            share = shares.setdefault(name, Share(sweep=name))
            share.num_trials += 1
            for key in here:
                owners.setdefault(key, share)
        ends.add(keys[-1])
        for key, follower in zip(keys, keys[1:], strict=False):
            if key in files:  # of a million others some may be asked for
                followers.setdefault(key, set()).add(follower)
        stored = [(k, rows[keys[k]]) for k in measured if keys[k] in rows]
        diverged = any(row["status"] == "diverged" for _, row in stored)
        ended = len(stored) == len(measured) or first_met(until, stored) is not None
        if not ended and not diverged:
            unfinished |= here
    kept = ends | {key for key, after in followers.items() if len(after) > 1}
    sizes = store.files.sizes()
    gone = {path: sizes.get(path, 0) for path in store.files.leftovers()}
    shares[""].gone = len(gone)
    shares[""].gone_bytes = sum(gone.values())
    for key, paths in files.items():
        share = owners.get(key, shares[""])
        for path in paths:
            size = sizes.get(path, 0)
            if key in (kept if path.startswith("states") else unfinished):
                share.kept += 1
                share.kept_bytes += size
            else:
                share.gone += 1
                share.gone_bytes += size
                gone[path] = size
    return Pruning(sizes=gone, shares=tuple(shares.values()))


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
            fingerprint = entries["fingerprints"][config.dataset]
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


def _path(name: str, keys: list[str], whole: TrainConfig, sweep: TrainSweep) -> _Path:
    return _Path(name, keys, sweep.measured(whole), sweep.until)
