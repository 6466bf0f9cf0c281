"""Where trials end, by setting, batch size and learning rate."""

from typing import Any

import numpy as np
import pandas as pd

from analysis.statistics.intervals import PERCENTAGE, summarize
from raybs.config.sweep import is_met

POINT = ["setting", "batch_size", "learning_rate"]

LATE = 0.75
"""Part of a trial: what is gained after it says whether the curve is flat."""


def _reached(trial: "pd.Series[Any]", goal: dict[str, float]) -> bool:
    return is_met(goal, {name: trial[f"final_{name}"] for name in goal})


def points_of(
    trials: pd.DataFrame, history: pd.DataFrame, goal: dict[str, float]
) -> pd.DataFrame:
    """Return `Advice.points`, but for what it takes to a target."""
    trials = trials.assign(
        reached=[_reached(trial, goal) for _, trial in trials.iterrows()]
    )
    grouped = trials.groupby(POINT, sort=True)
    points = pd.DataFrame(
        {
            "num_seeds": grouped["seed"].nunique(),
            "num_diverged": grouped["status"].agg(_num_diverged),
            "reached": grouped["reached"].all(),
            "steps": grouped["final_step"].mean(),
            "seconds": grouped["final_training_seconds"].mean(),
        }
    )
    complete = trials[trials["status"] == "complete"]
    ends = complete[[*POINT, "seed"]].assign(
        value=100 * complete["final_test_accuracy"]
    )
    spread = summarize(ends, PERCENTAGE).set_index(POINT)[["mean", "lower", "upper"]]
    points = points.join(spread).join(_gains(history))
    points = points.reset_index()
    sound = points[(points["num_diverged"] == 0) & points["mean"].notna()]
    # Of trials that stop at a goal the fewest steps are best, and all must reach it.
    if goal:
        sound = sound[sound["reached"]]
    score = -sound["steps"] if goal else sound["mean"]
    places = score.groupby([sound["setting"], sound["batch_size"]]).idxmax()
    points["best"] = points.index.isin(places)
    rates = points.groupby(["setting", "batch_size"])["learning_rate"]
    lowest, highest = rates.transform("min"), rates.transform("max")
    edge = np.select(
        [
            lowest == highest,
            points["learning_rate"] == lowest,
            points["learning_rate"] == highest,
        ],
        ["only", "lowest", "highest"],
        "",
    )
    points["at_edge"] = np.where(points["best"], edge, "")
    return points


def _num_diverged(statuses: "pd.Series[str]") -> int:
    return int((statuses == "diverged").sum())


def _gains(history: pd.DataFrame) -> "pd.Series[float]":
    """Return the points of accuracy gained in the last quarter, by POINT."""
    measured = history[history["status"] == "complete"]
    part = measured["samples_seen"] / measured.groupby("trial")[
        "samples_seen"
    ].transform("max")
    inside = (part <= LATE) & (measured["epoch"] > 0)  # else it is all the training
    before = measured[inside].groupby("trial").last()
    last = measured.groupby("trial").last()
    gains = last["test_accuracy"] - before["test_accuracy"].reindex(last.index)
    grouped = gains.groupby([last[name] for name in POINT]).mean()
    return grouped.rename("gain")


def lines_of(points: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy against batch size at the best rates, and at a fixed one."""
    sound = points[(points["num_diverged"] == 0) & points["mean"].notna()]
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
