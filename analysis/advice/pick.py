"""Which point of a grid to take, and which others cannot be told from it."""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.advice.compare import Advice
from analysis.advice.points import POINT
from analysis.statistics.intervals import POINTS, REAL, half_width

Row = dict[str, Any]
"""A row of `Advice.points`."""


class Difference(NamedTuple):
    """The mean of differences of pairs, its 95 % interval, and their number.

    One pair has no interval and no deviation: they are NaN.
    """

    mean: float
    lower: float
    upper: float
    num: int
    deviation: float

    @property
    def is_told(self) -> bool:
        """Whether the interval says on which side of 0 the mean lies."""
        return self.lower > 0 or self.upper < 0


@dataclass(frozen=True, kw_only=True)
class Pick:
    """What an advice comes to; rows of `Advice.points`.

    `top` has the highest mean accuracy (of trials that stop at a goal: it gets there
    soonest). `tied` cannot be told from it, itself included: the interval of their
    paired difference holds 0, or there is none. `close` are not further from it than
    makes a difference to the reader. `chosen` is the soonest to the target, of those
    that are close and, unless the top is alone, of the tied; `top` if none gets there.
    """

    top: Row
    tied: tuple[Row, ...]
    close: tuple[Row, ...]
    chosen: Row

    @property
    def is_alone(self) -> bool:
        """Whether one setting and batch size is better than all others."""
        return len({(row["setting"], row["batch_size"]) for row in self.tied}) == 1


def pick(advice: Advice, margin: float) -> Pick:
    """Pick from `advice`; within `margin` points accuracies make no difference.

    Speed is always the seconds to the target, never those of a whole trial.
    """
    points = advice.points
    sound = points[(points["num_diverged"] == 0) & points["mean"].notna()]
    if advice.goal:  # all have ended at the goal: how soon is what differs
        rows = rows_of(sound[sound["reached"]])
        top = min(rows, key=lambda row: float(row["seconds"]))
        return Pick(top=top, tied=_tied(advice, rows, top), close=(), chosen=top)
    rows = rows_of(sound)
    top = max(rows, key=lambda row: float(row["mean"]))
    close = tuple(row for row in rows if row["mean"] >= top["mean"] - margin)
    picked = Pick(top=top, tied=_tied(advice, rows, top), close=close, chosen=top)
    candidates = close if picked.is_alone else (*picked.tied, *close)
    there = [row for row in candidates if not math.isnan(row["target_seconds"])]
    chosen = min(there, key=lambda row: float(row["target_seconds"]), default=top)
    return replace(picked, chosen=chosen)


def paired(trials: pd.DataFrame, one: Row, other: Row) -> Difference:
    """Return how much more accurate, in points, `one` is than `other`.

    The same seed's trials are a pair (Student's t, 95 %).
    """
    return _paired(trials, one, other, "final_test_accuracy")


def rows_of(points: pd.DataFrame) -> list[Row]:
    """Return `points` as rows."""
    return [{str(k): v for k, v in row.items()} for row in points.to_dict("records")]


def same(one: Row, other: Row) -> bool:
    """Tell whether both are one point."""
    return all(one[name] == other[name] for name in POINT)


def _tied(advice: Advice, rows: list[Row], top: Row) -> tuple[Row, ...]:
    column = "final_training_seconds" if advice.goal else "final_test_accuracy"
    return tuple(
        row
        for row in rows
        if same(row, top) or not _paired(advice.trials, row, top, column).is_told
    )


def _paired(trials: pd.DataFrame, one: Row, other: Row, column: str) -> Difference:
    """Compare accuracies by their difference in points, seconds by their logarithms.

    Of a goal that was met before training some seconds are 0: then by their difference.
    """

    def ends(point: Row) -> "pd.Series[float]":
        mask = np.logical_and.reduce([trials[n] == point[n] for n in POINT])
        chosen = trials[mask & (trials["status"] == "complete")]
        by_seed: pd.Series[float] = chosen.set_index("seed")[column]
        return 100 * by_seed if column.endswith("accuracy") else by_seed

    pairs = pd.concat([ends(one), ends(other)], axis=1, join="inner").dropna()
    if not column.endswith("accuracy") and (pairs > 0).all(axis=None):
        pairs = pairs.map(math.log)
    differences = pairs.iloc[:, 0] - pairs.iloc[:, 1]
    num, mean = len(differences), float(differences.mean())
    if num < 2:
        return Difference(mean, math.nan, math.nan, num, math.nan)
    deviation = float(differences.std())
    scale = POINTS if column.endswith("accuracy") else REAL
    lower, upper = scale.interval(mean, float(half_width(deviation, num)))
    return Difference(mean, float(lower), float(upper), num, deviation)
