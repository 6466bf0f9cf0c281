"""Moments of draws and of their entries, by bootstrap over sample sets."""

from typing import Any

import numpy as np
import pandas as pd

from analysis.frames.draws import GROUP, Array
from analysis.statistics.intervals import bootstrap_interval

THRESHOLDS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""For the tails: powers of two are edges of the histogram's bins."""

NUM_RESAMPLES = 2000


def summarize_draws(draws: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the moments of `column` per regime and batch size, with intervals.

    Columns: regime, batch_size, num_draws; mean, deviation, relative_deviation, each
    with _lower and _upper (95 %, bootstrap over sample sets); skew, kurtosis (excess,
    0 for a normal distribution); normalized_mean and normalized_deviation, which are
    times mean(largest batch size) / mean, the article's bars.
    """
    from scipy import stats  # takes half a second

    resampled = resample(draws, column)
    rows = []
    for (regime, batch_size), values in draws.groupby(GROUP, sort=False)[column]:
        means, deviations = resampled[regime, batch_size]
        # One step is straight: 1 in every draw, up to the last digit.
        varied = values.std(ddof=0) > 1e-6 * abs(values.mean())
        row = {
            "regime": regime,
            "batch_size": batch_size,
            "num_draws": len(values),
            "skew": stats.skew(values) if varied else np.nan,
            "kurtosis": stats.kurtosis(values) if varied else np.nan,
        }
        quantities = {
            "mean": (values.mean(), means),
            "deviation": (values.std(ddof=0), deviations),
            "relative_deviation": (
                values.std(ddof=0) / values.mean(),
                deviations / means,
            ),
        }
        for name, (value, bootstrap) in quantities.items():
            row[name] = value
            row[f"{name}_lower"], row[f"{name}_upper"] = bootstrap_interval(bootstrap)
        rows.append(row)
    summary = pd.DataFrame(rows, columns=None if rows else SUMMARY)
    largest = summary.sort_values("batch_size").groupby("regime")["mean"].last()
    scale = summary["regime"].map(largest) / summary["mean"]
    summary["normalized_mean"] = summary["mean"] * scale
    summary["normalized_deviation"] = summary["deviation"] * scale
    return summary


SUMMARY = [
    *GROUP, "num_draws", "skew", "kurtosis",
    *("mean", "mean_lower", "mean_upper"),
    *("deviation", "deviation_lower", "deviation_upper"),
    *("relative_deviation", "relative_deviation_lower", "relative_deviation_upper"),
]  # fmt: skip


def summarize_entries(histogram: pd.DataFrame) -> pd.DataFrame:
    """Return what histograms of entries say: one row per regime and batch size.

    Columns: regime, batch_size, num_draws, deviation, kurtosis (excess; from the
    middles of bins of at most 0.8 %), and beyond_T: how many entries a draw are larger
    than T by magnitude, exact, for T in THRESHOLDS.
    """
    rows = []
    for (regime, batch_size), cell in histogram.groupby(GROUP, sort=False):
        counts = cell["count"].to_numpy(float)
        middle = ((cell["lower"] + cell["upper"]) / 2).to_numpy()
        inner = cell[["lower", "upper"]].abs().to_numpy().min(1)
        mean = np.average(middle, weights=counts)
        second = np.average((middle - mean) ** 2, weights=counts)
        fourth = np.average((middle - mean) ** 4, weights=counts)
        num_draws = int(cell["num_draws"].iloc[0])
        row = {
            "regime": regime,
            "batch_size": batch_size,
            "num_draws": num_draws,
            "deviation": np.sqrt(second),
            "kurtosis": fourth / second**2 - 3 if second else np.nan,
        }
        for threshold in THRESHOLDS:
            beyond = counts[inner >= threshold].sum()
            row[f"beyond_{threshold:g}"] = beyond / num_draws
        rows.append(row)
    names = [f"beyond_{threshold:g}" for threshold in THRESHOLDS]
    columns = [*GROUP, "num_draws", "deviation", "kurtosis", *names]
    return pd.DataFrame(rows, columns=columns)


def resample(
    draws: pd.DataFrame, column: str
) -> dict[tuple[Any, ...], tuple[Array, Array]]:
    """Return NUM_RESAMPLES means and deviations by regime and batch size.

    All cells share the resampled sample sets, since they share the sets: differences
    and fits keep what cells have in common.
    """
    resampled: dict[tuple[Any, ...], tuple[Array, Array]] = {}
    if draws.empty:
        return resampled
    sets, codes = np.unique(draws["sample_set"].to_numpy(), return_inverse=True)
    rng = np.random.default_rng(0)
    shares = [1 / len(sets)] * len(sets)
    weights = rng.multinomial(len(sets), shares, NUM_RESAMPLES).astype(float)
    positions = pd.Series(codes, index=draws.index)
    for cell, values in draws.groupby(GROUP, sort=False)[column]:
        places = positions.loc[values.index].to_numpy()
        whole = np.array_equal(places, np.arange(len(sets)))
        picked = weights if whole else weights[:, places]
        total = np.maximum(picked.sum(1), 1)
        # Around the mean: squares of large numbers would leave no digits.
        centered = values.to_numpy(float) - values.mean()
        means = picked @ centered / total
        squares = picked @ centered**2 / total
        deviations = np.sqrt(np.maximum(squares - means**2, 0))
        regime, batch_size = cell
        resampled[regime, batch_size] = (means + values.mean(), deviations)
    return resampled
