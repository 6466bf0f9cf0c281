"""What the trials of an advice cannot tell."""

import math

import pandas as pd

from analysis.advice.compare import Advice
from analysis.advice.phrases import goal_of, point_of
from analysis.advice.pick import paired, same
from analysis.advice.points import PointRow, rows_of
from analysis.frames.trials import ENDED
from analysis.statistics.intervals import half_width
from raybs.config.status import Status

MAX_SEEDS = 1000
"""Where counting ends: more are not worth it."""


def limits_of(
    advice: Advice, best: list[PointRow], chosen: PointRow, top: PointRow, margin: float
) -> list[str]:
    """Say what an advice does not know."""
    limits = _about_grid(advice, best, chosen)
    if not advice.goal:
        limits += _about_seeds(advice.trials, best, top, margin)
        limits += _about_gains(best, margin)
    return limits + _about_trials(advice)


def _about_grid(advice: Advice, best: list[PointRow], chosen: PointRow) -> list[str]:
    """Say where the best lies on the edge of what was tried."""
    limits = []
    for edge, where in (("highest", "higher"), ("lowest", "lower")):
        at_edge = [point_of(row) for row in best if row["at_edge"] == edge]
        if at_edge:
            limits.append(
                f"On the edge of the grid: the best rate is the {edge} tried for "
                f"{'; '.join(at_edge)}. Try {where} ones: these may do better."
            )
    alone = sorted({row["batch_size"] for row in best if row["at_edge"] == "only"})
    if alone:
        limits.append(
            f"One learning rate was tried for batch size {', '.join(map(str, alone))}: "
            "it need not be the best one."
        )
    sizes = sorted(advice.points["batch_size"].unique())
    if chosen["batch_size"] in (sizes[0], sizes[-1]):
        end = "smallest" if chosen["batch_size"] == sizes[0] else "largest"
        limits.append(f"Batch size {chosen['batch_size']} is the {end} tried.")
    return limits


def _about_gains(best: list[PointRow], margin: float) -> list[str]:
    """Say which curves were not flat at their end, or cannot be told."""
    limits = []
    rising = [
        f"{point_of(row)} (+{row['gain']:.2f} points)"
        for row in best
        if row["gain"] > margin
    ]
    if rising:
        limits.append(
            "Not flat yet: towards the end of training these still gained: "
            f"{'; '.join(rising)}. A longer budget may change the order."
        )
    if any(math.isnan(row["gain"]) for row in best):
        limits.append("Too few measured epochs to tell whether curves are flat.")
    return limits


def _about_trials(advice: Advice) -> list[str]:
    """Say which trials diverged, or have not ended, and where they ran."""
    limits, trials = [], advice.trials
    diverged = rows_of(advice.points[advice.points["num_diverged"] > 0])
    if diverged:
        who = "; ".join(map(point_of, diverged))
        limits.append(f"Diverged with some seed, and so not considered: {who}.")
    missing = trials[~trials["status"].isin(ENDED)]
    if len(missing):
        limits.append(f"{len(missing)} of {len(trials)} trials have not ended.")
    if len(trials[["device", "num_threads"]].dropna().drop_duplicates()) > 1:
        limits.append("Trials ran on different devices: their seconds do not compare.")
    return limits


def _about_seeds(
    trials: pd.DataFrame, best: list[PointRow], top: PointRow, margin: float
) -> list[str]:
    """Say what the seeds cannot tell, and how many would tell a difference."""
    num_seeds = min(row["num_seeds"] for row in best)
    if num_seeds < 2:
        return [
            "One seed: luck cannot be told from a difference; give --seeds 3 or more."
        ]
    needed = 0
    for row in best:
        apart = paired(trials, row, top)
        if same(row, top) or apart.num < 2 or apart.is_told:
            continue
        # Whatever it is, it makes no difference to the reader.
        if -margin <= apart.lower and apart.upper <= margin:
            continue
        size = max(abs(apart.mean), margin)
        needed = max(needed, _num_seeds(apart.deviation, size, apart.num))
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


def about_budget(advice: Advice, best: list[PointRow], budget: str) -> str:
    """Say what all trials had, and what is not equal by it."""
    if advice.goal:
        return f"Trials ended at {goal_of(advice)}: what they could reach is not known."
    by_size = sorted(best, key=lambda row: row["batch_size"])
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
        ended = advice.trials[advice.trials["status"] == Status.COMPLETE]
        short = int((ended["final_training_seconds"] < seconds).sum())
        before = f" {short} of them had no epochs left before that." if short else ""
        return f"{said}, on this hardware: on other it may differ.{before}"
    return (
        f"{said}: {small['steps']:,.0f} steps at batch size {small['batch_size']}, "
        f"{large['steps']:,.0f} at {large['batch_size']}. With equal steps, or equal "
        "time, the answer may differ."
    )
