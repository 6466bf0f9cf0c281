"""Tidy pandas frames from a results folder; no altair here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.commands import no_sweep
from raybs.config.keys import path, state_keys
from raybs.config.sweep import GOAL_COLUMNS, TrainSweep, first_met
from raybs.config.trial import LENGTHS, TrainConfig, canonical, label
from raybs.store.opening import Place, as_store
from raybs.store.records import as_resolved, record_from_json
from raybs.store.store import Store


@dataclass(frozen=True, kw_only=True)
class Frames:
    """What `load` returns.

    `trials`: one row per trial of every sweep: sweep, title, trial (the key of its last
    state), label, seed, status (complete, diverged, failed or unfinished), num_epochs,
    last_epochs, the config's fields, budget ("10 epochs", "10000 steps", "60 s, at most
    1000 epochs"), schedule ("constant", or its phases in multiples of the first batch
    size and of the highest rate), until, start_batch_size and peak_learning_rate
    (batch_size and learning_rate are those of the last phase), final_* (the last
    measured row), final_generalization_gap, and where its rows come from: results,
    num_samples, num_rows, device, num_threads, torch_version, seconds (of training and
    measuring).

    `history`: one row per trial and measured epoch: sweep, trial, label, seed,
    num_epochs, batch_size and learning_rate of the epoch, and the stored columns.
    """

    trials: pd.DataFrame
    history: pd.DataFrame


def load(results: Place | Store) -> Frames:
    """Assemble trials and history from `results`, a folder or a bucket, at any time.

    Raises:
        ValueError: It is no results folder.
    """
    store = as_store(results)
    rows = store.read_rows().to_pandas()
    position = {key: index for index, key in enumerate(rows["state_key"])}
    trials: list[dict[str, Any]] = []
    stored: list[int] = []  # positions of every trial's rows, one trial after the other
    columns: dict[str, list[Any]] = {
        "number": [],
        "batch_size": [],
        "learning_rate": [],
    }
    records = store.read_records("sweeps", record_from_json)
    goals: list[dict[str, Any]] = []
    if any(isinstance(s, TrainSweep) and s.until for s, _ in records.values()):
        goals = rows[[*GOAL_COLUMNS]].to_dict("records")
    for name, (sweep, entries) in sorted(records.items()):
        if not isinstance(sweep, TrainSweep):
            continue
        for config in sweep.configs:
            fingerprint = entries["fingerprints"][config.dataset]
            whole = as_resolved(config, entries)
            found = state_keys(whole, fingerprint, entries["trainer_version"])
            epochs = path(whole)
            stop, status = None, "unfinished"
            if sweep.until:
                kept = [k for k in sweep.measured(whole) if found[k] in position]
                stop = first_met(
                    sweep.until, [(k, goals[position[found[k]]]) for k in kept]
                )
            for epoch, key in enumerate(found):
                if key in position:
                    # Epoch 0 is drawn with the phase that it begins.
                    batch_size, learning_rate, _ = epochs[max(epoch - 1, 0)]
                    stored.append(position[key])
                    columns["number"].append(len(trials))
                    columns["batch_size"].append(batch_size)
                    columns["learning_rate"].append(learning_rate)
                if epoch == stop:
                    status = "complete"
                    break
            failed = []
            if entries["failed"]:
                failed = [entries["failed"][k] for k in found if k in entries["failed"]]
            trials.append(
                {
                    "sweep": name,
                    "title": entries["title"],
                    "trial": found[-1],
                    "label": label(config),
                    "seed": config.seed,
                    "status": "failed" if failed and stop is None else status,
                    "message": failed[0] if failed else "",
                    "last_epochs": sweep.last_epochs,
                    **_config_columns(config, whole),
                    "until": ", ".join(f"{n}={v:g}" for n, v in sweep.until.items()),
                    "budget": _budget(config, sweep.until),
                    "num_samples": entries["training_samples"].get(config.dataset),
                    "results": store.uri,
                }
            )
    asked = pd.DataFrame(trials, columns=None if trials else TRIAL_COLUMNS)
    history = rows.iloc[stored].assign(**columns)
    history = _up_to_divergence(history)
    first = [
        "sweep",
        "trial",
        "label",
        "seed",
        "num_epochs",
        "last_epochs",
        "optimizer",
    ]
    # Rows of an older raybs do not say: then it is the time of measuring, too.
    elapsed = history.groupby("number")["seconds"].cumsum()
    history["training_seconds"] = history["training_seconds"].fillna(elapsed)
    history = asked[first].join(history.set_index("number"), how="inner")
    return Frames(
        trials=_with_finals(asked, history), history=history.reset_index(drop=True)
    )


TRIAL_COLUMNS = [
    "sweep", "title", "trial", "label", "seed", "status", "message", "last_epochs",
    *("dataset", "hidden", "init", "optimizer", "momentum", "nesterov", "weight_decay"),
    "precision",
    *("batch_size", "learning_rate", "start_batch_size", "peak_learning_rate"),
    *("num_epochs", "schedule", "until", "budget", "num_samples", "results"),
]  # fmt: skip
"""Columns of `trials` that come from the config, needed when there is no trial."""


def only(frames: Frames, sweep: str) -> Frames:
    """Return the trials and history of one sweep.

    Raises:
        ValueError: The results hold no such sweep.
    """
    known = sorted(frames.trials["sweep"].unique())
    if sweep not in known:
        places = [*frames.trials["results"].unique(), "these results"]
        raise no_sweep(sweep, known, str(places[0]))
    return Frames(
        trials=frames.trials[frames.trials["sweep"] == sweep].reset_index(drop=True),
        history=frames.history[frames.history["sweep"] == sweep].reset_index(drop=True),
    )


def _config_columns(config: TrainConfig, whole: TrainConfig) -> dict[str, Any]:
    return {
        "dataset": config.dataset,
        "hidden": "-".join(map(str, config.hidden)),
        "init": config.init,
        "optimizer": config.optimizer,
        "momentum": config.momentum,
        "nesterov": config.nesterov,
        "weight_decay": config.weight_decay,
        "precision": config.precision,
        # Of the last phase: what the final numbers are about.
        "batch_size": config.phases[-1].batch_size,
        "learning_rate": config.phases[-1].learning_rate,
        "start_batch_size": config.phases[0].batch_size,
        "peak_learning_rate": max(phase.learning_rate for phase in config.phases),
        "num_epochs": whole.num_epochs,
        "schedule": _schedule(config),
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


def _up_to_divergence(history: pd.DataFrame) -> pd.DataFrame:
    """Drop what lies behind a divergence, which only an older run can have left."""
    gone = (history["status"] == "diverged").groupby(history["number"]).cumsum()
    return history[(gone == 0) | (history["status"] == "diverged") & (gone == 1)]


def _with_finals(asked: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Add the last measured row of every trial, and what its rows say of themselves."""
    grouped = history.groupby(level=0)
    last = grouped.last(skipna=False)
    measured = [
        name for name in last.columns if name.endswith(("_loss", "_accuracy", "_norm"))
    ]
    measured += ["weight_distance", "bias_distance", "layer_distance", "cosine_to_init"]
    measured += ["epoch", "step", "samples_seen", "training_seconds"]
    trials = asked.join(last[measured].add_prefix("final_"))
    trials["final_generalization_gap"] = (
        trials["final_train_accuracy"] - trials["final_test_accuracy"]
    )
    trials = trials.join(last[["device", "num_threads", "torch_version"]])
    trials["num_rows"] = grouped.size().reindex(trials.index, fill_value=0)
    trials["seconds"] = grouped["seconds"].sum().reindex(trials.index, fill_value=0.0)
    ended = last["epoch"].reindex(trials.index) == trials["num_epochs"]
    diverged = last["status"].reindex(trials.index) == "diverged"
    trials.loc[ended, "status"] = "complete"
    trials.loc[diverged, "status"] = "diverged"
    return trials
