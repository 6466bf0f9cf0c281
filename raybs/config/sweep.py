"""Sweeps of trials: which configs, how often measured, and where they may end."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from raybs.config.trial import (
    Phase,
    ResolvedConfig,
    TrainConfig,
    canonical,
    known_lengths,
    label,
)
from raybs.config.validation import (
    any_of,
    is_integer,
    is_number,
    plain,
    raise_all,
    to_tuples,
)

UNTIL = {
    "test_accuracy": 1,
    "train_accuracy": 1,
    "test_loss": -1,
    "train_loss": -1,
    "seconds": 1,
}
"""What a trial may be stopped at: 1 where more is reached, -1 where less is."""

GOAL_COLUMNS = ("training_seconds", *UNTIL)
"""Of rows: what `first_met` reads."""


@dataclass(frozen=True, kw_only=True)
class TrainSweep:
    """A named set of configs answering one question.

    `evaluate_every` is the number of epochs between measured rows; epoch 0 and the last
    one are always measured. `last_epochs` limits figures to that many last epochs of
    each trial. A trial ends at the first measured row that meets one of `until`: an
    accuracy or more, a loss or less, so many seconds of training or more.
    """

    configs: tuple[TrainConfig, ...]
    evaluate_every: int = 1
    last_epochs: int | None = None
    until: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise one ValueError that lists every invalid field."""
        problems = to_tuples(self, "configs")
        raise_all("sweep", problems)
        if not self.configs:
            problems.append("configs=(); give at least one TrainConfig")
        if not all(isinstance(config, TrainConfig) for config in self.configs):
            problems.append("configs: every one must be a TrainConfig")
        else:
            counts = Counter(map(canonical, self.configs))
            problems += [
                f"the config '{label(config)}' (seed {config.seed}) is there {n} times"
                for config, n in counts.items()
                if n > 1
            ]
            named = Counter((label(config), config.seed) for config in counts)
            problems += [
                f"two configs have one label, '{name}': rename the file of a "
                "dataset or of a model"
                for (name, _), n in named.items()
                if n > 1
            ]
        for name in ("evaluate_every", "last_epochs"):
            value = getattr(self, name)
            if value is None and name == "last_epochs":
                continue
            if not is_integer(value) or value < 1:
                problems.append(f"{name}={value!r}; use a whole number of at least 1")
        raise_all("sweep", problems + self._check_until())

    @property
    def training(self) -> "TrainSweep":
        """What is to be trained: all of it."""
        return self

    def _check_until(self) -> list[str]:
        if not isinstance(self.until, Mapping):
            return [f"until={self.until!r}; use a mapping, as {{'test_loss': 0.1}}"]
        problems = []
        for name, value in self.until.items():
            if name not in UNTIL:
                problems.append(f"until {name}; use {any_of(UNTIL)}")
            elif not is_number(plain(value)) or value <= 0:
                problems.append(f"until {name}={value!r}; use a number above 0")
            elif "accuracy" in name and value > 1:
                problems.append(f"until {name}={value!r}; a fraction, at most 1")
        values = {name: plain(value) for name, value in self.until.items()}
        object.__setattr__(self, "until", values)
        return problems

    def measured(self, config: ResolvedConfig) -> list[int]:
        """Return the epochs of `config` whose rows this sweep asks for."""
        last = config.num_epochs
        return sorted({*range(0, last + 1, self.evaluate_every), last})


def with_seeds(sweep: TrainSweep, seeds: Sequence[int]) -> TrainSweep:
    """Repeat every config of `sweep` for each of `seeds`.

    Raises:
        ValueError: A seed is given twice.
    """
    twice = sorted(seed for seed, n in Counter(seeds).items() if n > 1)
    if twice:
        raise ValueError(f"seeds: {twice[0]} is given twice; name each seed once.")
    unseeded = list(dict.fromkeys(replace(config, seed=0) for config in sweep.configs))
    configs = [replace(config, seed=seed) for seed in seeds for config in unseeded]
    return replace(sweep, configs=tuple(configs))


def truncated(sweep: TrainSweep, max_epochs: int) -> TrainSweep:
    """Cut every phase to at most `max_epochs`; configs that become equal are one.

    Raises:
        ValueError: A config counts steps.
    """
    configs: dict[TrainConfig, TrainConfig] = {}
    for config in sweep.configs:
        phases = known_lengths(config).phases
        short = replace(
            config, phases=tuple(_cut(phase, max_epochs) for phase in phases)
        )
        configs.setdefault(canonical(short), short)
    return replace(sweep, configs=tuple(configs.values()))


def is_met(until: Mapping[str, float], row: Mapping[str, Any]) -> bool:
    """Tell whether a trial ends at `row`: its seconds are the row's training_seconds.

    What is not finite, or missing, meets nothing.
    """
    for name, value in until.items():
        reached = row["training_seconds" if name == "seconds" else name]
        if reached is not None and UNTIL[name] * reached >= UNTIL[name] * value:
            return True
    return False


def first_met(
    until: Mapping[str, float], rows: Iterable[tuple[int, Mapping[str, Any]]]
) -> int | None:
    """Return the epoch of the first of the measured rows of a trial that ends it.

    Rows of an older raybs do not say their seconds of training: then it is those of
    measuring, too.
    """
    elapsed = 0.0
    for epoch, row in rows:
        elapsed += row["seconds"] or 0.0
        spent = row["training_seconds"]
        known = spent is not None and spent == spent
        if is_met(until, {**row, "training_seconds": spent if known else elapsed}):
            return epoch
    return None


def _cut(phase: Phase, max_epochs: int) -> Phase:
    if phase.epochs < max_epochs:
        return phase
    return replace(phase, epochs=max_epochs, samples=0)
