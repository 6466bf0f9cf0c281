"""Read back what sweeps were asked for, as results folders record it in JSON."""

import sys
from collections.abc import Mapping
from typing import Any

from raybs.checks import is_integer
from raybs.config import Phase, TrainConfig, TrainSweep
from raybs.draws import GradientSweep
from raybs.paths import resolved

Sweep = TrainSweep | GradientSweep


def from_json(value: Mapping[str, Any]) -> TrainConfig:
    """Read what dataclasses.asdict gave, by way of JSON.

    Raises:
        ValueError: A field is unknown or invalid.
    """
    try:
        phases = tuple(Phase(**phase) for phase in value["phases"])
        rest = {name: item for name, item in value.items() if name != "phases"}
        return TrainConfig(phases=phases, **rest)
    except (TypeError, KeyError) as error:
        raise ValueError(f"not a config: {error}") from None


def sweep_from_json(value: Mapping[str, Any]) -> Sweep:
    """Read what dataclasses.asdict gave, among other entries.

    Raises:
        ValueError: A field is missing, unknown or invalid.
    """
    try:
        if "regimes" in value:
            names = GradientSweep.__dataclass_fields__
            given = {name: value[name] for name in names}
            regimes = {name: from_json(c) for name, c in value["regimes"].items()}
            return GradientSweep(**given | {"regimes": regimes})
        return TrainSweep(
            configs=tuple(from_json(config) for config in value["configs"]),
            evaluate_every=value["evaluate_every"],
            last_epochs=value["last_epochs"],
            until=value.get("until", {}),
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a sweep: {error}") from None


def as_resolved(config: TrainConfig, entries: Mapping[str, Any]) -> TrainConfig:
    """Resolve a recorded config by the training samples that its record counts.

    Records of an older raybs count none; their phases count epochs alone.
    """
    return resolved(
        config, entries["training_samples"].get(config.dataset, sys.maxsize)
    )


def record_from_json(value: Mapping[str, Any]) -> tuple[Sweep, dict[str, Any]]:
    """Read what a results folder records of a sweep: the sweep, and the other entries.

    These are title, trainer_version, fingerprints and training_samples (by dataset; an
    older raybs did not count them), and failed (messages by the key of the state, or of
    the cell, that was not reached).

    Raises:
        ValueError: It is not as `python -m raybs.sweep` writes it.
        KeyError: An entry is missing.
        TypeError: It is no mapping.
    """
    sweep = sweep_from_json(value)
    names = ("title", "trainer_version", "fingerprints", "failed")
    entries = {name: value[name] for name in names}
    entries["training_samples"] = value.get("training_samples", {})
    for entry in ("fingerprints", "failed", "training_samples"):
        if not isinstance(entries[entry], dict):
            raise ValueError(f"{entry}: {entries[entry]!r}")
    for config in sweep.configs:
        entries["fingerprints"][config.dataset]
        num_samples = entries["training_samples"].get(config.dataset, 1)
        if not is_integer(num_samples) or num_samples < 1:
            raise ValueError(f"training_samples: {num_samples!r}")
        as_resolved(config, entries)
    return sweep, entries
