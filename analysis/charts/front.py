"""Test accuracy against seconds: the Pareto front, with names that lie over nothing."""

import math
from collections.abc import Sequence

import altair as alt
import pandas as pd

from analysis.charts.theme import (
    HEIGHT,
    NEUTRAL,
    WIDTH,
    Layered,
    color_of,
    explorable,
    fading,
)
from analysis.metrics import ACCURACY, METRICS

NARROWEST = 480
"""Pixels: a front that is drawn narrower, as on a phone, has no names."""

FRONT_HEIGHT = HEIGHT + 60

MAX_OTHERS = 2000
"""Of points that are not on the front: more take long to draw."""

NAME_HEIGHT, CHARACTER, GAP = 12, 6.5, 6
"""Pixels of a name at font size 10, in a wide font, and between it and its point."""


def pareto_front(front: pd.DataFrame, settings: list[str], title: str) -> Layered:
    """Test accuracy against seconds of training: the front, and all other epochs.

    `front` is `Advice.front`: measured epochs, averaged over seeds. On the front
    nothing else is more accurate in so little time.
    """
    shown = _named(front[front["setting"].isin(settings) | front["on_front"]])
    best = shown[shown["on_front"]].reset_index(drop=True)
    drawn = shown[shown["accuracy"] >= best["accuracy"].min()]
    others = drawn[~drawn["on_front"]][:MAX_OTHERS]
    across, up = _ends(drawn, len(best["name"][0]))
    spots = zip(
        NARROWEST * _part(best["seconds"].map(math.log), across),
        FRONT_HEIGHT * _part(best["accuracy"], up),
        best["name"],
        strict=True,
    )
    named = best.iloc[places_for_names(list(spots))]
    x, y = _axes(across, up)
    color, tooltip = _color(shown), _tooltip()
    layers = [
        alt.Chart(others)
        .mark_point(filled=True, size=14)
        .encode(x, y, color, fading(0.35), tooltip=tooltip),
        alt.Chart(best)
        .mark_line(interpolate="step-after", color=NEUTRAL, strokeWidth=1.5)
        .encode(x, y),
        alt.Chart(best)
        .mark_point(filled=True, size=55)
        .encode(x, y, color, fading(), tooltip=tooltip),
        alt.Chart(named)
        .transform_filter(f"width >= {NARROWEST}")
        .mark_text(align="right", baseline="bottom", dx=-GAP, dy=-GAP, fontSize=10)
        .encode(x, y, fading(), text="name:N"),
    ]
    said = "Line: the Pareto front; faint: all other measured epochs above its start"
    heads = alt.TitleParams(title, subtitle=said)
    [panel] = explorable([alt.layer(*layers)], "batch_size")
    return panel.properties(width=1.7 * WIDTH, height=FRONT_HEIGHT, title=heads)


def places_for_names(spots: Sequence[tuple[float, float, str]]) -> list[int]:
    """Return which points of a front have their name beside them.

    `spots` are pixels from the left and from the bottom, and names; seconds and
    accuracy rise. A name ends to the left of its point and above it: no point is
    there, for it would be on the front instead. So names have to keep off the edge and
    off each other alone. Each is there once, at its most accurate point with room.
    """
    taken: dict[str, int] = {}
    boxes: list[tuple[float, float, float]] = []  # left, right, bottom
    for number in reversed(range(len(spots))):
        x, y, name = spots[number]
        left, right, bottom = x - GAP - CHARACTER * len(name), x - GAP, y + GAP
        is_free = all(
            right <= other_left
            or other_right <= left
            or abs(bottom - other_bottom) >= NAME_HEIGHT
            for other_left, other_right, other_bottom in boxes
        )
        if name not in taken and left >= 0 and is_free:
            taken[name] = number
            boxes.append((left, right, bottom))
    return sorted(taken.values())


def _named(front: pd.DataFrame) -> pd.DataFrame:
    """Add what a point is called: batch size, learning rate and setting."""
    return front.assign(
        name=front["batch_size"].astype(str)
        + " @ "
        + front["learning_rate"].map("{:g}".format)
        + front["setting"].map(lambda setting: f", {setting}" if setting else "")
    )


def _ends(drawn: pd.DataFrame, length: int) -> tuple[list[float], list[float]]:
    """Return the ends of both axes: of logarithms of seconds, and of accuracies.

    To the left there is room for the first name, of so many characters, unless it is
    long; above for a name's height.
    """
    first = CHARACTER * length + 2 * GAP
    room = first if first < NARROWEST / 3 else 12
    across = _span(drawn["seconds"].map(math.log), NARROWEST, room, 12)
    return across, _span(drawn["accuracy"], FRONT_HEIGHT, 12, NAME_HEIGHT + GAP + 4)


def _axes(across: list[float], up: list[float]) -> tuple[alt.X, alt.Y]:
    seconds = [math.exp(end) for end in across]
    scale = alt.Scale(type="log", nice=False, domain=seconds)
    return (
        alt.X("seconds:Q", title=METRICS["training_seconds"].title, scale=scale),
        alt.Y("accuracy:Q").title(ACCURACY.title).scale(domain=up, nice=False),
    )


def _color(shown: pd.DataFrame) -> alt.Color:
    sizes = sorted(shown["batch_size"].unique())
    return (
        alt.Color("batch_size:O", title="batch size")
        .scale(domain=sizes, range=[color_of(int(size)) for size in sizes])
        .legend(symbolType="circle", symbolSize=60, symbolOpacity=1)
    )


def _tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("name:N", title="config"),
        alt.Tooltip("epoch:Q"),
        alt.Tooltip("seconds:Q", format=".3g"),
        alt.Tooltip("accuracy:Q", title=ACCURACY.title, format=ACCURACY.format),
    ]


def _span(
    values: "pd.Series[float]", pixels: float, before: float, after: float
) -> list[float]:
    """Return the ends of an axis that leaves so many pixels free at each end."""
    low, high = float(values.min()), float(values.max())
    pixel = ((high - low) or 1.0) / (pixels - before - after)
    return [low - before * pixel, high + after * pixel]


def _part(values: "pd.Series[float]", ends: list[float]) -> "pd.Series[float]":
    """Return how far values are from the first of two ends to the second: 0 to 1."""
    return (values - ends[0]) / (ends[1] - ends[0])
