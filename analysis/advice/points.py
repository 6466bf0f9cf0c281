"""Where trials end, by setting, batch size and learning rate."""

from typing import Any, TypedDict, cast

import numpy as np
import pandas as pd

from analysis.frames.draws import Array
from analysis.metrics import ACCURACY
from analysis.statistics.intervals import summarize_seeds
from raybs.config.status import Status
from raybs.config.sweep import is_met

POINT = ["setting", "batch_size", "learning_rate"]


class PointRow(TypedDict):
    """A row of `Advice.points`."""

    setting: str
    batch_size: int
    learning_rate: float
    num_seeds: int
    num_diverged: int
    reached: bool
    steps: float
    seconds: float
    mean: float
    lower: float
    upper: float
    gain: float
    best: bool
    at_edge: str
    target_seconds: float


LATE = 0.75
"""Part of a trial: what is gained after it says whether the curve is flat."""


def points_of(
    trials: pd.DataFrame, history: pd.DataFrame, goal: dict[str, float]
) -> pd.DataFrame:
    """Return `Advice.points`, but for what it takes to a target."""
    points = _counted(trials, goal)
    points = points.join(_accuracies(trials)).join(_gains(history)).reset_index()
    points["best"] = points.index.isin(_best(points, goal))
    points["at_edge"] = np.where(points["best"], _edges(points), "")
    return points


def _counted(trials: pd.DataFrame, goal: dict[str, float]) -> pd.DataFrame:
    """Return seeds and what trials took, by POINT."""
    trials = trials.assign(
        reached=[_reached(trial, goal) for _, trial in trials.iterrows()]
    )
    grouped = trials.groupby(POINT, sort=True)
    return pd.DataFrame(
        {
            "num_seeds": grouped["seed"].nunique(),
            "num_diverged": grouped["status"].agg(_num_diverged),
            "reached": grouped["reached"].all(),
            "steps": grouped["final_step"].mean(),
            "seconds": grouped["final_training_seconds"].mean(),
        }
    )


def _reached(trial: "pd.Series[Any]", goal: dict[str, float]) -> bool:
    return is_met(goal, {name: trial[f"final_{name}"] for name in goal})


def _accuracies(trials: pd.DataFrame) -> pd.DataFrame:
    """Return mean and interval of the test accuracy at the end, by POINT."""
    complete = trials[trials["status"] == Status.COMPLETE]
    ends = complete[[*POINT, "seed"]].assign(
        value=ACCURACY.factor * complete["final_test_accuracy"]
    )
    summary = summarize_seeds(ends, ACCURACY.scale)
    return summary.set_index(POINT)[["mean", "lower", "upper"]]


def _best(points: pd.DataFrame, goal: dict[str, float]) -> "pd.Series[int]":
    """Return where the best rate of each setting and batch size stands."""
    sound = sound_points(points)
    # Of trials that stop at a goal the fewest steps are best, and all must reach it.
    if goal:
        sound = sound[sound["reached"]]
    score = -sound["steps"] if goal else sound["mean"]
    places: pd.Series[int] = score.groupby(
        [sound["setting"], sound["batch_size"]]
    ).idxmax()
    return places


def _edges(points: pd.DataFrame) -> Array:
    """Say which points have the lowest or highest rate of their batch size."""
    rate = points["learning_rate"]
    rates = points.groupby(["setting", "batch_size"])["learning_rate"]
    lowest, highest = rates.transform("min"), rates.transform("max")
    ends = [lowest == highest, rate == lowest, rate == highest]
    return np.select(ends, ["only", "lowest", "highest"], "")


def sound_points(points: pd.DataFrame) -> pd.DataFrame:
    """Return the points of which no trial diverged, and some ended."""
    return points[(points["num_diverged"] == 0) & points["mean"].notna()]


def _num_diverged(statuses: "pd.Series[str]") -> int:
    return int((statuses == Status.DIVERGED).sum())


def _gains(history: pd.DataFrame) -> "pd.Series[float]":
    """Return the points of accuracy gained in the last quarter, by POINT."""
    measured = history[history["status"] == Status.COMPLETE]
    part = measured["samples_seen"] / measured.groupby("trial")[
        "samples_seen"
    ].transform("max")
    inside = (part <= LATE) & (measured["epoch"] > 0)  # else it is all the training
    before = measured[inside].groupby("trial").last()
    last = measured.groupby("trial").last()
    gains = last["test_accuracy"] - before["test_accuracy"].reindex(last.index)
    grouped = gains.groupby([last[name] for name in POINT]).mean()
    return grouped.rename("gain")


def rows_of(points: pd.DataFrame) -> list[PointRow]:
    """Return `Advice.points`, or some of them, as rows."""
    return cast("list[PointRow]", points.to_dict("records"))


def lines_of(points: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy against batch size at the best rates, and at a fixed one."""
    sound = sound_points(points)
    parts = [sound[sound["best"]].assign(kind="best rate")]
    for _, group in sound.groupby("setting"):
        num_sizes = group.groupby("learning_rate")["batch_size"].nunique()
        common = num_sizes[num_sizes == group["batch_size"].nunique()].index
        means = group.groupby("learning_rate")["mean"].mean()
        if len(common):
            rate = means[common].idxmax()
            fixed = group[group["learning_rate"] == rate]
            parts.append(fixed.assign(kind=f"rate {rate:g} for all"))
    names = ["setting", "batch_size", "kind", "learning_rate", "num_seeds"]
    return pd.concat(parts)[[*names, "mean", "lower", "upper"]].reset_index(drop=True)
