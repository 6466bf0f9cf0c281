"""Tidy pandas frames from a results folder; no altair here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import pandas as pd

from analysis.commands import no_sweep
from analysis.frames.recorded import TRIAL_COLUMNS, TrialRow, row_of
from raybs.config.keys import path
from raybs.config.status import Status
from raybs.config.sweep import GOAL_COLUMNS, first_met
from raybs.store.opening import Place, as_store
from raybs.store.records import record_from_json
from raybs.store.store import Store
from raybs.store.trials import RecordedTrial, recorded_trials


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
    stored = _Stored(store.read_rows().to_pandas())
    trials: list[TrialRow] = []
    points: list[_Point] = []
    for name, record in sorted(store.read_records("sweeps", record_from_json).items()):
        for trial in recorded_trials(name, *record):
            stop = _goal_epoch(trial, stored)
            points += _points(len(trials), trial, stop, stored)
            trials.append(row_of(trial, stop, store.uri))
    asked = pd.DataFrame(trials, columns=TRIAL_COLUMNS)
    history = _history(asked, points, stored.rows)
    return Frames(
        trials=_with_finals(asked, history), history=history.reset_index(drop=True)
    )


HISTORY_COLUMNS = [
    *("sweep", "trial", "label", "seed", "num_epochs", "last_epochs", "optimizer"),
]
"""What `Frames.history` repeats of its trial."""

FINAL = [
    *("train_loss", "train_accuracy", "test_loss", "test_accuracy"),
    *("weight_norm", "bias_norm"),
    *("weight_distance", "bias_distance", "layer_distance", "cosine_to_init"),
    *("epoch", "step", "samples_seen", "training_seconds"),
]
"""Columns of rows whose last value a trial has, as final_*."""

ENDED = (Status.COMPLETE, Status.DIVERGED)
"""Of trials with all their rows."""


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


@dataclass(frozen=True)
class _Stored:
    """Stored rows, and where each key's is."""

    rows: pd.DataFrame

    @cached_property
    def positions(self) -> dict[str, int]:
        return {key: index for index, key in enumerate(self.rows["state_key"])}

    @cached_property
    def goals(self) -> list[dict[str, Any]]:
        """What trials may stop at, row by row; only few sweeps need it."""
        columns = self.rows[[*GOAL_COLUMNS]]
        return [
            {str(k): v for k, v in row.items()} for row in columns.to_dict("records")
        ]


class _Point(NamedTuple):
    """A measured epoch of the trial `number`, and where its row is stored."""

    position: int
    number: int
    batch_size: int
    learning_rate: float


def _goal_epoch(trial: RecordedTrial, stored: _Stored) -> int | None:
    """Return the epoch at which a trial met its goal, if it has one and did."""
    if not trial.sweep.until:
        return None
    places = [
        (epoch, stored.positions[trial.keys[epoch]])
        for epoch in trial.sweep.measured(trial.resolved)
        if trial.keys[epoch] in stored.positions
    ]
    rows = [(epoch, stored.goals[position]) for epoch, position in places]
    return first_met(trial.sweep.until, rows)


def _points(
    number: int, trial: RecordedTrial, stop: int | None, stored: _Stored
) -> Iterator[_Point]:
    """Yield the measured epochs of a trial, up to where it stops."""
    epochs = path(trial.resolved)
    last = len(epochs) if stop is None else stop
    for epoch, key in enumerate(trial.keys[: last + 1]):
        if key in stored.positions:
            # Epoch 0 is drawn with the phase that it begins.
            batch_size, learning_rate, _ = epochs[max(epoch - 1, 0)]
            yield _Point(stored.positions[key], number, batch_size, learning_rate)


def _history(
    asked: pd.DataFrame, points: Sequence[_Point], rows: pd.DataFrame
) -> pd.DataFrame:
    """Return the measured rows of all trials, by the position of their trial."""
    history = rows.iloc[[point.position for point in points]].assign(
        number=[point.number for point in points],
        batch_size=[point.batch_size for point in points],
        learning_rate=[point.learning_rate for point in points],
    )
    history = _up_to_divergence(history)
    # Rows of an older raybs do not say: then it is the time of measuring, too.
    elapsed = history.groupby("number")["seconds"].cumsum()
    history["training_seconds"] = history["training_seconds"].fillna(elapsed)
    return asked[HISTORY_COLUMNS].join(history.set_index("number"), how="inner")


def _up_to_divergence(history: pd.DataFrame) -> pd.DataFrame:
    """Drop what lies behind a divergence, which only an older run can have left."""
    diverged = history["status"] == Status.DIVERGED
    gone = diverged.groupby(history["number"]).cumsum()
    return history[(gone == 0) | diverged & (gone == 1)]


def _with_finals(asked: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Add the last measured row of every trial, and what its rows say of themselves."""
    grouped = history.groupby(level=0)
    last = grouped.last(skipna=False)
    trials = asked.join(last[FINAL].add_prefix("final_"))
    trials["final_generalization_gap"] = (
        trials["final_train_accuracy"] - trials["final_test_accuracy"]
    )
    trials = trials.join(last[["device", "num_threads", "torch_version"]])
    trials["num_rows"] = grouped.size().reindex(trials.index, fill_value=0)
    trials["seconds"] = grouped["seconds"].sum().reindex(trials.index, fill_value=0.0)
    ended = last["epoch"].reindex(trials.index) == trials["num_epochs"]
    diverged = last["status"].reindex(trials.index) == Status.DIVERGED
    trials.loc[ended, "status"] = Status.COMPLETE.value
    trials.loc[diverged, "status"] = Status.DIVERGED.value
    return trials
