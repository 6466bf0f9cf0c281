"""Which trials of a sweep are compared: settings that share data, budget and goal."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.frames.trials import Frames

QUESTION = ["dataset", "budget", "until"]
SETTING = [
    *("optimizer", "momentum", "nesterov", "weight_decay", "model", "loss"),
    *("hidden", "init", "precision", "schedule"),
]

MOMENTS = ["beta1", "beta2", "epsilon"]
"""Of Adam: rules change them with the batch size, and then they are no setting."""

MAX_PHASES = 3
"""Of a schedule that is named whole."""


def questions(frames: Frames) -> Iterator[tuple[str, Frames]]:
    """Yield what one sweep asks, with a title: of two batch sizes or more."""
    trials = frames.trials.assign(
        batch_size=frames.trials["start_batch_size"],
        learning_rate=frames.trials["peak_learning_rate"],
    )
    varied = [name for name in QUESTION if trials[name].nunique() > 1]
    for key, group in trials.groupby(QUESTION, sort=False):
        if group["batch_size"].nunique() < 2:
            continue
        said = dict(zip(QUESTION, key, strict=True))
        title = ", ".join(str(said[name]) for name in varied)
        # What a network has not, is "".
        names = [n for n in SETTING if group.loc[group[n] != "", n].nunique() > 1]
        names += _varied_moments(group, names)
        group = group.assign(setting=[_name(row, names) for _, row in group.iterrows()])
        # A schedule of one batch size cannot be advised on.
        sizes = group.groupby("setting")["batch_size"].transform("nunique")
        group = group[sizes > 1]
        if len(group):
            history = frames.history[frames.history["trial"].isin(group["trial"])]
            yield title, replace(frames, trials=group, history=history)


def _varied_moments(group: pd.DataFrame, names: list[str]) -> list[str]:
    """Return those that batch size and settings by `names` leave open."""
    of_adam = group[group["optimizer"] != "sgd"]
    counts = of_adam.groupby(["batch_size", *names])[MOMENTS].nunique()
    return [name for name in MOMENTS if (counts[name] > 1).any()]


def _name(row: "pd.Series[Any]", names: list[str]) -> str:
    words = []
    for name in names:
        value = str(row[name])
        if not value:
            continue
        phases = value.split(" -> ")
        if name == "schedule" and len(phases) > MAX_PHASES:
            # Cosines and warm-ups: the ends, and a mark that tells them apart.
            mark = hashlib.sha256(value.encode()).hexdigest()[:4]
            value = f"{len(phases)} phases {phases[0]} -> {phases[-1]} ({mark})"
        plain = name in ("optimizer", "model", "precision", "schedule")
        words.append(value if plain else f"{name.replace('_', ' ')} {value}")
    return ", ".join(words)


def read_goal(trials: pd.DataFrame) -> dict[str, float]:
    """Return what trials were stopped at, time apart, by column."""
    items = str(trials["until"].iloc[0]).split(", ")
    pairs = (item.partition("=") for item in items if item)
    return {name: float(v) for name, _, v in pairs if name != "seconds"}
