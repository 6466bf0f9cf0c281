"""What a caller changes in a sweep that was found by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from raybs.config.gradient_sweep import GradientSweep
from raybs.config.keys import resolved
from raybs.config.sweep import TrainSweep, truncated
from raybs.config.trial import ResolvedConfig, TrainConfig
from raybs.datasets.dataset import describe


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What options change about sweeps; None, or empty, leaves them as they are.

    `seeds` is about the trials of training sweeps; `draws` are fields of gradient
    sweeps, with the names of regimes to keep.
    """

    seeds: Sequence[int] = ()
    max_epochs: int | None = None
    precision: str | None = None
    model: str | None = None
    loss: str | None = None
    draws: Mapping[str, Any] = field(default_factory=dict)
    keep_gradients: bool = False


def change_training(sweep: TrainSweep, changes: Changes) -> TrainSweep:
    """Return a training sweep with its epochs, precision, model and loss changed."""
    if changes.max_epochs:
        configs = tuple(map(_resolve, sweep.configs))
        sweep = truncated(replace(sweep, configs=configs), changes.max_epochs)
    fields: dict[str, Any] = {
        name: getattr(changes, name) for name in ("precision", "model", "loss")
    }
    fields = {name: value for name, value in fields.items() if value}
    if fields:
        if fields.get("model", "mlp") != "mlp":  # these belong to mlp alone
            fields |= {"hidden": TrainConfig.hidden, "init": TrainConfig.init}
        changed = [replace(config, **fields) for config in sweep.configs]
        sweep = replace(sweep, configs=tuple(dict.fromkeys(changed)))
    return sweep


def _resolve(config: TrainConfig) -> ResolvedConfig:
    return resolved(config, describe(config.dataset).num_samples)


def change_draws(sweep: GradientSweep, changes: Changes) -> GradientSweep:
    """Return a gradient sweep with its fields changed.

    Raises:
        ValueError: It has no regime of such a name, or a field is invalid.
    """
    fields = dict(changes.draws)
    names = fields.pop("regimes", sweep.regimes)
    unknown = [name for name in names if name not in sweep.regimes]
    if unknown:
        raise ValueError(
            f"No regime named '{unknown[0]}'; known: {', '.join(sweep.regimes)}."
        )
    starts = {name: TrainSweep(configs=(sweep.regimes[name],)) for name in names}
    changed = {n: change_training(s, changes).configs[0] for n, s in starts.items()}
    # A cell is named after the state where its regime ends: of a path in epochs.
    fields["regimes"] = {n: _resolve(config) for n, config in changed.items()}
    return replace(sweep, **fields)
