"""What a sweep says about the batch size to train with: frames (words: `wording`).

A *setting* is all of a config but batch size, learning rate and seed; settings that
share dataset, budget and goal answer one *question*, and are compared.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.frames import Frames
from analysis.statistics.intervals import PERCENTAGE, summarize
from raybs.config.sweep import is_met

QUESTION = ["dataset", "budget", "until"]
SETTING = [
    *("optimizer", "momentum", "nesterov", "weight_decay", "hidden", "init"),
    *("precision", "schedule"),
]
POINT = ["setting", "batch_size", "learning_rate"]

LATE = 0.75
"""Part of a trial: what is gained after it says whether the curve is flat."""

MAX_PHASES = 3
"""Of a schedule that is named whole."""

UNITS = {"epochs": "samples_seen", "steps": "step", "seconds": "training_seconds"}
"""What reaching a target takes, and the column that counts it."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What was found for one question; accuracies in per cent, seconds of training.

    `points`: one row per setting, batch size and learning rate: num_seeds,
    num_diverged, mean, lower, upper (test accuracy at the end, 95 %), reached (the
    goal, by all seeds), steps, seconds, gain (of accuracy since three quarters of the
    training), target_seconds (until all seeds reach the target; NaN if some do not),
    best (of its batch size), at_edge.

    `lines`: accuracy by setting and batch size at the best rate, and at one that all
    batch sizes have: kind, learning_rate, mean, lower, upper.

    `to_target`: setting, batch_size, learning_rate (that reaches it soonest), unit
    (epochs, steps, seconds), mean, lower, upper, perfect: what the smallest batch size
    takes, times its share of this one.

    `front`: setting, batch_size, learning_rate, epoch, seconds, accuracy of measured
    epochs, and on_front: nothing else is more accurate so soon.

    `trials` are those of the question; `goal` is what they stopped at, by column (empty
    if at nothing), `target` the accuracy that `to_target` is about.
    """

    title: str
    trials: pd.DataFrame
    goal: dict[str, float]
    target: float
    points: pd.DataFrame
    lines: pd.DataFrame
    to_target: pd.DataFrame
    front: pd.DataFrame


def advise(found: Frames, *, target: float | None = None) -> list[Advice]:
    """Answer the questions of one sweep (`frames.only`) that compare batch sizes.

    Left out are those of which no trial has ended, without diverging, at its goal.
    `target` is a test accuracy, a fraction (default: what trials stopped at, or a point
    below the best).

    Raises:
        ValueError: `found` is of several sweeps, or `target` is no fraction.
    """
    if target is not None:
        target = check_target(target)
    if found.trials["sweep"].nunique() > 1:
        names = ", ".join(found.trials["sweep"].unique())
        raise ValueError(f"Advice is of one sweep, by analysis.only: {names}.")
    answers = [_answer(title, part, target) for title, part in _questions(found)]
    return [advice for advice in answers if advice]


def check_target(target: float) -> float:
    """Return a target in per cent, given as a fraction.

    Raises:
        ValueError: It is none; one that seems to be in per cent gets a hint.
    """
    if not 0 < target <= 1:
        hint = f": {target / 100:g} for {target:g} %" if 1 < target <= 100 else ""
        raise ValueError(f"target={target:g}; give a fraction above 0, up to 1{hint}.")
    return 100 * target


def _questions(found: Frames) -> Iterator[tuple[str, Frames]]:
    """Yield what one sweep asks, with a title: of two batch sizes or more."""
    trials = found.trials.assign(
        batch_size=found.trials["start_batch_size"],
        learning_rate=found.trials["peak_learning_rate"],
    )
    varied = [name for name in QUESTION if trials[name].nunique() > 1]
    for key, group in trials.groupby(QUESTION, sort=False):
        if group["batch_size"].nunique() < 2:
            continue
        said = dict(zip(QUESTION, key, strict=True))
        title = ", ".join(str(said[name]) for name in varied)
        names = [name for name in SETTING if group[name].nunique() > 1]
        group = group.assign(setting=[_name(row, names) for _, row in group.iterrows()])
        # A schedule of one batch size cannot be advised on.
        sizes = group.groupby("setting")["batch_size"].transform("nunique")
        group = group[sizes > 1]
        if len(group):
            history = found.history[found.history["trial"].isin(group["trial"])]
            yield title, replace(found, trials=group, history=history)


def _answer(title: str, found: Frames, target: float | None) -> Advice | None:
    """Answer a question; None while no trial has ended."""
    trials = found.trials[found.trials["status"].isin(["complete", "diverged"])]
    if trials["final_test_accuracy"].isna().all():
        return None
    columns = ["step", "samples_seen", "training_seconds", "test_accuracy"]
    history = found.history[["trial", "epoch", *columns]].merge(
        trials[["trial", "seed", "status", "num_samples", *POINT]], on="trial"
    )
    history["test_accuracy"] *= 100
    goal = _goal(trials)
    points = _points(trials, history, goal)
    best = points[points["best"]]
    if best.empty:
        return None
    if target is None:
        target = 100 * goal.get("test_accuracy", 0.0)
        target = target or math.floor(10 * (best["mean"].max() - 1)) / 10
    taken = _taken(history, target)
    points = points.join(
        taken.groupby(POINT)["seconds"].mean().rename("target_seconds"), on=POINT
    )
    return Advice(
        title=title,
        trials=found.trials,
        goal=goal,
        target=target,
        points=points,
        lines=_lines(points),
        to_target=_to_target(taken),
        front=_front(history, points),
    )


def _name(row: "pd.Series[Any]", names: list[str]) -> str:
    words = []
    for name in names:
        value = str(row[name])
        phases = value.split(" -> ")
        if name == "schedule" and len(phases) > MAX_PHASES:
            # Cosines and warm-ups: the ends, and a mark that tells them apart.
            mark = hashlib.sha256(value.encode()).hexdigest()[:4]
            value = f"{len(phases)} phases {phases[0]} -> {phases[-1]} ({mark})"
        plain = name in ("optimizer", "precision", "schedule")
        words.append(value if plain else f"{name.replace('_', ' ')} {value}")
    return ", ".join(words)


def _goal(trials: pd.DataFrame) -> dict[str, float]:
    """Return what trials were stopped at, time apart, by column."""
    items = str(trials["until"].iloc[0]).split(", ")
    pairs = (item.partition("=") for item in items if item)
    return {name: float(v) for name, _, v in pairs if name != "seconds"}


def _reached(trial: "pd.Series[Any]", goal: dict[str, float]) -> bool:
    return is_met(goal, {name: trial[f"final_{name}"] for name in goal})


def _points(
    trials: pd.DataFrame, history: pd.DataFrame, goal: dict[str, float]
) -> pd.DataFrame:
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


def _lines(points: pd.DataFrame) -> pd.DataFrame:
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


def _taken(history: pd.DataFrame, target: float) -> pd.DataFrame:
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


def _to_target(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what the soonest rate takes, by setting and batch size, from `_taken`."""
    columns = [*POINT, "unit", "mean", "lower", "upper", "num_seeds", "perfect"]
    if frame.empty:
        return pd.DataFrame(columns=columns)
    means = frame.groupby(POINT)["steps"].mean().reset_index()
    soonest = means.loc[means.groupby(["setting", "batch_size"])["steps"].idxmin()]
    frame = frame.merge(soonest[POINT], on=POINT)
    long = frame.melt([*POINT, "seed"], list(UNITS), "unit", "value")
    summary = summarize(long)
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
    found = {}
    for unit, column in UNITS.items():
        values = trial[column].to_numpy(float)
        found[unit] = float(values[start] + part * (values[end] - values[start]))
    whole = trial["num_samples"].iloc[0]
    if not whole or whole != whole:  # of an older raybs: its first epoch is whole
        first = trial[trial["epoch"] == 1]["samples_seen"]
        whole = first.iloc[0] if len(first) else math.nan
    found["epochs"] /= whole
    return found


def _front(history: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Return measured epochs, averaged over seeds, and which are Pareto-optimal."""
    sound = history[history["status"] == "complete"]
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
