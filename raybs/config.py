"""What to run: phases, configs and sweeps, their validation, labels and state keys.

A trial is a path of epochs. The state after epoch k is a pure function of the setup,
the seed and the first k epochs; `state_keys` names it. Nothing here imports torch or
Ray.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import PurePath
from typing import Any

TRAINER_VERSION = 1
"""Raised whenever the same config gives other numbers; it is part of every state
key."""

DEFERRED_BATCH_SIZE = 8
"""Updates of plain SGD at batch sizes up to this wait for several steps: measured
faster (docs/performance.md)."""

MAX_EPOCHS = 1_000_000
"""Of one trial: each has a state key of its own."""

OPTIMIZERS = ("sgd", "adam", "adamw")
PRECISIONS = ("float32", "bfloat16")
INITS = ("glorot_uniform", "torch_default", "he_uniform")


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Epochs at one batch size and learning rate."""

    batch_size: int
    learning_rate: float
    epochs: int

    def __post_init__(self) -> None:
        """Raise one ValueError that lists every invalid field."""
        problems = []
        for name in ("batch_size", "learning_rate", "epochs"):
            object.__setattr__(self, name, plain(getattr(self, name)))
        for name in ("batch_size", "epochs"):
            value = getattr(self, name)
            if not is_integer(value) or value < 1:
                problems.append(f"{name}={value!r}; use a whole number of at least 1")
        if not is_number(self.learning_rate) or self.learning_rate <= 0:
            problems.append(
                f"learning_rate={self.learning_rate!r}; use a finite number above 0"
            )
        raise_all("phase", problems)
        # 1 and 1.0 are one learning rate: they must have one label and one state key.
        object.__setattr__(self, "learning_rate", float(self.learning_rate))


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that determines a trial.

    `dataset` is "mnist" (bundled) or the path of an .npz file. `momentum` and
    `nesterov` belong to sgd. Adam and AdamW use torch's default betas and epsilon.
    `precision` is that of the matmuls of training, their inputs and results: with
    bfloat16 a gradient is rounded to it, and added to float32 weights. What is measured
    is float32 either way, and so are epochs whose updates are deferred
    (`is_deferred`).
    """

    phases: tuple[Phase, ...]
    dataset: str = "mnist"
    hidden: tuple[int, ...] = (1024, 1024)
    init: str = "glorot_uniform"
    optimizer: str = "sgd"
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise one ValueError that lists every invalid field."""
        problems = to_tuples(self, "phases", "hidden")
        raise_all("config", problems)
        if not self.phases:
            problems.append("phases=(); give at least one Phase")
        if not all(isinstance(phase, Phase) for phase in self.phases):
            problems.append(f"phases={self.phases!r}; every one must be a Phase")
        elif self.num_epochs > MAX_EPOCHS:
            problems.append(
                f"phases of {self.num_epochs} epochs; use up to {MAX_EPOCHS}"
            )
        if not all(is_integer(width) and width > 0 for width in self.hidden):
            problems.append(f"hidden={self.hidden!r}; use whole numbers of at least 1")
        if not isinstance(self.dataset, str):
            problems.append(f"dataset={self.dataset!r}; use a name or a path as text")
        if not isinstance(self.nesterov, bool):
            problems.append(f"nesterov={self.nesterov!r}; use True or False")
        choices = {"optimizer": OPTIMIZERS, "init": INITS, "precision": PRECISIONS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                problems.append(f"{name}={getattr(self, name)!r}; use {any_of(known)}")
        if not is_number(self.momentum) or not 0 <= self.momentum < 1:
            problems.append(f"momentum={self.momentum!r}; use 0 up to, but not, 1")
        if not is_number(self.weight_decay) or self.weight_decay < 0:
            problems.append(f"weight_decay={self.weight_decay!r}; use 0 or more")
        if self.momentum and self.optimizer != "sgd":
            problems.append(
                f"momentum with optimizer={self.optimizer!r}; only sgd has it"
            )
        if self.nesterov and not self.momentum:
            problems.append("nesterov=True with momentum=0; give a momentum above 0")
        if not is_integer(self.seed) or not 0 <= self.seed < 2**63:
            problems.append(
                f"seed={self.seed!r}; use a whole number from 0 to 2**63 - 1"
            )
        raise_all("config", problems)
        for name in ("momentum", "weight_decay"):
            object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def num_epochs(self) -> int:
        """Epochs of all phases together."""
        return sum(phase.epochs for phase in self.phases)


@dataclass(frozen=True, kw_only=True)
class TrainSweep:
    """A named set of configs answering one question.

    `evaluate_every` is the number of epochs between measured rows; epoch 0 and the last
    one are always measured. `last_epochs` limits figures to that many last epochs of
    each trial.
    """

    configs: tuple[TrainConfig, ...]
    evaluate_every: int = 1
    last_epochs: int | None = None

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
                f"two datasets give one label, '{name}'; rename a file"
                for (name, _), n in named.items()
                if n > 1
            ]
        for name in ("evaluate_every", "last_epochs"):
            value = getattr(self, name)
            if value is None and name == "last_epochs":
                continue
            if not is_integer(value) or value < 1:
                problems.append(f"{name}={value!r}; use a whole number of at least 1")
        raise_all("sweep", problems)

    @property
    def training(self) -> "TrainSweep":
        """What is to be trained: all of it."""
        return self

    def measured(self, config: TrainConfig) -> list[int]:
        """Return the epochs of `config` whose rows this sweep asks for."""
        last = config.num_epochs
        return sorted({*range(0, last + 1, self.evaluate_every), last})


