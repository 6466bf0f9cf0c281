"""Intervals of means over seeds, and of resampled values."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from analysis.frames.draws import Array
from analysis.scales import POSITIVE, Scale

CONFIDENCE = 0.95


def half_width(deviation: Any, num: Any) -> Any:
    """Return how far the interval of a mean of `num` values reaches (Student's t).

    `deviation` is theirs, with num - 1; numbers or arrays. One value gives NaN.
    """
    # As scipy.stats.t.ppf has it, whose import takes half a second of every sweep.
    return special.stdtrit(num - 1, 0.5 + CONFIDENCE / 2) * deviation / num**0.5


def summarize_seeds(
    long: pd.DataFrame, scale: Scale | Mapping[str, Scale] = POSITIVE
) -> pd.DataFrame:
    """Return mean and interval of `value` over seeds, per everything else.

    `scale` is that of `value`; a mapping has one for each `metric`. Columns: those of
    `long` but seed, value; mean, lower, upper (95 % interval of the mean; with one seed
    both equal the mean), num_seeds.
    """
    if isinstance(scale, Mapping):
        groups = long.groupby("metric", sort=False)
        parts = [summarize_seeds(part, scale[str(metric)]) for metric, part in groups]
        return pd.concat(parts, ignore_index=True) if parts else summarize_seeds(long)
    by = [name for name in long.columns if name not in ("seed", "value")]
    grouped = long.groupby(by, sort=False)["value"].agg(["mean", "std", "count"])
    half = half_width(grouped["std"], grouped["count"]).fillna(0.0)
    lower, upper = scale.interval(grouped["mean"], half)
    summary = pd.DataFrame(
        {
            "mean": grouped["mean"],
            "lower": lower,
            "upper": upper,
            "num_seeds": grouped["count"],
        }
    )
    return summary.reset_index()


def bootstrap_interval(values: Array) -> tuple[float, float]:
    """Return the percentiles between which 95 % of resampled values lie."""
    tail = 50 * (1 - CONFIDENCE)
    lower, upper = np.nanpercentile(values, [tail, 100 - tail])
    return float(lower), float(upper)
