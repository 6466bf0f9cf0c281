"""Trials that the records of sweeps ask for, whether they were trained or not."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from raybs.config.gradient_sweep import Sweep
from raybs.config.keys import fingerprint_of, state_keys
from raybs.config.sweep import TrainSweep
from raybs.config.trial import ResolvedConfig, TrainConfig, label
from raybs.store.records import Entries, as_resolved, record_from_json
from raybs.store.store import Store


@dataclass(frozen=True, kw_only=True)
class RecordedTrial:
    """A config of the sweep `name`, the same `resolved`, and the keys of its states."""

    name: str
    sweep: TrainSweep
    entries: Entries
    config: TrainConfig
    resolved: ResolvedConfig
    keys: list[str]

    @property
    def full_label(self) -> str:
        """Say which trial it is, with its seed."""
        return f"{label(self.config)}, seed {self.config.seed}"


def recorded_trials(
    name: str, sweep: Sweep, entries: Entries
) -> Iterator[RecordedTrial]:
    """Yield what a sweep asked for; a gradient sweep has no trials."""
    if not isinstance(sweep, TrainSweep):
        return
    for config in sweep.configs:
        fingerprint = fingerprint_of(config, entries["fingerprints"])
        resolved = as_resolved(config, entries)
        yield RecordedTrial(
            name=name,
            sweep=sweep,
            entries=entries,
            config=config,
            resolved=resolved,
            keys=state_keys(resolved, fingerprint, entries["trainer_version"]),
        )


def find_trial(store: Store, given: str) -> RecordedTrial:
    """Return the recorded trial whose key, label or beginning of a key `given` is.

    Of one that several sweeps ask for, that of one in which no goal stops it.

    Raises:
        ValueError: None is, or several are; their names are said.
    """
    trials: dict[str, RecordedTrial] = {}
    for name, record in sorted(store.read_records("sweeps", record_from_json).items()):
        for trial in recorded_trials(name, *record):
            known = trials.setdefault(trial.keys[-1], trial)
            if known.sweep.until and not trial.sweep.until:
                trials[trial.keys[-1]] = trial
    if not trials:
        raise ValueError(f"{store.uri} holds no trials yet; train some first.")
    for matches in (
        [trials[given]] if given in trials else [],
        [t for t in trials.values() if given in (label(t.config), t.full_label)],
        [t for key, t in trials.items() if given and key.startswith(given)],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise ValueError(
                f"{len(matches)} trials in {store.uri} match {given!r}; give one's "
                f"key, or more of it:\n{_listed(matches)}"
            )
    raise ValueError(
        f"No trial {given!r} in {store.uri}; give a key, a beginning of one, or a "
        f"label. The nearest of {len(trials)}:\n{_listed(_near(given, trials))}"
    )


def _near(given: str, trials: Mapping[str, RecordedTrial]) -> Sequence[RecordedTrial]:
    by_name = {trial.full_label: trial for trial in trials.values()}
    by_name |= trials
    near = difflib.get_close_matches(given, by_name, n=5, cutoff=0.4)
    unique = {id(by_name[name]): by_name[name] for name in near}
    return list(unique.values()) or list(trials.values())[:5]


def _listed(trials: Sequence[RecordedTrial]) -> str:
    lines = [f"  {t.keys[-1]}  {t.full_label}  (sweep {t.name})" for t in trials[:10]]
    return "\n".join([*lines, *(["  ..."] if len(trials) > 10 else [])])
