"""What to run: phases, configs and sweeps, their validation and labels.

Nothing here imports torch or Ray.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import PurePath
from typing import Any

from raybs.checks import (
    any_of,
    is_integer,
    is_line,
    is_number,
    plain,
    raise_all,
    to_tuples,
)

MAX_EPOCHS = 1_000_000
"""Of one trial: each has a state key of its own."""

MAX_WIDTH = 1_000_000
"""Of a hidden layer: of MNIST it would have 3 GB of weights."""

OPTIMIZERS = ("sgd", "adam", "adamw")
PRECISIONS = ("float32", "bfloat16")
INITS = ("glorot_uniform", "torch_default", "he_uniform")


LENGTHS = ("epochs", "steps", "samples")
"""What says how long a phase is."""

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
class Phase:
    """Training at one batch size and learning rate: so many epochs, steps or samples.

    Epochs and samples add up: 2 epochs and 100 samples are two whole epochs, and the
    first 100 samples of a third.
    """

    batch_size: int
    learning_rate: float
    epochs: int = 0
    steps: int = 0
    samples: int = 0

    def __post_init__(self) -> None:
        """Raise one ValueError that lists every invalid field."""
        problems = []
        for name in ("batch_size", "learning_rate", *LENGTHS):
            object.__setattr__(self, name, plain(getattr(self, name)))
        if not is_integer(self.batch_size) or self.batch_size < 1:
            problems.append(
                f"batch_size={self.batch_size!r}; use a whole number of at least 1"
            )
        lengths = {name: getattr(self, name) for name in LENGTHS}
        wrong = {n: v for n, v in lengths.items() if not is_integer(v) or v < 0}
        problems += [f"{n}={v!r}; use a whole number" for n, v in wrong.items()]
        if not wrong and not any(lengths.values()):
            problems.append("epochs=0; use at least 1, or give steps or samples")
        if not wrong and self.steps and (self.epochs or self.samples):
            problems.append("steps beside epochs or samples; give one of them")
        if not is_number(self.learning_rate) or self.learning_rate <= 0:
            problems.append(
                f"learning_rate={self.learning_rate!r}; use a finite number above 0"
            )
        if not wrong and self.epochs > MAX_EPOCHS:
            problems.append(f"epochs={self.epochs}; use up to {MAX_EPOCHS}")
        raise_all("phase", problems)
        # 1 and 1.0 are one learning rate: they must have one label and one state key.
        object.__setattr__(self, "learning_rate", float(self.learning_rate))

    @property
    def length(self) -> str:
        """How long it is, as labels say it: "30", "10000 steps", "2 + 100 samples"."""
        parts = [str(self.epochs)] if self.epochs else []
        parts += [f"{getattr(self, n)} {n}" for n in LENGTHS[1:] if getattr(self, n)]
        return " + ".join(parts)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that determines a trial.

    `dataset` is a name or a path (`raybs.data`). `momentum` and
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
        object.__setattr__(self, "hidden", tuple(map(plain, self.hidden)))
        if not self.phases:
            problems.append("phases=(); give at least one Phase")
        if not all(isinstance(phase, Phase) for phase in self.phases):
            problems.append(f"phases={self.phases!r}; every one must be a Phase")
        elif sum(phase.epochs for phase in self.phases) > MAX_EPOCHS:
            problems.append(f"phases of more epochs than {MAX_EPOCHS}; use fewer")
        widths = self.hidden
        if not all(is_integer(width) and 0 < width <= MAX_WIDTH for width in widths):
            problems.append(f"hidden={widths!r}; use whole numbers, 1 to {MAX_WIDTH}")
        if not is_line(self.dataset):
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
        """Epochs of all phases together, of a config that is resolved (`paths`).

        An epoch of which only some samples are taken counts.
        """
        assert not any(phase.steps for phase in self.phases)
        return sum(phase.epochs + bool(phase.samples) for phase in self.phases)


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

    def measured(self, config: TrainConfig) -> list[int]:
        """Return the epochs of `config`, resolved, whose rows this sweep asks for."""
        last = config.num_epochs
        return sorted({*range(0, last + 1, self.evaluate_every), last})


def canonical(config: TrainConfig) -> TrainConfig:
    """Join equal neighboring phases: one path (30 + 30 epochs, 60) is one config."""
    joined: list[Phase] = []
    for phase in config.phases:
        before = joined[-1] if joined else None
        # Of whole epochs: what breaks one off, or counts steps, stays by itself.
        whole = before and not (before.steps or before.samples or phase.steps)
        alike = before and _rates(before) == _rates(phase)
        if before and whole and alike:
            joined[-1] = replace(phase, epochs=before.epochs + phase.epochs)
        else:
            joined.append(phase)
    if len(joined) == len(config.phases):
        return config
    return replace(config, phases=tuple(joined))


def label(config: TrainConfig) -> str:
    """Return a reader's name: the path, then all but the seed that is no default."""
    words = " -> ".join(
        f"{phase.batch_size} @ {phase.learning_rate:.12g} x {phase.length}"
        for phase in canonical(config).phases
    )
    changed = changed_fields(config)
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

    The configs are resolved: they count no steps.
    """
    configs: dict[TrainConfig, TrainConfig] = {}
    for config in sweep.configs:
        short = replace(
            config, phases=tuple(_cut(phase, max_epochs) for phase in config.phases)
        )
        configs.setdefault(canonical(short), short)
    return replace(sweep, configs=tuple(configs.values()))


def is_met(until: Mapping[str, float], row: Mapping[str, Any]) -> bool:
    """Tell whether a trial ends at `row`: its seconds are the row's training_seconds.

    What is not finite, or missing, meets nothing.
    """
    for name, value in until.items():
        found = row["training_seconds" if name == "seconds" else name]
        if found is not None and UNTIL[name] * found >= UNTIL[name] * value:
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


def _rates(phase: Phase) -> tuple[int, float]:
    return phase.batch_size, phase.learning_rate


def _cut(phase: Phase, max_epochs: int) -> Phase:
    if phase.epochs < max_epochs:
        return phase
    return replace(phase, epochs=max_epochs, samples=0)


def changed_fields(config: TrainConfig) -> dict[str, Any]:
    """Return the fields, phases apart, that differ from their defaults."""
    return {
        item.name: getattr(config, item.name)
        for item in fields(config)
        if item.default is not MISSING and getattr(config, item.name) != item.default
    }
