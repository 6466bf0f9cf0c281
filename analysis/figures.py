"""Which charts a sweep has: name and chart, from its frames."""

import altair as alt

from analysis import frames
from analysis.curves import training_curves
from analysis.distance import distance_from_init


def figures(found: frames.Frames) -> dict[str, alt.TopLevelMixin]:
    """Return the charts of one sweep (`frames.only`) by name, but no empty one."""
    trials, history = found.trials, found.history
    title = str(trials["title"].iloc[0])
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
