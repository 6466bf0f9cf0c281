"""Advice in words: what to do, on what evidence, with which limits."""

import math

from analysis.advice.compare import Advice
from analysis.advice.limits import about_budget, limits_of
from analysis.advice.phrases import (
    accuracy_of,
    difference_of,
    effort_of,
    goal_of,
    listed,
    point_of,
    seconds_of,
)
from analysis.advice.pick import Pick, paired, pick, same
from analysis.advice.points import PointRow, rows_of
from analysis.text import capitalized

MARGIN = 0.2
"""Percentage points of test accuracy that a reader does not care about."""

SCALING = 1.25
"""Times the steps of perfect scaling that still count as scaling."""


def words(advice: Advice, margin: float = MARGIN) -> dict[str, list[str]]:
    """Return sentences by heading: Advice, Evidence, Limits.

    One batch size is advised where it can be told from all others; else all that cannot
    are named, with the one that gets to the target soonest. Accuracies within `margin`
    points of the highest count as equal.
    """
    picked = pick(advice, margin)
    best = rows_of(advice.points[advice.points["best"]])
    goal, trials = advice.goal, advice.trials
    top, chosen = picked.top, picked.chosen
    budget = str(trials["budget"].iloc[0])
    evidence = _comparison(advice, picked)
    for row in best:
        if same(row, chosen) or same(row, top):
            continue
        said = f"{effort_of(row)}"
        if not goal:
            difference = difference_of(paired(trials, row, top))
            said = f"{accuracy_of(row)}, {difference} against {point_of(top)}"
        evidence.append(f"{point_of(row)}: {said}.")
    limits = limits_of(advice, best, chosen, top, margin)
    limits.append(about_budget(advice, best, budget))
    limits.append(
        "Rates and batch sizes are picked by the test accuracy that is reported: on "
        "new data expect slightly less."
    )
    return {
        "Advice": [_headline(advice, picked, budget, margin)],
        "Evidence": [capitalized(text) for text in evidence + _scaling(advice)],
        "Limits": limits,
    }


def _headline(advice: Advice, picked: Pick, budget: str, margin: float) -> str:
    top, chosen = picked.top, picked.chosen
    if advice.goal:
        if picked.is_alone:
            soonest = f"it reaches {goal_of(advice)} soonest, {effort_of(top)}"
            return f"Train with {point_of(top)}: {soonest}."
        soonest = f"reaches {goal_of(advice)} soonest, {effort_of(top)}"
        return f"{capitalized(point_of(top))} {soonest}, but {_ties(picked)}."
    if picked.is_alone and same(top, chosen):
        return (
            f"Train with {point_of(top)}: {accuracy_of(top)} after {budget}"
            f"{_soon(advice, top)}."
        )
    gets_there = f"gets to {advice.target:g} % soonest, after "
    gets_there += f"{seconds_of(chosen['target_seconds'])} of training"
    if picked.is_alone:
        return (
            f"Train with {point_of(chosen)}: {accuracy_of(chosen)} after {budget}, "
            f"within {margin:g} points of the highest. Of all within, it {gets_there}."
        )
    highest = f"{capitalized(point_of(top))} ends highest, with {accuracy_of(top)}"
    said = f"{highest} after {budget}, but {_ties(picked)}."
    if math.isnan(chosen["target_seconds"]):
        return f"{said} None of them gets to {advice.target:g} % with all seeds."
    if same(top, chosen):
        return f"{said} It also {gets_there}."
    is_tied = any(same(row, chosen) for row in picked.tied)
    near = "" if is_tied else f", within {margin:g} points of it,"
    return f"{said} {capitalized(point_of(chosen))}{near} {gets_there}."


def _ties(picked: Pick) -> str:
    """Say which batch sizes the top cannot be told from, by their settings."""
    by_setting: dict[str, set[int]] = {}
    top = (picked.top["setting"], picked.top["batch_size"])
    for row in picked.tied:
        if (row["setting"], row["batch_size"]) != top:
            by_setting.setdefault(row["setting"], set()).add(row["batch_size"])
    named = [
        listed(sorted(sizes)) + (f" ({setting})" if setting else "")
        for setting, sizes in by_setting.items()
    ]
    num_sizes = sum(map(len, by_setting.values()))
    num_seeds = min(row["num_seeds"] for row in picked.tied)
    seeds = "one seed" if num_seeds < 2 else f"{num_seeds} seeds"
    noun = "batch size" if num_sizes == 1 else "batch sizes"
    return f"{seeds} cannot tell it from {noun} {' and '.join(named)}"


def _soon(advice: Advice, row: PointRow) -> str:
    """Say when a point reaches the target, if it does."""
    seconds = row["target_seconds"]
    if math.isnan(seconds):
        return ""
    return f", and {advice.target:g} % after {seconds_of(seconds)} of training"


def _comparison(advice: Advice, picked: Pick) -> list[str]:
    """Say how what is chosen compares with the top, and with what is sooner."""
    trials, top, chosen = advice.trials, picked.top, picked.chosen
    if advice.goal:
        best = rows_of(advice.points[advice.points["best"]])
        fewest = min(best, key=lambda row: row["steps"])
        if same(fewest, chosen):
            return ["It takes the fewest steps, too."]
        return [f"{point_of(fewest)} takes the fewest steps: {effort_of(fewest)}."]
    said = []
    if same(top, chosen):
        said.append("No other is more accurate, each at its own best learning rate.")
    else:
        said.append(
            f"{point_of(top)} is the most accurate: {accuracy_of(top)}"
            f"{_soon(advice, top)}."
        )
        said.append(
            f"{point_of(chosen)} ends with {accuracy_of(chosen)}, "
            f"{difference_of(paired(trials, chosen, top))} against it."
        )
    points = advice.points
    sooner = points[
        (points["target_seconds"] < chosen["target_seconds"])
        & (points["num_diverged"] == 0)
        & (points["mean"] < top["mean"])
    ]
    if len(sooner):
        first = rows_of(sooner.nsmallest(1, "target_seconds"))[0]
        said.append(
            f"{point_of(first)} gets to {advice.target:g} % sooner, after "
            f"{seconds_of(first['target_seconds'])}, but ends lower: "
            f"{difference_of(paired(trials, first, top))} against {point_of(top)}."
        )
    return said


def _scaling(advice: Advice) -> list[str]:
    """Say up to which batch size a larger one takes fewer steps in proportion."""
    sentences = []
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
        sentences.append(f"{goal} {said} (within {SCALING:g} times perfect scaling).")
    tried = advice.points[["setting", "batch_size"]].drop_duplicates()
    there = steps[["setting", "batch_size"]].drop_duplicates()
    pairs = tried.merge(there, how="left", indicator=True)
    lost = pairs[pairs["_merge"] == "left_only"]
    missed = [
        f"batch size {size}" + (f" ({setting})" if setting else "")
        for size, setting in zip(lost["batch_size"], lost["setting"], strict=True)
    ]
    if missed:
        sentences.append(
            f"With no rate did all seeds of {', '.join(missed)} reach "
            f"{advice.target:g} %."
        )
    return sentences
