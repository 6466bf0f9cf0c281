"""The path of epochs that a config is: its epochs, resolved, and the names of states.

The state after epoch k is a pure function of the setup, the seed and the first k
epochs; `state_keys` names it.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from raybs.config.own import is_own
from raybs.config.trial import (
    Phase,
    ResolvedConfig,
    TrainConfig,
    changed_fields,
    own_code,
)

TRAINER_VERSION = 1
"""Raised whenever the same config gives other numbers; it is part of every state
key."""

DEFERRED_BATCH_SIZE = 8
"""Updates of plain SGD at batch sizes up to this wait for several steps: measured
faster (docs/performance.md)."""


class Epoch(NamedTuple):
    """What an epoch does; of its samples the first `samples` if that is not 0."""

    batch_size: int
    learning_rate: float
    samples: int = 0


def resolved(config: TrainConfig, num_samples: int) -> ResolvedConfig:
    """Say the lengths of all phases in epochs, and in samples of a last one.

    Of `num_samples` training samples; ceil(num_samples / batch_size) steps are an
    epoch, since the short last batch is kept.
    """
    phases = tuple(_resolve(phase, num_samples) for phase in config.phases)
    if phases == config.phases:
        return ResolvedConfig(config)
    return ResolvedConfig(replace(config, phases=phases))


def path(config: ResolvedConfig) -> list[Epoch]:
    """Return the epochs of a config; epoch k is item k - 1."""
    return [epoch for phase in config.phases for epoch in _epochs(phase)]


def num_steps(epoch: Epoch, num_samples: int) -> int:
    """Return how many steps an epoch over `num_samples` training samples takes."""
    return math.ceil((epoch.samples or num_samples) / epoch.batch_size)


def is_closed_form(config: TrainConfig) -> bool:
    """Tell whether raybs has the gradients of the network in closed form."""
    return config.model == "mlp" and config.loss == "cross_entropy"


def is_plain(config: TrainConfig) -> bool:
    """Tell whether updates are the gradient times the learning rate, no more."""
    return config.optimizer == "sgd" and not (config.momentum or config.weight_decay)


def is_deferred(config: TrainConfig, batch_size: int) -> bool:
    """Tell whether epochs at `batch_size` defer updates (`raybs.models.sgd`).

    A function of the config, never of the machine: it decides the last digits.
    """
    is_deep = is_closed_form(config) and bool(config.hidden)
    return is_plain(config) and is_deep and batch_size <= DEFERRED_BATCH_SIZE


def fingerprint_of(config: TrainConfig, fingerprints: Mapping[str, str]) -> str:
    """Return what identifies the content of all that `config` names.

    `fingerprints` are by name: those of datasets, and of a user's code.
    """
    return " ".join(fingerprints[n] for n in (config.dataset, *own_code(config)))


def state_keys(
    config: ResolvedConfig, fingerprint: str, trainer_version: int = TRAINER_VERSION
) -> list[str]:
    """Name the states along the path of `config`: item k is the state after epoch k.

    A key is a hash of what determines the state: the trainer's version, the content of
    the dataset and of a user's code (`fingerprint_of`), the setup's fields that differ
    from their defaults (so that a new field keeps old results), the seed, and the first
    k epochs. Two configs share a key exactly when they share all of these.
    """
    setup = changed_fields(config)
    for name in ("dataset", "model", "loss"):
        if name == "dataset" or is_own(getattr(config, name)):
            setup.pop(name, None)
    setup |= {"trainer_version": trainer_version, "fingerprint": fingerprint}
    key = hash_of(json.dumps(setup, sort_keys=True))
    keys = [key]
    for phase in config.phases:
        name = f" {phase.batch_size} {phase.learning_rate!r}"
        # Version 1 began without: so all other epochs keep their names.
        name += " deferred" if is_deferred(config, phase.batch_size) else ""
        for epoch in _epochs(phase):
            key = hash_of(key + name + (f" {epoch.samples}" if epoch.samples else ""))
            keys.append(key)
    return keys


def hash_of(text: str) -> str:
    """Return what keys are made of."""
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _resolve(phase: Phase, num_samples: int) -> Phase:
    if not (phase.steps or phase.samples >= num_samples):
        return phase
    epochs, samples = divmod(phase.samples, num_samples)
    if phase.steps:
        epochs, steps = divmod(phase.steps, math.ceil(num_samples / phase.batch_size))
        samples = steps * phase.batch_size
    return replace(phase, epochs=phase.epochs + epochs, steps=0, samples=samples)


def _epochs(phase: Phase) -> list[Epoch]:
    whole = Epoch(phase.batch_size, phase.learning_rate)
    part = [whole._replace(samples=phase.samples)] if phase.samples else []
    return [whole] * phase.epochs + part
