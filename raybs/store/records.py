"""Read back what sweeps were asked for, as results folders record it in JSON."""

import hashlib
import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypedDict

from raybs.config.gradient_sweep import GradientSweep, Sweep
from raybs.config.keys import fingerprint_of, resolved
from raybs.config.sweep import TrainSweep
from raybs.config.trial import Phase, ResolvedConfig, TrainConfig
from raybs.config.validation import is_integer, to_line

MAX_RECORDED_EPOCHS = 100_000_000
"""Of all trials of a recorded sweep: each takes a microsecond to be named."""

MAX_RECORDED_DRAWS = 10_000_000
"""Of all its cells: readers list them."""


def sealed(name: str, entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of the record `name`, then its name, and a digest of all.

    Without it a changed digit would be taken for what was asked, and without the name
    one sweep's record for another's.
    """
    value = {**entries, "name": name}
    # As a reader will find it: without tuples, and with texts for keys.
    return value | {"digest": _digest(json.loads(json.dumps(value)))}


def unsealed(name: str, value: Any) -> Any:
    """Return the entries that `sealed` was given; of an older raybs all there are.

    Raises:
        ValueError: They have changed, or are those of another record.
    """
    if not isinstance(value, dict) or not {"name", "digest"} & value.keys():
        return value
    entries = {key: item for key, item in value.items() if key != "digest"}
    if value.get("digest") != _digest(entries):
        raise ValueError("it is truncated or corrupt")
    if (other := entries.pop("name", name)) != name:
        raise ValueError(f"it is that of {other!r}")
    return entries


def _digest(entries: Mapping[str, Any]) -> str:
    text = json.dumps(entries, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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


class Entries(TypedDict):
    """What a results folder records of a sweep besides the sweep itself.

    `failed` holds messages by the key of the state, or of the cell, that was not
    reached; the others are by dataset, fingerprints also by the name of a user's code.
    """

    title: str
    trainer_version: int
    fingerprints: dict[str, str]
    failed: dict[str, str]
    training_samples: dict[str, int]


def as_resolved(config: TrainConfig, entries: Entries) -> ResolvedConfig:
    """Resolve a recorded config by the training samples that its record counts.

    Records of an older raybs count none; their phases count epochs alone.
    """
    return resolved(
        config, entries["training_samples"].get(config.dataset, sys.maxsize)
    )


def record_from_json(value: Mapping[str, Any]) -> tuple[Sweep, Entries]:
    """Read what a results folder records of a sweep: the sweep, and the other entries.

    Raises:
        ValueError: It is not as `python -m raybs.sweep` writes it.
        KeyError: An entry is missing.
        TypeError: It is no mapping.
    """
    sweep = sweep_from_json(value)
    entries = _entries_from_json(value)
    for config in sweep.configs:
        fingerprint_of(config, entries["fingerprints"])
    _check_length(sweep, entries)
    if isinstance(sweep, GradientSweep):
        regimes = {n: as_resolved(c, entries) for n, c in sweep.regimes.items()}
        sweep = replace(sweep, regimes=regimes)
    return sweep, entries


def _entries_from_json(value: Mapping[str, Any]) -> Entries:
    for name, is_sound in SOUND.items():
        entry = value.get(name, {}) if name == "training_samples" else value[name]
        if not is_sound(entry):
            raise ValueError(f"{name}: {entry!r}")
    return Entries(
        # Texts end on terminals: what failed may have said so on several lines.
        title=to_line(value["title"]),
        trainer_version=value["trainer_version"],
        fingerprints=value["fingerprints"],
        failed={key: to_line(why) for key, why in value["failed"].items()},
        training_samples=value.get("training_samples", {}),  # an older raybs has none
    )


def _check_length(sweep: Sweep, entries: Entries) -> None:
    """Refuse a sweep so large that readers would hang.

    Raises:
        ValueError: It is.
    """
    whole = [as_resolved(config, entries) for config in sweep.configs]
    num_epochs = sum(config.num_epochs for config in whole)
    if num_epochs > MAX_RECORDED_EPOCHS:
        raise ValueError(f"{num_epochs} epochs are too many for a sweep")
    if isinstance(sweep, GradientSweep):
        num_draws = sweep.num_draws + math.prod(sweep.crossed or (0,))
        num_draws *= len(sweep.regimes) * len(sweep.batch_sizes)
        if num_draws > MAX_RECORDED_DRAWS:
            raise ValueError(f"{num_draws} draws are too many for a sweep")


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())


def _is_counts(value: object) -> bool:
    return isinstance(value, dict) and all(
        is_integer(count) and count > 0 for count in value.values()
    )


SOUND: dict[str, Callable[[object], bool]] = {
    "title": lambda value: isinstance(value, str),
    "trainer_version": is_integer,
    "fingerprints": _is_texts,
    "failed": _is_texts,
    "training_samples": _is_counts,
}
"""Of each of the Entries, whether a stranger's value can be one."""
