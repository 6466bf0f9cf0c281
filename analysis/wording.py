"""Advice in words: what to do, on what evidence, with which limits."""

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.advice import POINT, Advice
from analysis.frames import CONFIDENCE, half_width
from analysis.tables import escaped

MARGIN = 0.2
"""Percentage points of test accuracy that a reader does not care about."""

SCALING = 1.25
"""Times the steps of perfect scaling that still count as scaling."""

MAX_SEEDS = 1000
"""Where counting ends: more are not worth it."""

Row = dict[str, Any]
"""A row of `Advice.points`."""


def words(advice: Advice, margin: float = MARGIN) -> dict[str, list[str]]:
    """Return sentences by heading: Advice, Evidence, Limits.

    The batch size to take is the one that trains soonest among those whose accuracy, at
    their best learning rates, is within `margin` points of the highest; of trials that
    stop at a goal, the one that reaches it soonest.
    """
    best = _rows(advice.points[advice.points["best"]])
    goal, trials = advice.goal, advice.trials
    if not goal:
        top = max(best, key=lambda row: float(row["mean"]))
        close = [row for row in best if row["mean"] >= top["mean"] - margin]
        chosen = min(close, key=lambda row: float(row["seconds"]))
    else:
        top = min(best, key=lambda row: float(row["steps"]))
        chosen = min(best, key=lambda row: float(row["seconds"]))
    budget = str(trials["budget"].iloc[0])
    evidence = _comparison(advice, top, chosen, margin)
    for row in best:
        if _same(row, chosen) or _same(row, top):
            continue
        said = f"{_effort(row)}"
        if not goal:
            difference = _difference(paired(trials, row, top))
            said = f"{_accuracy(row)}, {difference} against {_point(top)}"
        evidence.append(f"{_point(row)}: {said}.")
    limits = _limits(advice, best, chosen, top, margin)
    limits.append(_about_budget(advice, best, budget))
    limits.append(
        "Rates and batch sizes are picked by the test accuracy that is reported: on "
        "new data expect slightly less."
    )
    return {
        "Advice": [_headline(advice, chosen, budget)],
        "Evidence": [_capital(text) for text in evidence + _scaling(advice)],
        "Limits": limits,
    }


def to_markdown(found: dict[str, list[str]], title: str) -> str:
    """Return `words` as Markdown."""
    lines = [f"## {escaped(title)}", ""] if title else []
    for head, texts in found.items():
        lines += [f"**{head}**", "", *(f"- {escaped(text)}" for text in texts), ""]
    return "\n".join(lines)


def paired(
    trials: pd.DataFrame, one: Row, other: Row
) -> tuple[float, float, float, int]:
    """Return the mean difference in accuracy of two points, its interval, its seeds.

    The same seed's trials are a pair (Student's t, 95 %); one pair has no interval.
    """

    def ends(point: Row) -> "pd.Series[float]":
        mask = np.logical_and.reduce([trials[n] == point[n] for n in POINT])
        chosen = trials[mask & (trials["status"] == "complete")]
        by_seed: pd.Series[float] = chosen.set_index("seed")["final_test_accuracy"]
        return 100 * by_seed

    differences = (ends(one) - ends(other)).dropna()
    num, mean = len(differences), float(differences.mean())
    if num < 2:
        return mean, math.nan, math.nan, num
    half = float(half_width(differences.std(), num))
    return mean, mean - half, mean + half, num


def _headline(advice: Advice, chosen: Row, budget: str) -> str:
    what = f"Train with {_point(chosen)}: "
    if advice.goal:
        return f"{what}it reaches {_goal(advice)} soonest, {_effort(chosen)}."
    return (
        f"{what}{_accuracy(chosen)} after {budget}, {_seconds(chosen['seconds'])} of "
        "training a trial."
    )


def _goal(advice: Advice) -> str:
    """Say what trials stopped at: "97 % test accuracy", "a test loss of 0.1"."""
    said = [
        f"{100 * value:g} % {name.replace('_', ' ')}"
        if "accuracy" in name
        else f"a {name.replace('_', ' ')} of {value:g}"
        for name, value in advice.goal.items()
    ]
    return " or ".join(said)


