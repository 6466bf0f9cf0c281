"""What gradient experiments ask for: draws from trained states, in cells.

A draw steps once through a set of samples, from the state that a config ends in, and
adds up the gradients of some layers' weights. It is a pure function of that state, the
batch size, and two numbers: its sample set and its order come from one stream of random
numbers each, so that either can be held fixed alone. Nothing here imports torch or Ray.

Source: article, "Hypothesis: gradient competition".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from raybs.config.keys import TRAINER_VERSION, fingerprint_of, hash_of, state_keys
from raybs.config.sweep import TrainSweep
from raybs.config.trial import MAX_EPOCHS, TrainConfig, canonical, known_lengths
from raybs.config.validation import (
    any_of,
    is_integer,
    is_line,
    is_number,
    plain,
    raise_all,
    to_tuples,
)

DRAWS_VERSION = 1
"""Raised whenever the same draw gives other numbers; it is part of every cell's key."""

REDUCTIONS = ("mean", "sum")
MAX_DRAWS = 1_000_000

Pair = tuple[int, int]
"""A draw within a cell: the numbers of its sample set and of its order."""


def is_independent(pair: Pair) -> bool:
    """Tell whether a draw has a sample set and an order of its own, or is crossed."""
    return pair[0] == pair[1]


@dataclass(frozen=True, kw_only=True)
class GradientSweep:
    """Draws at several batch sizes, from the states that some configs end in.

    `regimes` names these configs. `num_draws` draws have a sample set and an order of
    their own each; `crossed` asks for (sample sets, orders) in all combinations
    besides. A draw steps through `num_samples` samples with plain SGD, float32, at
    `learning_rate`, along the gradient of the `reduction` of the loss over the batch.
    What is recorded is always the gradient of the mean loss, by the weights of
    `layers` (0 the first, -1 the last) without biases, as one vector. `frozen` holds
    the weights still, as a control. `seed` is that of sample sets and orders.
    """

    regimes: Mapping[str, TrainConfig]
    batch_sizes: tuple[int, ...]
    num_draws: int = 1000
    num_samples: int = 1024
    learning_rate: float = 0.01
    reduction: str = "mean"
    layers: tuple[int, ...] = (-1,)
    frozen: bool = False
    crossed: tuple[int, int] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise one ValueError that lists every invalid field."""
        for name in ("num_draws", "num_samples", "learning_rate", "seed"):
            object.__setattr__(self, name, plain(getattr(self, name)))
        problems = to_tuples(self, "batch_sizes", "layers")
        if self.crossed is not None:
            problems += to_tuples(self, "crossed")
        raise_all("gradient sweep", problems)
        for name in ("batch_sizes", "layers", "crossed"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, tuple(map(plain, value)))
        problems += self._regime_problems()
        problems += self._draw_problems()
        raise_all("gradient sweep", problems)
        object.__setattr__(self, "learning_rate", float(self.learning_rate))
        object.__setattr__(self, "regimes", dict(self.regimes))

    def _draw_problems(self) -> list[str]:
        """Say what is wrong with how many draws there are, and of what kind."""
        problems = []
        for name in ("num_draws", "num_samples"):
            value = getattr(self, name)
            if not is_integer(value) or not 1 <= value <= MAX_DRAWS:
                problems.append(f"{name}={value!r}; use 1 to {MAX_DRAWS}")
        most = self.num_samples if is_integer(self.num_samples) else MAX_DRAWS
        for size in self.batch_sizes:
            if not is_integer(size) or not 1 <= size <= most:
                problems.append(
                    f"batch_size={size!r}; a draw has {most} samples: use 1 to {most}"
                )
        if not self.batch_sizes or len({*self.batch_sizes}) < len(self.batch_sizes):
            problems.append(
                f"batch_sizes={self.batch_sizes}; give one or more, each once"
            )
        if not is_number(self.learning_rate) or self.learning_rate <= 0:
            problems.append(
                f"learning_rate={self.learning_rate!r}; use a finite number above 0"
            )
        if self.reduction not in REDUCTIONS:
            problems.append(f"reduction={self.reduction!r}; use {any_of(REDUCTIONS)}")
        if not isinstance(self.frozen, bool):
            problems.append(f"frozen={self.frozen!r}; use True or False")
        crossed = self.crossed
        if crossed is not None and (
            len(crossed) != 2
            or not all(is_integer(num) and 2 <= num <= 1000 for num in crossed)
        ):
            problems.append(
                f"crossed={crossed}; use (sample sets, orders), 2 to 1000 each"
            )
        if not is_integer(self.seed) or not 0 <= self.seed < 2**63:
            problems.append(f"seed={self.seed!r}; use 0 to 2**63 - 1")
        return problems

    def _regime_problems(self) -> list[str]:
        """Say what is wrong with the regimes, or with layers that they do not have."""
        regimes = self.regimes
        if (
            not isinstance(regimes, Mapping)
            or not regimes
            or not all(is_line(name) and name for name in regimes)
            or not all(isinstance(c, TrainConfig) for c in regimes.values())
        ):
            return ["regimes: give at least one TrainConfig by its name"]
        layers = self.layers
        if not all(config.model == "mlp" for config in regimes.values()):
            # How many there are is known when the network is made.
            if not layers or not all(map(is_integer, layers)):
                return [f"layers={layers}; use whole numbers, -1 is the last weight"]
            return []
        num_layers = min(len(config.hidden) for config in regimes.values()) + 1
        known = range(-num_layers, num_layers)
        if not layers or not all(is_integer(x) and x in known for x in layers):
            return [f"layers={layers}; use {-num_layers} to {num_layers - 1}"]
        if len({layer % num_layers for layer in layers}) < len(layers):
            return [f"layers={layers}; give each once"]
        return []

    @property
    def configs(self) -> tuple[TrainConfig, ...]:
        """Of the states that draws start from."""
        return tuple({canonical(c): c for c in self.regimes.values()}.values())

    @property
    def training(self) -> TrainSweep:
        """What is to be trained for these states, measured at both ends only."""
        return TrainSweep(configs=self.configs, evaluate_every=MAX_EPOCHS)

    @property
    def pairs(self) -> list[Pair]:
        """All draws of one cell, in the order in which results are folded."""
        asked = {(number, number) for number in range(self.num_draws)}
        if self.crossed:
            sets, orders = map(range, self.crossed)
            asked |= {(number, order) for number in sets for order in orders}
        return sorted(asked)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One regime at one batch size: all that determines a draw, but its pair.

    `layers` ascend, and count from 0 (of other networks than mlp as given); `config` is
    that of the state that draws start from, `state_key` names it. Cells of one `key`
    have the same draws.
    """

    regime: str
    config: TrainConfig
    state_key: str
    batch_size: int
    num_samples: int
    learning_rate: float
    reduction: str
    layers: tuple[int, ...]
    frozen: bool
    seed: int
    key: str = field(init=False)

    def __post_init__(self) -> None:
        """Derive the key."""
        named = {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in ("regime", "config", "key")
        }
        text = json.dumps(named | {"version": DRAWS_VERSION}, sort_keys=True)
        object.__setattr__(self, "key", hash_of(text))

    @property
    def num_steps(self) -> int:
        """Steps of a draw; the short last batch is kept."""
        return -(-self.num_samples // self.batch_size)


def cells(
    sweep: GradientSweep,
    fingerprints: Mapping[str, str],
    trainer_version: int = TRAINER_VERSION,
) -> list[Cell]:
    """Return the cells of `sweep`; the fingerprints are by dataset and code.

    Raises:
        ValueError: A regime counts steps.
    """
    cells_of_all = []
    for regime, config in sweep.regimes.items():
        num_layers = len(config.hidden) + 1
        layers = [
            layer % num_layers if config.model == "mlp" else layer
            for layer in sweep.layers
        ]
        fingerprint = fingerprint_of(config, fingerprints)
        key = state_keys(known_lengths(config), fingerprint, trainer_version)[-1]
        cells_of_all += [
            Cell(
                regime=regime,
                config=config,
                state_key=key,
                batch_size=batch_size,
                num_samples=sweep.num_samples,
                learning_rate=sweep.learning_rate,
                reduction=sweep.reduction,
                layers=tuple(sorted(layers)),
                frozen=sweep.frozen,
                seed=sweep.seed,
            )
            for batch_size in sweep.batch_sizes
        ]
    return cells_of_all


def check_samples(sweep: GradientSweep, num_samples: Mapping[str, int]) -> None:
    """Refuse draws of more samples than a dataset has; these by dataset.

    Raises:
        ValueError: A draw asks for more.
    """
    for regime, config in sweep.regimes.items():
        most = num_samples[config.dataset]
        if sweep.num_samples > most:
            raise ValueError(
                f"regime '{regime}': num_samples={sweep.num_samples} exceeds the "
                f"{most} training samples; use 1 to {most}."
            )


Sweep = TrainSweep | GradientSweep
