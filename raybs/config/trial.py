"""One trial: its phases and its config, their validation and labels."""

from dataclasses import MISSING, dataclass, fields, replace
from pathlib import PurePath
from typing import Any, NewType

from raybs.config.own import NAME, is_own, own_name
from raybs.config.validation import (
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
MODELS = ("mlp", "cnn")
LOSSES = ("cross_entropy",)

ADAM_FIELDS = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
"""What Adam and AdamW have alone, and torch's defaults of it."""

LENGTHS = ("epochs", "steps", "samples")
"""What says how long a phase is."""


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

    `dataset` is a name or a path (`raybs.datasets.dataset`). `model` is one of MODELS,
    or FILE.py:NAME or package.module:NAME of what makes a torch.nn.Module; `hidden` and
    `init` belong to mlp. `loss` is cross_entropy, or such a name of a function from
    (logits, labels) to one value per sample. Of both also the function itself may be
    given, if a file holds it. `momentum` and `nesterov` belong to sgd; `beta1`,
    `beta2` and `epsilon` to adam and adamw.
    `precision` is that of the matmuls of training, their inputs and results: with
    bfloat16 a gradient is rounded to it, and added to float32 weights. What is measured
    is float32 either way, and so are epochs whose updates are deferred
    (`is_deferred`).
    """

    phases: tuple[Phase, ...]
    dataset: str = "mnist"
    model: str = "mlp"
    loss: str = "cross_entropy"
    hidden: tuple[int, ...] = (1024, 1024)
    init: str = "glorot_uniform"
    optimizer: str = "sgd"
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    beta1: float = ADAM_FIELDS["beta1"]
    beta2: float = ADAM_FIELDS["beta2"]
    epsilon: float = ADAM_FIELDS["epsilon"]
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise one ValueError that lists every invalid field."""
        problems = to_tuples(self, "phases", "hidden")
        raise_all("config", problems)
        object.__setattr__(self, "hidden", tuple(map(plain, self.hidden)))
        problems += self._model_problems()
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
        problems += self._optimizer_problems()
        if not is_integer(self.seed) or not 0 <= self.seed < 2**63:
            problems.append(
                f"seed={self.seed!r}; use a whole number from 0 to 2**63 - 1"
            )
        raise_all("config", problems)
        for name in ("momentum", "weight_decay", *ADAM_FIELDS):
            object.__setattr__(self, name, float(getattr(self, name)))

    def _model_problems(self) -> list[str]:
        """Say what is wrong with the names of model and loss, and what belongs to them.

        Functions are replaced by their names.
        """
        problems = []
        for name, known in {"model": MODELS, "loss": LOSSES}.items():
            value = getattr(self, name)
            try:
                value = own_name(value)
            except ValueError as error:
                problems.append(f"{name}: {error}")
                continue
            object.__setattr__(self, name, value)
            if value not in known and not (
                isinstance(value, str) and NAME.fullmatch(value)
            ):
                others = (*known, "FILE.py:NAME", "package.module:NAME")
                problems.append(f"{name}={value!r}; use {any_of(others)}")
        for name in ("hidden", "init"):
            default = type(self).__dataclass_fields__[name].default
            if self.model != "mlp" and getattr(self, name) != default:
                problems.append(
                    f"{name} with model={self.model!r}; only mlp has it, leave it out"
                )
        return problems

    def _optimizer_problems(self) -> list[str]:
        """Say what is wrong with the fields that belong to optimizers."""
        problems = []
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
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            if not is_number(value) or not 0 <= value < 1:
                problems.append(f"{name}={value!r}; use 0 up to, but not, 1")
        if not is_number(self.epsilon) or self.epsilon <= 0:
            problems.append(f"epsilon={self.epsilon!r}; use a number above 0")
        problems += [
            f"{name} with optimizer='sgd'; only adam and adamw have it"
            for name, default in ADAM_FIELDS.items()
            if self.optimizer == "sgd" and getattr(self, name) != default
        ]
        return problems

    @property
    def num_epochs(self) -> int:
        """Epochs of all phases together; one of which only some samples count, too.

        Raises:
            ValueError: A phase counts steps: how many epochs that is, depends on the
                dataset (`raybs.config.keys.resolved`).
        """
        return sum(
            phase.epochs + bool(phase.samples) for phase in known_lengths(self).phases
        )


def own_code(config: TrainConfig) -> list[str]:
    """Return the names of a user's code that `config` trains with."""
    return [name for name in (config.model, config.loss) if is_own(name)]


ResolvedConfig = NewType("ResolvedConfig", TrainConfig)
"""A config whose phases count epochs, and samples of a last one: none counts steps.

What depends on the number of training samples has been worked out, so that its path of
epochs, and the keys of their states, are known."""


def known_lengths(config: TrainConfig) -> ResolvedConfig:
    """Return `config`, which counts no steps.

    Raises:
        ValueError: It does.
    """
    for phase in config.phases:
        if phase.steps:
            raise ValueError(
                f"{phase.steps} steps: how many epochs that is, depends on the dataset."
            )
    return ResolvedConfig(config)


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
        elif name in ("dataset", "model"):
            extras.append(PurePath(value).name)
        elif name == "loss":
            extras.append(f"loss {PurePath(value).name}")
        elif name == "nesterov":
            extras.append("nesterov")
        elif name == "hidden":
            extras.append("hidden " + ("-".join(map(str, value)) or "none"))
        elif name == "init":
            extras.append(f"{value} init")
        else:
            extras.append(f"{name.replace('_', ' ')} {value:.12g}")
    return ", ".join([words, *extras])


def _rates(phase: Phase) -> tuple[int, float]:
    return phase.batch_size, phase.learning_rate


def changed_fields(config: TrainConfig) -> dict[str, Any]:
    """Return the fields, phases apart, that differ from their defaults."""
    return {
        item.name: getattr(config, item.name)
        for item in fields(config)
        if item.default is not MISSING and getattr(config, item.name) != item.default
    }
