"""What the records of sweeps say of each trial, whether it was trained or not."""

from collections.abc import Mapping
from typing import TypedDict

from raybs.config.status import Status
from raybs.config.trial import LENGTHS, TrainConfig, canonical, label
from raybs.store.trials import RecordedTrial


class TrialRow(TypedDict):
    """What its record says of a trial: columns of `Frames.trials`, in their order."""

    sweep: str
    title: str
    trial: str
    label: str
    seed: int
    status: str
    message: str
    last_epochs: int | None
    dataset: str
    model: str
    loss: str
    hidden: str
    init: str
    optimizer: str
    momentum: float
    nesterov: bool
    weight_decay: float
    beta1: float
    beta2: float
    epsilon: float
    precision: str
    batch_size: int
    learning_rate: float
    start_batch_size: int
    peak_learning_rate: float
    num_epochs: int
    schedule: str
    until: str
    budget: str
    num_samples: int | None
    results: str


TRIAL_COLUMNS = list(TrialRow.__annotations__)


def row_of(trial: RecordedTrial, stop: int | None, results: str) -> TrialRow:
    """Return what the record says of a trial; its rows may tell another status."""
    config, until = trial.config, trial.sweep.until
    failed: Mapping[str, str] = trial.entries["failed"]
    messages = [failed[key] for key in trial.keys if key in failed] if failed else []
    status = Status.FAILED if messages else Status.UNFINISHED
    if stop is not None:
        status = Status.COMPLETE
    is_mlp = config.model == "mlp"
    return {
        "sweep": trial.name,
        "title": trial.entries["title"],
        "trial": trial.keys[-1],
        "label": label(config),
        "seed": config.seed,
        "status": status.value,
        "message": messages[0] if messages else "",
        "last_epochs": trial.sweep.last_epochs,
        "dataset": config.dataset,
        "model": config.model,
        "loss": config.loss,
        "hidden": "-".join(map(str, config.hidden)) if is_mlp else "",
        "init": config.init if is_mlp else "",
        "optimizer": config.optimizer,
        "momentum": config.momentum,
        "nesterov": config.nesterov,
        "weight_decay": config.weight_decay,
        "beta1": config.beta1,
        "beta2": config.beta2,
        "epsilon": config.epsilon,
        "precision": config.precision,
        # Of the last phase: what the final numbers are about.
        "batch_size": config.phases[-1].batch_size,
        "learning_rate": config.phases[-1].learning_rate,
        "start_batch_size": config.phases[0].batch_size,
        "peak_learning_rate": max(phase.learning_rate for phase in config.phases),
        "num_epochs": trial.resolved.num_epochs,
        "schedule": _schedule(config),
        "until": ", ".join(f"{name}={value:g}" for name, value in until.items()),
        "budget": _budget(config, until),
        "num_samples": trial.entries["training_samples"].get(config.dataset),
        "results": results,
    }


def _schedule(config: TrainConfig) -> str:
    """Say what the phases of `config` are, in multiples of the first and the peak."""
    phases = canonical(config).phases
    if len(phases) == 1:
        return "constant"
    size, rate = phases[0].batch_size, max(phase.learning_rate for phase in phases)
    return " -> ".join(
        f"{phase.batch_size / size:.3g}b @ {phase.learning_rate / rate:.3g} x "
        f"{phase.length}"
        for phase in phases
    )


def _budget(config: TrainConfig, until: Mapping[str, float]) -> str:
    """Say what trials like this one have in common, however large their batches."""
    totals = {name: sum(getattr(p, name) for p in config.phases) for name in LENGTHS}
    said = " and ".join(
        f"{total} {name if total > 1 else name[:-1]}"
        for name, total in totals.items()
        if total
    )
    return f"{until['seconds']:g} s, at most {said}" if "seconds" in until else said
