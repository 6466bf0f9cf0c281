"""Which charts a sweep has: name and chart, from its frames."""

from dataclasses import replace

import altair as alt
import pandas as pd

from analysis.charts import directions, histograms, norms
from analysis.charts.curves import distance_from_init, training_curves
from analysis.frames import bins, series
from analysis.frames.draws import ARTICLES_NORM, NORMS, Draws, complete
from analysis.frames.trials import Frames
from analysis.statistics import moments, variance
from analysis.statistics.fits import fit_powers
from analysis.statistics.intervals import summarize_seeds

MAX_LABELS = 24
"""Of lines in one chart: more can be neither told apart nor picked in the legend."""


def figures(frames: Frames) -> dict[str, alt.TopLevelMixin]:
    """Return the charts of one sweep (`analysis.only`) by name, but no empty one.

    Of many configs those are drawn that end with the highest test accuracy.
    """
    title = str(frames.trials["title"].iloc[0])
    num_labels = frames.trials["label"].nunique()
    if num_labels > MAX_LABELS:
        frames = _highest(frames)
        title += f" ({MAX_LABELS} of {num_labels} configs: the highest test accuracy)"
    trials, history = frames.trials, frames.history
    batch_sizes = dict(zip(trials["label"], trials["batch_size"], strict=True))
    last = trials["last_epochs"].iloc[0]
    last_epochs = None if last is None or last != last else int(last)
    diverged = series.divergences(history)
    charts: dict[str, alt.TopLevelMixin] = {}
    curves = series.curves(history)
    if len(curves) or len(diverged):
        charts["curves"] = training_curves(
            curves,
            summarize_seeds(curves, series.SCALES),
            diverged,
            batch_sizes,
            title,
            last_epochs,
        )
    moved = series.distances(history)
    if len(moved):
        charts["distance"] = distance_from_init(
            moved, summarize_seeds(moved), diverged, batch_sizes, title
        )
    return charts


def draw_figures(drawn: Draws) -> dict[str, alt.TopLevelMixin]:
    """Return the charts of a gradient sweep by name, but no empty one.

    Fifteen thousand draws are binned and reduced before any chart sees them.
    """
    draws, title = complete(drawn), drawn.title
    charts = _norm_charts(drawn, draws) if len(draws) else {}
    if len(drawn.histogram):
        num_draws = int(drawn.histogram["num_draws"].max())
        entries = bins.bin_entries(drawn.histogram)
        charts["entries"] = histograms.entries(entries, title, num_draws)
    split = variance.split_variance(drawn.draws, ARTICLES_NORM)
    if len(split):
        charts["split"] = directions.variance_split(split, ARTICLES_NORM, title)
    return charts


def _norm_charts(drawn: Draws, draws: pd.DataFrame) -> dict[str, alt.TopLevelMixin]:
    """Return the charts of norms and directions of the `draws` that are complete."""
    column, title = ARTICLES_NORM, drawn.title
    columns = [*NORMS, *directions.DIRECTIONS]
    summaries = {
        name: norms.with_bars(moments.summarize_draws(draws, name)) for name in columns
    }
    summary = summaries[column]
    fits = fit_powers(draws, column)
    of_means = fits[fits["quantity"] == "mean"]
    norm_rows = {
        name: histograms.distributions(
            bins.bin_norms(draws, column, normalized=normalized),
            column,
            title,
            normalized=normalized,
        )
        for name, normalized in (("norm_rows", True), ("norm_rows_raw", False))
    }
    return {
        "norms": norms.norms_by_batch_size(
            summary,
            norms.fit_lines(of_means, summary, square_root=True),
            drawn.cells[drawn.cells["diverged"] > 0],
            column,
            title,
            _weights(drawn.sweep.layers),
        ),
        "normalized": norms.normalized_norms(summary, column, title),
        **norm_rows,
        "spread": norms.spread_by_batch_size(
            summary, norms.fit_lines(fits, summary), column, title
        ),
        "three_norms": directions.three_norms(
            {name: summaries[name] for name in NORMS}, title
        ),
        "direction": directions.directions(
            {name: summaries[name] for name in directions.DIRECTIONS}, title
        ),
    }


def _weights(layers: tuple[int, ...]) -> str:
    if layers == (-1,):
        return "weights of the last layer"
    return f"weights of layers {', '.join(map(str, layers))}"


def _highest(frames: Frames) -> Frames:
    """Return the trials of the MAX_LABELS labels of highest mean test accuracy."""
    ends = frames.trials.groupby("label", sort=False)["final_test_accuracy"].mean()
    labels = ends.fillna(-1.0).nlargest(MAX_LABELS, keep="first").index
    return replace(
        frames,
        trials=frames.trials[frames.trials["label"].isin(labels)],
        history=frames.history[frames.history["label"].isin(labels)],
    )
