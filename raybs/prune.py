"""Delete stored states that no sweep needs."""

from collections.abc import Iterator, Mapping

from raybs.catalog import find_sweep, sweep_names
from raybs.config import GOAL_COLUMNS, first_met, with_seeds
from raybs.data import describe
from raybs.paths import resolved, state_keys
from raybs.records import as_resolved, record_from_json
from raybs.store import Store

COLUMNS = ["state_key", "status", *GOAL_COLUMNS]


def prune(store: Store, *, dry_run: bool) -> tuple[int, int]:
    """Delete states that neither the sweeps of raybs nor those of `store` go on from.

    These are all but forks and ends; a rolling state stays while its path misses rows.
    Rows stay: they are small, and they are the results. Returns how many files go, or
    would go, and their bytes.
    """
    rows = {row["state_key"]: row for row in store.read_rows(COLUMNS).to_pylist()}
    files = store.state_files()
    followers: dict[str, set[str]] = {}
    ends, unfinished = set[str](), set[str]()
    for keys, measured, until in _paths(store):
        ends.add(keys[-1])
        for key, follower in zip(keys, keys[1:], strict=False):
            if key in files:  # of a million others some may be asked for
                followers.setdefault(key, set()).add(follower)
        found = [(k, rows[keys[k]]) for k in measured if keys[k] in rows]
        diverged = any(row["status"] == "diverged" for _, row in found)
        ended = len(found) == len(measured) or first_met(until, found) is not None
        if not ended and not diverged:
            unfinished.update(files.keys() & keys)
    kept = ends | {key for key, after in followers.items() if len(after) > 1}
    gone = store.leftovers()
    for key, paths in files.items():
        for path in paths:
            if key not in (kept if path.startswith("states") else unfinished):
                gone.append(path)
    num_bytes = sum(size for path, size in store.sizes().items() if path in set(gone))
    if not dry_run:
        store.delete(gone)
    return len(gone), num_bytes


def _paths(
    store: Store,
) -> Iterator[tuple[list[str], list[int], Mapping[str, float]]]:
    """Yield keys, measured epochs and goals of all trials that one may ask for."""
    seeds = {0}
    for sweep, entries in store.read_records("sweeps", record_from_json).values():
        for config in sweep.configs:
            # As recorded: the file of the dataset may be gone, or be another one now.
            fingerprint = entries["fingerprints"][config.dataset]
            whole = as_resolved(config, entries)
            keys = state_keys(whole, fingerprint, entries["trainer_version"])
            yield keys, sweep.training.measured(whole), sweep.training.until
            seeds.add(config.seed)
    for name in sweep_names():
        training = find_sweep(name)[2].training
        for config in with_seeds(training, sorted(seeds)).configs:
            info = describe(config.dataset)
            whole = resolved(config, info.num_samples)
            keys = state_keys(whole, info.fingerprint)
            yield keys, training.measured(whole), training.until
