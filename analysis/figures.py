"""Which charts a sweep has: name and chart, from its frames."""

from dataclasses import replace

import altair as alt

from analysis import frames
from analysis.curves import training_curves
from analysis.distance import distance_from_init

MAX_LABELS = 24
"""Of lines in one chart: more can be neither told apart nor found in the legend."""


def figures(found: frames.Frames) -> dict[str, alt.TopLevelMixin]:
    """Return the charts of one sweep (`frames.only`) by name, but no empty one.

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
    diverged = frames.divergences(history)
    charts: dict[str, alt.TopLevelMixin] = {}
    curves = frames.curves(history)
    if len(curves) or len(diverged):
        charts["curves"] = training_curves(
            curves, frames.summarize(curves), diverged, batch_sizes, title, last_epochs
        )
    moved = frames.distances(history)
    if len(moved):
        charts["distance"] = distance_from_init(
            moved, frames.summarize(moved), diverged, batch_sizes, title
        )
    return charts


def _highest(found: frames.Frames) -> frames.Frames:
    """Return the trials of the MAX_LABELS labels of highest mean test accuracy."""
    ends = found.trials.groupby("label", sort=False)["final_test_accuracy"].mean()
    labels = ends.fillna(-1.0).nlargest(MAX_LABELS, keep="first").index
    return replace(
        found,
        trials=found.trials[found.trials["label"].isin(labels)],
        history=found.history[found.history["label"].isin(labels)],
    )
