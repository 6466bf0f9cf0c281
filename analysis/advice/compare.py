"""What a sweep says about the batch size to train with: one advice a question."""

import math
from dataclasses import dataclass

import pandas as pd

from analysis.advice.points import POINT, lines_of, points_of
from analysis.advice.questions import questions, read_goal
from analysis.advice.targets import (
    check_target,
    front_of,
    soonest_to_target,
    taken_by_trials,
)
from analysis.frames.trials import ENDED, Frames


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The answer to one question; accuracies in per cent, seconds of training.

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


def advise(frames: Frames, *, target: float | None = None) -> list[Advice]:
    """Answer the questions of one sweep (`frames.only`) that compare batch sizes.

    Left out are those of which no trial has ended, without diverging, at its goal.
    `target` is a test accuracy, a fraction (default: what trials stopped at, or a point
    below the best).

    Raises:
        ValueError: `frames` is of several sweeps, or `target` is no fraction.
    """
    if target is not None:
        target = check_target(target)
    if frames.trials["sweep"].nunique() > 1:
        names = ", ".join(frames.trials["sweep"].unique())
        raise ValueError(f"Advice is of one sweep, by analysis.only: {names}.")
    answers = [_answer(title, part, target) for title, part in questions(frames)]
    return [advice for advice in answers if advice]


def _answer(title: str, frames: Frames, target: float | None) -> Advice | None:
    """Answer a question; None while no trial has ended."""
    trials = frames.trials[frames.trials["status"].isin(ENDED)]
    if trials["final_test_accuracy"].isna().all():
        return None
    columns = ["step", "samples_seen", "training_seconds", "test_accuracy"]
    history = frames.history[["trial", "epoch", *columns]].merge(
        trials[["trial", "seed", "status", "num_samples", *POINT]], on="trial"
    )
    history["test_accuracy"] *= 100
    goal = read_goal(trials)
    points = points_of(trials, history, goal)
    best = points[points["best"]]
    if best.empty:
        return None
    if target is None:
        target = 100 * goal.get("test_accuracy", 0.0)
        target = target or math.floor(10 * (best["mean"].max() - 1)) / 10
    taken = taken_by_trials(history, target)
    points = points.join(
        taken.groupby(POINT)["seconds"].mean().rename("target_seconds"), on=POINT
    )
    return Advice(
        title=title,
        trials=frames.trials,
        goal=goal,
        target=target,
        points=points,
        lines=lines_of(points),
        to_target=soonest_to_target(taken),
        front=front_of(history, points),
    )