def path(config: TrainConfig) -> list[tuple[int, float]]:
    """Return (batch_size, learning_rate) of every epoch; epoch k is item k - 1."""
    return [
        (phase.batch_size, phase.learning_rate)
        for phase in config.phases
        for _ in range(phase.epochs)
    ]


def canonical(config: TrainConfig) -> TrainConfig:
    """Join equal neighboring phases: one path (30 + 30 epochs, 60) is one config."""
    joined: list[Phase] = []
    for phase in config.phases:
        if joined and replace(joined[-1], epochs=phase.epochs) == phase:
            joined[-1] = replace(phase, epochs=joined[-1].epochs + phase.epochs)
        else:
            joined.append(phase)
    if len(joined) == len(config.phases):
        return config
    return replace(config, phases=tuple(joined))


def label(config: TrainConfig) -> str:
    """Return a reader's name: the path, then all but the seed that is no default."""
    words = " -> ".join(
        f"{phase.batch_size} @ {phase.learning_rate:.12g} x {phase.epochs}"
        for phase in canonical(config).phases
    )
    changed = _changed_fields(config)
    changed.pop("seed", None)
    extras = []
    for name, value in changed.items():
        if name in ("optimizer", "precision"):
            extras.append(value)
        elif name == "dataset":
            extras.append(PurePath(value).name)
        elif name == "nesterov":
            extras.append("nesterov")
        elif name == "hidden":
            extras.append("hidden " + ("-".join(map(str, value)) or "none"))
        elif name == "init":
            extras.append(f"{value} init")
        else:
            extras.append(f"{name.replace('_', ' ')} {value:.12g}")
    return ", ".join([words, *extras])


def is_plain(config: TrainConfig) -> bool:
    """Tell whether updates are the gradient times the learning rate, no more."""
    return config.optimizer == "sgd" and not (config.momentum or config.weight_decay)


def is_deferred(config: TrainConfig, batch_size: int) -> bool:
    """Tell whether epochs at `batch_size` defer updates (`raybs.step`).

    A function of the config, never of the machine: it decides the last digits.
    """
    hidden = bool(config.hidden)
    return is_plain(config) and hidden and batch_size <= DEFERRED_BATCH_SIZE


def state_keys(
    config: TrainConfig, fingerprint: str, trainer_version: int = TRAINER_VERSION
) -> list[str]:
    """Name the states along the path of `config`: item k is the state after epoch k.

    A key is a hash of what determines the state: the trainer's version, the content of
    the dataset (`fingerprint`), the setup's fields that differ from their defaults (so
    that a new field keeps old results), the seed, and the first k epochs. Two configs
    share a key exactly when they share all of these.
    """
    setup = _changed_fields(config)
    setup.pop("dataset", None)
    setup |= {"trainer_version": trainer_version, "fingerprint": fingerprint}
    key = hash_of(json.dumps(setup, sort_keys=True))
    keys = [key]
    for phase in config.phases:
        epoch = f" {phase.batch_size} {phase.learning_rate!r}"
        # Version 1 began without: so all other epochs keep their names.
        epoch += " deferred" if is_deferred(config, phase.batch_size) else ""
        for _ in range(phase.epochs):
            key = hash_of(key + epoch)
            keys.append(key)
    return keys


def with_seeds(sweep: TrainSweep, seeds: Sequence[int]) -> TrainSweep:
    """Repeat every config of `sweep` for each of `seeds`.

    Raises:
        ValueError: A seed is given twice.
    """
    twice = sorted({seed for seed in seeds if list(seeds).count(seed) > 1})
    if twice:
        raise ValueError(f"seeds: {twice[0]} is given twice; name each seed once.")
    unseeded = list(dict.fromkeys(replace(config, seed=0) for config in sweep.configs))
    configs = [replace(config, seed=seed) for seed in seeds for config in unseeded]
    return replace(sweep, configs=tuple(configs))


def truncated(sweep: TrainSweep, max_epochs: int) -> TrainSweep:
    """Cut every phase to at most `max_epochs`; configs that become equal are one."""
    configs: dict[TrainConfig, TrainConfig] = {}
    for config in sweep.configs:
        phases = (replace(p, epochs=min(p.epochs, max_epochs)) for p in config.phases)
        short = replace(config, phases=tuple(phases))
        configs.setdefault(canonical(short), short)
    return replace(sweep, configs=tuple(configs.values()))


def any_of(values: Iterable[object]) -> str:
    """Join as in 'sgd, adam or adamw'."""
    *most, last = map(str, values)
    return f"{', '.join(most)} or {last}" if most else last


def _changed_fields(config: TrainConfig) -> dict[str, Any]:
    """Return the fields, phases apart, that differ from their defaults."""
    return {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if field.default is not MISSING and getattr(config, field.name) != field.default
    }


def to_tuples(self: object, *names: str) -> list[str]:
    """Make fields tuples; return what is wrong with those that are no sequences."""
    problems = []
    for name in names:
        value = getattr(self, name)
        if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
            problems.append(f"{name}={value!r}; use a tuple or a list")
        else:
            object.__setattr__(self, name, tuple(value))
    return problems


def hash_of(text: str) -> str:
    """Return what keys are made of."""
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def is_integer(value: object) -> bool:
    """Tell whether it is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Tell whether it is a finite number."""
    return is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def plain(value: object) -> object:
    """Turn NumPy's scalars, as of a range or a logspace, into Python's."""
    return value.item() if hasattr(value, "item") else value


def raise_all(what: str, problems: list[str]) -> None:
    """Raise one ValueError that lists all `problems`, if there are any."""
    if problems:
        raise ValueError(f"{what}: " + "; and ".join(problems) + ".")