def _comparison(advice: Advice, top: Row, chosen: Row, margin: float) -> list[str]:
    trials = advice.trials
    if advice.goal:
        if _same(top, chosen):
            return ["It takes the fewest steps, too."]
        return [f"{_point(top)} takes the fewest steps: {_effort(top)}."]
    if _same(top, chosen):
        return ["None is more accurate at its own best learning rate."]
    return [
        f"{_point(top)} is the most accurate: {_accuracy(top)}. But {_point(chosen)} "
        f"is within {margin:g} points ({_difference(paired(trials, chosen, top))}), "
        f"and trains in {chosen['seconds'] / top['seconds']:.2f} times the seconds."
    ]


def _scaling(advice: Advice) -> list[str]:
    """Say up to which batch size a larger one takes fewer steps in proportion."""
    found = []
    steps = advice.to_target[advice.to_target["unit"] == "steps"]
    for setting, group in steps.groupby("setting"):
        sizes = group.sort_values("batch_size")
        if len(sizes) < 2:
            continue
        scales = (sizes["mean"] <= SCALING * sizes["perfect"]).cummin()
        last, first = sizes["batch_size"][scales].iloc[-1], sizes["batch_size"].iloc[0]
        who = f" ({setting!s})" if setting else ""
        goal = f"To {advice.target:g} %{who}"
        if last == first:
            said = f"no batch size above {first} takes fewer steps in proportion"
        elif last == sizes["batch_size"].iloc[-1]:
            said = (
                f"steps shrink as batches grow, up to {last}, the largest to get there"
            )
        else:
            said = f"steps shrink as batches grow up to {last}, then more slowly"
        found.append(f"{goal} {said} (within {SCALING:g} times perfect scaling).")
    tried = advice.points[["setting", "batch_size"]].drop_duplicates()
    there = steps[["setting", "batch_size"]].drop_duplicates()
    pairs = tried.merge(there, how="left", indicator=True)
    missed = [
        f"batch size {row['batch_size']}"
        + (f" ({row['setting']})" if row["setting"] else "")
        for row in _rows(pairs[pairs["_merge"] == "left_only"])
    ]
    if missed:
        found.append(
            f"With no rate did all seeds of {', '.join(missed)} reach "
            f"{advice.target:g} %."
        )
    return found


def _limits(
    advice: Advice, best: list[Row], chosen: Row, top: Row, margin: float
) -> list[str]:
    found, trials = [], advice.trials
    for edge, where in (("highest", "higher"), ("lowest", "lower")):
        at_edge = [_point(row) for row in best if row["at_edge"] == edge]
        if at_edge:
            found.append(
                f"On the edge of the grid: the best rate is the {edge} tried for "
                f"{'; '.join(at_edge)}. Try {where} ones: these may do better."
            )
    alone = sorted({row["batch_size"] for row in best if row["at_edge"] == "only"})
    if alone:
        found.append(
            f"One learning rate was tried for batch size {', '.join(map(str, alone))}: "
            "it need not be the best one."
        )
    sizes = sorted(advice.points["batch_size"].unique())
    if chosen["batch_size"] in (sizes[0], sizes[-1]):
        end = "smallest" if chosen["batch_size"] == sizes[0] else "largest"
        found.append(f"Batch size {chosen['batch_size']} is the {end} tried.")
    if not advice.goal:
        found += _about_seeds(trials, best, top, margin)
        rising = [
            f"{_point(row)} (+{row['gain']:.2f} points)"
            for row in best
            if row["gain"] > margin
        ]
        if rising:
            found.append(
                "Not flat yet: towards the end of training these still gained: "
                f"{'; '.join(rising)}. A longer budget may change the order."
            )
        if any(row["gain"] != row["gain"] for row in best):
            found.append("Too few measured epochs to tell whether curves are flat.")
    diverged = _rows(advice.points[advice.points["num_diverged"] > 0])
    if diverged:
        who = "; ".join(map(_point, diverged))
        found.append(f"Diverged with some seed, and so not considered: {who}.")
    missing = trials[~trials["status"].isin(["complete", "diverged"])]
    if len(missing):
        found.append(f"{len(missing)} of {len(trials)} trials have not ended.")
    if len(trials[["device", "num_threads"]].dropna().drop_duplicates()) > 1:
        found.append("Trials ran on different devices: their seconds do not compare.")
    return found


