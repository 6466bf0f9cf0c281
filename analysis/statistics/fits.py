"""Powers of the batch size that norms of draws follow, or do not, with intervals."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.frames.draws import Array
from analysis.statistics.intervals import bootstrap_interval
from analysis.statistics.moments import resample


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
            values = np.array(
                [float(quantity(v.mean(), v.std())) for v in regime.values]
            )
            if (values <= 0).any():
                continue
            slope, intercept = np.polyfit(x, np.log(values), 1)
            resampled = quantity(regime.means, regime.deviations)
            # Of few draws a resample may hold one alone, which has no deviation.
            positive = np.where(resampled > 0, resampled, np.nan)
            lower, upper = bootstrap_interval(slopes(x, np.log(positive)))
            rows.append(
                {
                    "regime": regime.name,
                    "quantity": name,
                    "exponent": slope,
                    "lower": lower,
                    "upper": upper,
                    "factor": np.exp(intercept),
                    "r2": _r2(np.log(values), intercept + slope * x),
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

        lower, upper = bootstrap_interval(bend(regime.means**2))
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
    resampled = resample(draws, column)
    for regime, cell in draws.groupby("regime", sort=False):
        sizes = np.unique(cell["batch_size"].to_numpy(int))
        if len(sizes) > 2:
            moments = [resampled[regime, size] for size in sizes]
            yield _Regime(
                name=str(regime),
                sizes=sizes.astype(float),
                values=[
                    cell.loc[cell["batch_size"] == size, column].to_numpy(float)
                    for size in sizes
                ],
                means=np.stack([means for means, _ in moments], 1),
                deviations=np.stack([deviations for _, deviations in moments], 1),
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


def _r2(values: Array, fitted: Array) -> float:
    total = ((values - values.mean()) ** 2).sum()
    return float(1 - ((values - fitted) ** 2).sum() / total) if total else np.nan
