"""What it takes to reach a target, and the front of time and accuracy."""

import math

import numpy as np
import pandas as pd

from analysis.advice.points import POINT
from analysis.statistics.intervals import summarize_seeds
from raybs.config.status import Status

UNITS = {"epochs": "samples_seen", "steps": "step", "seconds": "training_seconds"}
"""What reaching a target takes, and the column that counts it."""


def check_target(target: float) -> float:
    """Return a target in per cent, given as a fraction.

    Raises:
        ValueError: It is none; one that seems to be in per cent gets a hint.
    """
    if not 0 < target <= 1:
        hint = f": {target / 100:g} for {target:g} %" if 1 < target <= 100 else ""
        raise ValueError(f"target={target:g}; give a fraction above 0, up to 1{hint}.")
    return 100 * target


def taken_by_trials(history: pd.DataFrame, target: float) -> pd.DataFrame:
    """Return what each trial takes to `target`, of points where all seeds reach it.

    Between two measured epochs accuracy is taken as linear.
    """
    rows = []
    for _, trial in history.groupby("trial", sort=False):
        taken = _crossing(trial.sort_values("epoch"), target)
        first = trial.iloc[0]
        rows.append({name: first[name] for name in [*POINT, "seed"]} | taken)
    frame = pd.DataFrame(rows)
    all_reach = frame.groupby(POINT)["steps"].transform(lambda s: s.notna().all())
    return frame[all_reach]


def soonest_to_target(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what the soonest rate takes, of `taken_by_trials`, by batch size."""
    columns = [*POINT, "unit", "mean", "lower", "upper", "num_seeds", "perfect"]
    if frame.empty:
        return pd.DataFrame(columns=columns)
    means = frame.groupby(POINT)["steps"].mean().reset_index()
    soonest = means.loc[means.groupby(["setting", "batch_size"])["steps"].idxmin()]
    frame = frame.merge(soonest[POINT], on=POINT)
    long = frame.melt([*POINT, "seed"], list(UNITS), "unit", "value")
    summary = summarize_seeds(long)
    # What the smallest batch size takes; its epochs are everyone's, perfectly scaled.
    smallest = summary.groupby(["setting", "unit"])["batch_size"].transform("idxmin")
    base = summary.loc[smallest].set_index(summary.index)
    share = base["batch_size"] / summary["batch_size"]
    summary["perfect"] = base["mean"] * share.where(summary["unit"] != "epochs", 1.0)
    return summary[columns]


def _crossing(trial: pd.DataFrame, target: float) -> dict[str, float]:
    """Return epochs, steps and seconds to `target`; NaN if it is not reached."""
    accuracy = trial["test_accuracy"].to_numpy(float)
    above = np.flatnonzero(accuracy >= target)
    if not len(above):
        return dict.fromkeys(UNITS, math.nan)
    end = int(above[0])
    start = max(end - 1, 0)
    rise = accuracy[end] - accuracy[start]
    part = (target - accuracy[start]) / rise if end > start and rise > 0 else 1.0
    taken = {}
    for unit, column in UNITS.items():
        values = trial[column].to_numpy(float)
        taken[unit] = float(values[start] + part * (values[end] - values[start]))
    whole = trial["num_samples"].iloc[0]
    if not whole or whole != whole:  # of an older raybs: its first epoch is whole
        first = trial[trial["epoch"] == 1]["samples_seen"]
        whole = first.iloc[0] if len(first) else math.nan
    taken["epochs"] /= whole
    return taken


def front_of(history: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Return measured epochs, averaged over seeds, and which are Pareto-optimal."""
    sound = history[history["status"] == Status.COMPLETE]
    grouped = sound.groupby([*POINT, "epoch"])
    mean = grouped[["training_seconds", "test_accuracy"]].mean()
    mean["num_seeds"] = grouped["seed"].nunique()
    frame = mean.reset_index().merge(
        points[[*POINT, "num_seeds", "num_diverged"]], on=POINT, suffixes=("", "_all")
    )
    whole = frame["num_seeds"] == frame["num_seeds_all"]  # else means jump
    frame = frame[whole & (frame["epoch"] > 0) & (frame["num_diverged"] == 0)]
    frame = frame.rename(
        columns={"training_seconds": "seconds", "test_accuracy": "accuracy"}
    )
    # What took no time has no place on a logarithmic axis.
    frame = frame[frame["seconds"] > 0]
    frame = frame.sort_values(["seconds", "accuracy"], ascending=[True, False])
    before = frame["accuracy"].cummax().shift(fill_value=-math.inf)
    frame["on_front"] = frame["accuracy"] > before
    return frame[[*POINT, "epoch", "seconds", "accuracy", "on_front"]].reset_index(
        drop=True
    )