def _about_seeds(
    trials: pd.DataFrame, best: list[Row], top: Row, margin: float
) -> list[str]:
    """Say what the seeds cannot tell, and how many would tell a difference."""
    num_seeds = min(row["num_seeds"] for row in best)
    if num_seeds < 2:
        return [
            "One seed: luck cannot be told from a difference; give --seeds 3 or more."
        ]
    needed = 0
    for row in best:
        mean, lower, upper, num = paired(trials, row, top)
        if _same(row, top) or num < 2 or not lower <= 0 <= upper:
            continue
        if -margin <= lower and upper <= margin:  # whatever it is, it makes no odds
            continue
        half = (upper - mean) / stats.t.ppf(0.5 + CONFIDENCE / 2, num - 1)
        needed = max(needed, _num_seeds(half * num**0.5, max(abs(mean), margin), num))
    if not needed:
        return []
    return [
        f"Too few seeds: with {num_seeds} some of these differences may be luck; it "
        f"takes about {needed}, or more, to tell them, or {margin:g} points, from 0."
    ]


def _num_seeds(deviation: float, size: float, num: int) -> int:
    """Return how many pairs give an interval of half-width `size`: more than `num`."""
    for more in range(num + 1, MAX_SEEDS):
        if half_width(deviation, more) <= size:
            return more
    return MAX_SEEDS


def _about_budget(advice: Advice, best: list[Row], budget: str) -> str:
    if advice.goal:
        return f"Trials ended at {_goal(advice)}: what they could reach is not known."
    by_size = sorted(best, key=lambda row: int(row["batch_size"]))
    small, large = by_size[0], by_size[-1]
    said = f"All trials had {budget}"
    if small["batch_size"] == large["batch_size"]:
        return f"{said}; with no rate did trials of other batch sizes get there."
    if budget.endswith("steps"):
        times = large["batch_size"] / small["batch_size"]
        sizes = f"batch size {large['batch_size']} saw {times:g} times the samples"
        return f"{said}: {sizes} of {small['batch_size']}."
    if " s, at most" in budget:
        seconds = float(budget.split(" s")[0])
        ended = advice.trials[advice.trials["status"] == "complete"]
        short = int((ended["final_training_seconds"] < seconds).sum())
        before = f" {short} of them had no epochs left before that." if short else ""
        return f"{said}, on this hardware: on other it may differ.{before}"
    return (
        f"{said}: {small['steps']:,.0f} steps at batch size {small['batch_size']}, "
        f"{large['steps']:,.0f} at {large['batch_size']}. With equal steps, or equal "
        "time, the answer may differ."
    )


def _rows(points: pd.DataFrame) -> list[Row]:
    return [{str(k): v for k, v in row.items()} for row in points.to_dict("records")]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _same(one: Row, other: Row) -> bool:
    return all(one[name] == other[name] for name in POINT)


def _point(row: Row) -> str:
    said = f"batch size {row['batch_size']} at learning rate {row['learning_rate']:g}"
    return said + (f" ({row['setting']})" if row["setting"] else "")


def _accuracy(row: Row) -> str:
    if row["num_seeds"] < 2:
        return f"{row['mean']:.2f} % test accuracy (one seed)"
    return (
        f"{row['mean']:.2f} % test accuracy ({row['lower']:.2f} to {row['upper']:.2f}, "
        f"{row['num_seeds']} seeds)"
    )


def _effort(row: Row) -> str:
    return f"in {_seconds(row['seconds'])} of training and {row['steps']:,.0f} steps"


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 100 else f"{seconds:.3g} s"


def _difference(found: tuple[float, float, float, int]) -> str:
    mean, lower, upper, num = found
    if num < 2:
        return f"{mean:+.2f} points"
    return f"{mean:+.2f} points, {lower:+.2f} to {upper:+.2f}"
