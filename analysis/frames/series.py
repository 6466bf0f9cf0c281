"""Frames for charts: a row per point of a line."""

import numpy as np
import pandas as pd

from analysis.metrics import METRICS
from raybs.config.status import Status

PANELS = ("train_accuracy", "test_accuracy", "train_loss", "test_loss")
"""The article's four metrics."""

SCALES = {name: METRICS[name].scale for name in PANELS}
"""What the means of `curves` lie between, by metric."""


def curves(history: pd.DataFrame) -> pd.DataFrame:
    """Return the article's four metrics, one row per trial, epoch and metric.

    Columns: label, seed, metric, epoch, value; accuracies in per cent. With
    `last_epochs` epochs count from the start of that window. The row before
    training is left out: its loss and accuracy would flatten the rest.
    """
    shown = _windowed(history[history["status"] != Status.DIVERGED])
    for name in PANELS:
        shown[name] *= METRICS[name].factor
    long = shown.melt(
        ["label", "seed", "epoch"], list(PANELS), var_name="metric", value_name="value"
    )
    return long[["label", "seed", "metric", "epoch", "value"]]


def distances(history: pd.DataFrame) -> pd.DataFrame:
    """Return distances from init, one row per trial and epoch.

    Columns: label, seed, panel, epoch, value. A panel is what shares axes:
    an optimizer, and epochs of the same order of magnitude.
    """
    shown = history[history["status"] != Status.DIVERGED].copy()
    shortest = shown["num_epochs"].min()
    long_ones = shown["num_epochs"] > 4 * shortest
    kind = np.where(long_ones, "long", "short")
    most = shown.groupby([shown["optimizer"], kind])["num_epochs"].transform("max")
    shown["panel"] = shown["optimizer"] + ", " + most.astype(str) + " epochs"
    return shown.rename(columns={"weight_distance": "value"})[
        ["label", "seed", "panel", "epoch", "value"]
    ]


def divergences(history: pd.DataFrame) -> pd.DataFrame:
    """Return where trials diverged, in epochs as in `curves`: label, seed, epoch."""
    ends = _windowed(history[history["status"] == Status.DIVERGED])
    return ends[["label", "seed", "epoch"]]


def _windowed(history: pd.DataFrame) -> pd.DataFrame:
    """Count epochs from the start of the last `last_epochs`; drop what lies before."""
    window = history["last_epochs"].astype(float).fillna(np.inf)
    skipped = (history["num_epochs"] - window).clip(lower=0)
    shown = history.assign(epoch=history["epoch"] - skipped.astype(int))
    return shown[(shown["epoch"] >= 0) & (history["epoch"] > 0)].copy()
