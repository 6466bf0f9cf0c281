"""Which point of a grid to take, and which others cannot be told from it."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.advice.compare import Advice
from analysis.advice.points import POINT, PointRow, rows_of, sound_points
from analysis.metrics import metric_of
from analysis.statistics.intervals import half_width
from raybs.config.status import Status


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

    top: PointRow
    tied: tuple[PointRow, ...]
    close: tuple[PointRow, ...]
    chosen: PointRow

    @property
    def is_alone(self) -> bool:
        """Whether one setting and batch size is better than all others."""
        return len({(row["setting"], row["batch_size"]) for row in self.tied}) == 1


def pick(advice: Advice, margin: float) -> Pick:
    """Pick from `advice`; within `margin` points accuracies make no difference.

    Speed is always the seconds to the target, never those of a whole trial.
    """
    sound = sound_points(advice.points)
    if advice.goal:  # all have ended at the goal: how soon is what differs
        rows = rows_of(sound[sound["reached"]])
        top = min(rows, key=lambda row: row["seconds"])
        return Pick(top=top, tied=_tied(advice, rows, top), close=(), chosen=top)
    rows = rows_of(sound)
    top = max(rows, key=lambda row: row["mean"])
    close = tuple(row for row in rows if row["mean"] >= top["mean"] - margin)
    picked = Pick(top=top, tied=_tied(advice, rows, top), close=close, chosen=top)
    candidates = close if picked.is_alone else (*picked.tied, *close)
    there = [row for row in candidates if not math.isnan(row["target_seconds"])]
    chosen = min(there, key=lambda row: row["target_seconds"], default=top)
    return replace(picked, chosen=chosen)


def paired(trials: pd.DataFrame, one: PointRow, other: PointRow) -> Difference:
    """Return how much more accurate, in points, `one` is than `other`.

    The same seed's trials are a pair (Student's t, 95 %).
    """
    return _paired(trials, one, other, "final_test_accuracy")


def same(one: PointRow, other: PointRow) -> bool:
    """Tell whether both are one point."""
    return _place(one) == _place(other)


def _place(row: PointRow) -> tuple[str, int, float]:
    """Return the values of POINT."""
    return row["setting"], row["batch_size"], row["learning_rate"]


def _tied(advice: Advice, rows: list[PointRow], top: PointRow) -> tuple[PointRow, ...]:
    column = "final_training_seconds" if advice.goal else "final_test_accuracy"
    return tuple(
        row
        for row in rows
        if same(row, top) or not _paired(advice.trials, row, top, column).is_told
    )


def _paired(
    trials: pd.DataFrame, one: PointRow, other: PointRow, column: str
) -> Difference:
    """Compare accuracies by their difference in points, seconds by their logarithms.

    Of a goal that was met before training some seconds are 0: then by their difference.
    """
    metric = metric_of(column)

    def ends(point: PointRow) -> "pd.Series[float]":
        pairs = zip(POINT, _place(point), strict=True)
        mask = np.logical_and.reduce([trials[name] == value for name, value in pairs])
        chosen = trials[mask & (trials["status"] == Status.COMPLETE)]
        by_seed: pd.Series[float] = chosen.set_index("seed")[column]
        return metric.factor * by_seed

    pairs = pd.concat([ends(one), ends(other)], axis=1, join="inner").dropna()
    if not metric.is_accuracy and (pairs > 0).all(axis=None):
        pairs = pairs.map(math.log)
    differences = pairs.iloc[:, 0] - pairs.iloc[:, 1]
    num, mean = len(differences), float(differences.mean())
    if num < 2:
        return Difference(mean, math.nan, math.nan, num, math.nan)
    deviation = float(differences.std())
    scale = metric.scale_of_difference
    lower, upper = scale.interval(mean, float(half_width(deviation, num)))
    return Difference(mean, float(lower), float(upper), num, deviation)
