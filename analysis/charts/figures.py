"""Which charts a sweep has: name and chart, from its frames."""

from dataclasses import replace

import altair as alt

from analysis.charts import directions, histograms, norms
from analysis.charts.curves import distance_from_init, training_curves
from analysis.frames import bins, series
from analysis.frames import draws as drawn
from analysis.frames.trials import Frames
from analysis.statistics import moments, variance
from analysis.statistics.fits import fit_powers
from analysis.statistics.intervals import summarize

MAX_LABELS = 24
"""Of lines in one chart: more can be neither told apart nor found in the legend."""


def figures(found: Frames) -> dict[str, alt.TopLevelMixin]:
    """Return the charts of one sweep (`analysis.only`) by name, but no empty one.

    Of many configs those are drawn that end with the highest test accuracy.
    """
    title = str(found.trials["title"].iloc[0])
    num_labels = found.trials["label"].nunique()
    if num_labels > MAX_LABELS:
        found = _highest(found)
        title += f" ({MAX_LABELS} of {num_labels} configs: the highest test accuracy)"
    trials, history = found.trials, found.history
    batch_sizes = dict(zip(trials["label"], trials["batch_size"], strict=True))
    last = trials["last_epochs"].iloc[0]
    last_epochs = None if last is None or last != last else int(last)
    diverged = series.divergences(history)
    charts: dict[str, alt.TopLevelMixin] = {}
    curves = series.curves(history)
    if len(curves) or len(diverged):
        charts["curves"] = training_curves(
            curves,
            summarize(curves, series.SCALES),
            diverged,
            batch_sizes,
            title,
            last_epochs,
        )
    moved = series.distances(history)
    if len(moved):
        charts["distance"] = distance_from_init(
            moved, summarize(moved), diverged, batch_sizes, title
        )
    return charts


def draw_figures(found: drawn.Draws) -> dict[str, alt.TopLevelMixin]:
    """Return the charts of a gradient sweep by name, but no empty one.

    Fifteen thousand draws are binned and reduced before any chart sees them.
    """
    column = drawn.ARTICLES_NORM
    draws, title = drawn.complete(found), found.title
    charts: dict[str, alt.TopLevelMixin] = {}
    if len(draws):
        columns = [*drawn.NORMS, *directions.DIRECTIONS]
        summaries = {
            name: norms.with_bars(moments.summarize(draws, name)) for name in columns
        }
        summary = summaries[column]
        fits = fit_powers(draws, column)
        means = fits[fits["quantity"] == "mean"]
        diverged = found.cells[found.cells["diverged"] > 0]
        charts["norms"] = norms.norms_by_batch_size(
            summary,
            norms.fit_lines(means, summary, square_root=True),
            diverged,
            column,
            title,
            _weights(found.sweep.layers),
        )
        charts["normalized"] = norms.normalized_norms(summary, column, title)
        for name, normalized in (("norm_rows", True), ("norm_rows_raw", False)):
            counts = bins.bin_norms(draws, column, normalized=normalized)
            charts[name] = histograms.distributions(
                counts, column, title, normalized=normalized
            )
        charts["spread"] = norms.spread_by_batch_size(
            summary, norms.fit_lines(fits, summary), column, title
        )
        charts["three_norms"] = directions.three_norms(
            {name: summaries[name] for name in drawn.NORMS}, title
        )
        charts["direction"] = directions.directions(
            {name: summaries[name] for name in directions.DIRECTIONS}, title
        )
    if len(found.histogram):
        num_draws = int(found.histogram["num_draws"].max())
        charts["entries"] = histograms.entries(
            bins.bin_entries(found.histogram), title, num_draws
        )
    split = variance.split_variance(found.draws, column)
    if len(split):
        charts["split"] = directions.variance_split(split, column, title)
    return charts


def _weights(layers: tuple[int, ...]) -> str:
    if layers == (-1,):
        return "weights of the last layer"
    return f"weights of layers {', '.join(map(str, layers))}"


def _highest(found: Frames) -> Frames:
    """Return the trials of the MAX_LABELS labels of highest mean test accuracy."""
    ends = found.trials.groupby("label", sort=False)["final_test_accuracy"].mean()
    labels = ends.fillna(-1.0).nlargest(MAX_LABELS, keep="first").index
    return replace(
        found,
        trials=found.trials[found.trials["label"].isin(labels)],
        history=found.history[found.history["label"].isin(labels)],
    )
