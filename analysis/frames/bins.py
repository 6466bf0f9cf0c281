"""Histograms over draws, in bins for charts."""

import numpy as np
import pandas as pd

from analysis.frames.draws import GROUP, Array

NUM_BINS = 60
"""Of a drawn histogram."""


def bin_norms(draws: pd.DataFrame, column: str, *, normalized: bool) -> pd.DataFrame:
    """Return histograms of `column`, one per regime and batch size, in shared bins.

    Columns: regime, batch_size, lower, upper, share (of the cell's draws). `normalized`
    scales every cell to the mean of the regime's largest batch size. Bins span all
    cells of a regime.
    """
    rows = []
    for regime, cell in draws.groupby("regime", sort=False):
        values = cell[column]
        if normalized:
            means = cell.groupby("batch_size")[column].mean()
            values = (
                values * means.loc[means.index.max()] / cell["batch_size"].map(means)
            )
        bins = np.linspace(values.min(), values.max(), NUM_BINS + 1)
        if bins[0] == bins[-1]:
            bins = np.array([bins[0] * 0.99, bins[0] * 1.01])
        for batch_size, group in values.groupby(cell["batch_size"]):
            shares = np.histogram(group, bins)[0] / len(group)
            rows.append(_bars(regime, batch_size, bins, share=shares))
    return _joined(rows, "share")


def bin_entries(histogram: pd.DataFrame) -> pd.DataFrame:
    """Return the entries' histograms in equal bins, shared by all batch sizes.

    Columns: regime, batch_size, lower, upper, count. Stored bins are at most 0.8 % wide
    relative to their value; each goes where its middle lies.
    """
    rows = []
    for regime, cell in histogram.groupby("regime", sort=False):
        largest = float(cell[["lower", "upper"]].abs().to_numpy().max())
        bins = np.linspace(-largest, largest, NUM_BINS + 2)  # 0 in the middle
        for batch_size, group in cell.groupby("batch_size"):
            middle = (group["lower"] + group["upper"]) / 2
            counts, _ = np.histogram(middle, bins, weights=group["count"])
            whole = counts.astype(np.int64)
            rows.append(_bars(regime, batch_size, bins, count=whole))
    return _joined(rows, "count")


def _bars(
    regime: object, batch_size: object, bins: Array, **heights: Array
) -> pd.DataFrame:
    """Return the bins of one cell that are not empty, with their height by its name."""
    [(name, values)] = heights.items()
    cell = {"regime": regime, "batch_size": batch_size}
    bars = {"lower": bins[:-1], "upper": bins[1:], name: values}
    return pd.DataFrame({**cell, **bars})[values > 0]


def _joined(rows: list[pd.DataFrame], name: str) -> pd.DataFrame:
    columns = [*GROUP, "lower", "upper", name]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)
