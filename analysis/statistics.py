"""What draws say: moments and fits with intervals, tails, what the variance is due to.

Intervals are 95 %, by bootstrap over sample sets unless said otherwise.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.draws import GROUP, Array
from analysis.intervals import CONFIDENCE

THRESHOLDS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""For the tails: powers of two are edges of the histogram's bins."""

NUM_RESAMPLES = 2000


def summarize(draws: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the moments of `column` per regime and batch size, with intervals.

    Columns: regime, batch_size, num_draws; mean, deviation, relative_deviation, each
    with _lower and _upper (95 %, bootstrap over sample sets); skew, kurtosis (excess,
    0 for a normal distribution); normalized_mean and normalized_deviation, which are
    times mean(largest batch size) / mean, the article's bars.
    """
    resampled = _resample(draws, column)
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
            row[f"{name}_lower"], row[f"{name}_upper"] = _interval(bootstrap)
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


def fit_powers(draws: pd.DataFrame, column: str) -> pd.DataFrame:
    """Fit powers of the batch size: least squares of logarithms, per regime.

    One row per regime and quantity (mean, deviation, relative deviation of `column`):
    exponent, lower, upper (95 %, the same bootstrap), factor (the value at batch size
    1), r2. The article's square root is the exponent 0.5 of the mean. Regimes with
    fewer than three batch sizes have none.
    """
    quantities: dict[str, Callable[[Array, Array], Array]] = {
        "mean": lambda mean, deviation: mean,
        "deviation": lambda mean, deviation: deviation,
        "relative deviation": lambda mean, deviation: deviation / mean,
    }
    rows = []
    for regime in _regimes(draws, column):
        x = np.log(regime.sizes)
        for name, quantity in quantities.items():
            found = np.array(
                [float(quantity(v.mean(), v.std())) for v in regime.values]
            )
            if (found <= 0).any():
                continue
            slope, intercept = np.polyfit(x, np.log(found), 1)
            resampled = quantity(regime.means, regime.deviations)
            # Of few draws a resample may hold one alone, which has no deviation.
            positive = np.where(resampled > 0, resampled, np.nan)
            lower, upper = _interval(slopes(x, np.log(positive)))
            rows.append(
                {
                    "regime": regime.name,
                    "quantity": name,
                    "exponent": slope,
                    "lower": lower,
                    "upper": upper,
                    "factor": np.exp(intercept),
                    "r2": _r2(np.log(found), intercept + slope * x),
                }
            )
    return pd.DataFrame(rows, columns=None if rows else FITS)


FITS = ["regime", "quantity", "exponent", "lower", "upper", "factor", "r2"]


def fit_squares(draws: pd.DataFrame, column: str) -> pd.DataFrame:
    """Ask whether the squared mean of `column` is linear in the batch size, per regime.

    Fits a + c b + d b^2: `bend` is d b / c at the largest batch size, 0 where it is
    linear, with its 95 % interval (lower, upper); `r2` is that of a + c b alone.
    Source: article, "the relationship between batch size and the squared gradient norm
    is linear".
    """
    rows = []
    for regime in _regimes(draws, column):
        sizes = regime.sizes
        squares = np.array([v.mean() ** 2 for v in regime.values])
        basis = np.stack([np.ones_like(sizes), sizes, sizes**2], 1)

        def bend(values: Array, basis: Array = basis) -> Array:
            _, c, d = np.linalg.lstsq(basis, values.T, rcond=None)[0]
            return np.asarray(d * basis[:, 1].max() / c)

        lower, upper = _interval(bend(regime.means**2))
        line = np.polynomial.Polynomial.fit(sizes, squares, 1)
        rows.append(
            {
                "regime": regime.name,
                "r2": _r2(squares, line(sizes)),
                "bend": float(bend(squares)),
                "lower": lower,
                "upper": upper,
            }
        )
    return pd.DataFrame(rows, columns=["regime", "r2", "bend", "lower", "upper"])


def split_variance(draws: pd.DataFrame, column: str) -> pd.DataFrame:
    """Split the variance of `column` in crossed draws: samples, order, interaction.

    Two random factors, crossed, one draw each: components by the method of moments,
    cut at 0, `share` of their sum, with a 95 % generalized interval (Weerahandi 1993,
    which takes the effects as normal). An order is a permutation of positions, which
    means nothing by itself to other samples: what the order of *these* samples does is
    the interaction. Only whole grids of complete draws; columns: regime, batch_size,
    num_sets, num_orders, part, variance, share, lower, upper.
    """
    rows = []
    complete = draws[draws["status"] == "complete"]
    for (regime, batch_size), cell in complete.groupby(GROUP, sort=False):
        grid = cell.pivot(index="sample_set", columns="order", values=column)
        # The independent draws lie on the diagonal, most of them beyond the grid.
        crossed = cell[~cell["independent"]]
        grid = grid.loc[
            grid.index.isin(crossed["sample_set"]), grid.columns.isin(crossed["order"])
        ]
        if min(grid.shape) < 2 or grid.isna().to_numpy().any():
            continue
        parts = _components(grid.to_numpy(float))
        for part, (variance, share, lower, upper) in parts.items():
            rows.append(
                {
                    "regime": regime,
                    "batch_size": batch_size,
                    "num_sets": grid.shape[0],
                    "num_orders": grid.shape[1],
                    "part": part,
                    "variance": variance,
                    "share": share,
                    "lower": lower,
                    "upper": upper,
                }
            )
    return pd.DataFrame(rows, columns=SPLIT)


SPLIT = [
    *GROUP, "num_sets", "num_orders", "part", "variance", "share", "lower", "upper",
]  # fmt: skip
PARTS = ("samples", "order", "interaction")


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


def _resample(
    draws: pd.DataFrame, column: str
) -> dict[tuple[Any, ...], tuple[Array, Array]]:
    """Return NUM_RESAMPLES means and deviations by regime and batch size.

    All cells share the resampled sample sets, since they share the sets: differences
    and fits keep what cells have in common.
    """
    found: dict[tuple[Any, ...], tuple[Array, Array]] = {}
    if draws.empty:
        return found
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
        found[regime, batch_size] = (means + values.mean(), deviations)
    return found


@dataclass(frozen=True, kw_only=True)
class _Regime:
    """Batch sizes of one regime, ascending: values of each, and what was resampled."""

    name: str
    sizes: Array
    values: list[Array]
    means: Array  # (resamples, sizes)
    deviations: Array


def _regimes(draws: pd.DataFrame, column: str) -> Iterator[_Regime]:
    """Yield the regimes of three batch sizes or more: less gives no fit."""
    resampled = _resample(draws, column)
    for regime, cell in draws.groupby("regime", sort=False):
        sizes = np.unique(cell["batch_size"].to_numpy(int))
        if len(sizes) > 2:
            found = [resampled[regime, size] for size in sizes]
            yield _Regime(
                name=str(regime),
                sizes=sizes.astype(float),
                values=[
                    cell.loc[cell["batch_size"] == size, column].to_numpy(float)
                    for size in sizes
                ],
                means=np.stack([means for means, _ in found], 1),
                deviations=np.stack([deviations for _, deviations in found], 1),
            )


def power_values(sizes: Array, values: Array) -> Array:
    """Return a value per draw whose mean is the exponent of `fit_powers`' means.

    `values` are (draws, batch sizes). The jackknife's pseudo-values (Tukey 1958):
    n times the exponent of all draws, less n - 1 times that without one. So the
    exponent that a claim is about and the one that a chart shows are one number.
    """
    num, x = len(values), np.log(sizes)
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = slopes(x, np.log(values.mean(0))[None])
        if num < 2:
            return whole
        others = (values.sum(0) - values) / (num - 1)
        return np.asarray(num * whole - (num - 1) * slopes(x, np.log(others)))


def slopes(x: Array, y: Array) -> Array:
    """Return the least-squares slope of every row of `y` (rows, points) against `x`."""
    centered = x - x.mean()
    return np.asarray(y @ centered / (centered @ centered))


def _interval(values: Array) -> tuple[float, float]:
    tail = 50 * (1 - CONFIDENCE)
    lower, upper = np.nanpercentile(values, [tail, 100 - tail])
    return float(lower), float(upper)


def _r2(values: Array, fitted: Array) -> float:
    total = ((values - values.mean()) ** 2).sum()
    return float(1 - ((values - fitted) ** 2).sum() / total) if total else np.nan


def _components(grid: Array) -> dict[str, tuple[float, float, float, float]]:
    """Return variance, share and its interval of each of PARTS; grid (sets, orders)."""
    num_sets, num_orders = grid.shape
    mean = grid.mean()
    rows, columns = grid.mean(1) - mean, grid.mean(0) - mean
    rest = grid - mean - rows[:, None] - columns
    sums = np.array(
        [
            num_orders * (rows**2).sum(),
            num_sets * (columns**2).sum(),
            (rest**2).sum(),
        ]
    )
    degrees = np.array(
        [num_sets - 1, num_orders - 1, (num_sets - 1) * (num_orders - 1)]
    )

    def parts(squares: Array) -> Array:
        by_sets, by_orders, both = squares[..., 0], squares[..., 1], squares[..., 2]
        found = [(by_sets - both) / num_orders, (by_orders - both) / num_sets, both]
        return np.stack([np.maximum(part, 0) for part in found], -1)

    variance = parts(sums / degrees)
    rng = np.random.default_rng(0)
    pivots = parts(sums / rng.chisquare(degrees, (10 * NUM_RESAMPLES, 3)))
    shares = pivots / np.maximum(pivots.sum(1, keepdims=True), np.finfo(float).tiny)
    total = variance.sum() or 1.0
    return {
        part: (float(variance[i]), float(variance[i] / total), *_interval(shares[:, i]))
        for i, part in enumerate(PARTS)
    }
