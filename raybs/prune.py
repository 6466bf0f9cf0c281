"""Delete stored states that no sweep needs."""

from collections.abc import Iterator

from raybs.catalog import find_sweep, sweep_names
from raybs.config import with_seeds
from raybs.data import describe
from raybs.paths import resolved, state_keys
from raybs.records import as_resolved, record_from_json
from raybs.store import Store


def prune(store: Store, *, dry_run: bool) -> tuple[int, int]:
    """Delete states that neither the sweeps of raybs nor those of `store` go on from.

    These are all but forks and ends; a rolling state stays while its path misses rows.
    Rows stay: they are small, and they are the results. Returns how many files go, or
    would go, and their bytes.
    """
    status = store.read_statuses()
    followers: dict[str, set[str]] = {}
    ends, unfinished = set(), set()
    for keys, measured in _paths(store):
        ends.add(keys[-1])
        for key, follower in zip(keys, keys[1:], strict=False):
            followers.setdefault(key, set()).add(follower)
        found = [status.get(keys[epoch]) for epoch in measured]
        if None in found and "diverged" not in found:
            unfinished.update(keys)
    kept = ends | {key for key, after in followers.items() if len(after) > 1}
    gone = store.leftovers()
    for key, paths in store.state_files().items():
        for path in paths:
            if key not in (kept if path.startswith("states") else unfinished):
                gone.append(path)
    num_bytes = sum(size for path, size in store.sizes().items() if path in set(gone))
    if not dry_run:
        store.delete(gone)
    return len(gone), num_bytes


def _paths(store: Store) -> Iterator[tuple[list[str], list[int]]]:
    """Yield state keys and measured epochs of every trial that somebody may ask for."""
    seeds = {0}
    for sweep, entries in store.read_records("sweeps", record_from_json).values():
        for config in sweep.configs:
            # As recorded: the file of the dataset may be gone, or be another one now.
            fingerprint = entries["fingerprints"][config.dataset]
            whole = as_resolved(config, entries)
            keys = state_keys(whole, fingerprint, entries["trainer_version"])
            yield keys, sweep.training.measured(whole)
            seeds.add(config.seed)
    for name in sweep_names():
        training = find_sweep(name)[2].training
        for config in with_seeds(training, sorted(seeds)).configs:
            info = describe(config.dataset)
            whole = resolved(config, info.num_samples)
            yield state_keys(whole, info.fingerprint), training.measured(whole)
