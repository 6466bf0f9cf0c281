"""What the variance of a norm is due to: which samples, or their order."""

import numpy as np
import pandas as pd

from analysis.frames.draws import GROUP, Array
from analysis.statistics.intervals import bootstrap_interval
from analysis.statistics.moments import NUM_RESAMPLES
from raybs.config.status import Status


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
    complete = draws[draws["status"] == Status.COMPLETE]
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
        components = [
            (by_sets - both) / num_orders,
            (by_orders - both) / num_sets,
            both,
        ]
        return np.stack([np.maximum(part, 0) for part in components], -1)

    variance = parts(sums / degrees)
    rng = np.random.default_rng(0)
    pivots = parts(sums / rng.chisquare(degrees, (10 * NUM_RESAMPLES, 3)))
    shares = pivots / np.maximum(pivots.sum(1, keepdims=True), np.finfo(float).tiny)
    total = variance.sum() or 1.0
    return {
        part: (
            float(variance[i]),
            float(variance[i] / total),
            *bootstrap_interval(shares[:, i]),
        )
        for i, part in enumerate(PARTS)
    }
