"""Charts of advice: the grid, accuracy by batch size, the way to a target."""

import math
from collections.abc import Sequence

import altair as alt
import pandas as pd

from analysis.advice import Advice
from analysis.theme import (
    BAD,
    CROSS,
    HEIGHT,
    NEUTRAL,
    WIDTH,
    color_of,
    explorable,
    fading,
    with_field,
)

KINDS = ("#1f77b4", "#8f8f8f", "#a89000", "#dd62b6")
SETTINGS = ("#1f77b4", "#ec6b00", "#2ca02c", "#9467bd", "#9a5238", "#17a2b8")
MAX_SETTINGS = 6
"""Of panels side by side: tables have all."""

NARROWEST = 480
"""Pixels: a front that is drawn narrower, as on a phone, has no names."""
NAME_HEIGHT, CHARACTER, GAP = 12, 6.5, 6
"""Pixels of a name at font size 10, in a wide font, and between it and its point."""


def landscape(advice: Advice, title: str) -> dict[str, alt.TopLevelMixin]:
    """Return the charts of one advice by name, but no empty one."""
    settings = list(dict.fromkeys(advice.points["setting"]))[:MAX_SETTINGS]
    charts: dict[str, alt.TopLevelMixin] = {
        "heat_map": heat_map(advice.points, settings, title),
        "accuracy": accuracy_by_batch_size(advice.lines, settings, title),
    }
    if len(advice.to_target):
        charts["to_target"] = to_target(
            advice.to_target, settings, advice.target, title
        )
    if len(advice.front):
        charts["front"] = pareto_front(advice.front, settings, title)
    return charts


def heat_map(points: pd.DataFrame, settings: list[str], title: str) -> alt.HConcatChart:
    """Test accuracy by batch size and learning rate, a panel per setting.

    `points` are `Advice.points`. The best rate of each batch size has a frame, a
    diverged point a cross.
    """
    domain = _domain(points)
    panels = []
    for setting in settings:
        shown = points[points["setting"] == setting].assign(
            text=lambda frame: frame["mean"].map("{:.2f}".format)
        )
        x = alt.X("batch_size:O").title("batch size").axis(labelAngle=0)
        y = alt.Y("learning_rate:O").title("learning rate").sort("descending")
        whole = shown[shown["num_diverged"] == 0].dropna(subset=["mean"])
        gone = shown[shown["num_diverged"] > 0]
        scale = alt.Scale(scheme="viridis", domain=domain, clamp=True)
        diverged = alt.Tooltip("num_diverged:Q", title="diverged")
        tooltip = [*_tooltip("O"), diverged]
        legend = alt.Legend(title="test accuracy (%)", type="gradient", format=".1f")
        color = alt.Color("mean:Q").scale(scale).legend(legend)
        base = alt.Chart(whole).encode(x, y, tooltip=tooltip)
        light = f"datum.mean < {sum(domain) / 2} ? 'white' : 'black'"
        layers: list[alt.Chart] = [base.mark_rect().encode(color)]
        layers.append(
            base.transform_filter("datum.best").mark_rect(
                filled=False, stroke=BAD, strokeWidth=3
            )
        )
        layers.append(
            base.mark_text(fontSize=12, color=alt.ExprRef(light)).encode(text="text:N")
        )
        if len(gone):
            crosses = alt.Chart(gone).encode(x, y, tooltip=tooltip)
            layers.append(
                crosses.mark_point(shape=CROSS, size=180, strokeWidth=2.5, color=BAD)
            )
        num_sizes, num_rates = shown["batch_size"].nunique(), _num_rates(points)
        panels.append(
            alt.layer(*layers).properties(
                width=max(62 * num_sizes, 130),
                height=max(44 * num_rates, 90),
                title=alt.TitleParams(setting, fontSize=11),
            )
        )
    said = ["Mean over seeds at the end; framed: the best rate of a batch size"]
    if points["num_diverged"].any():
        said[0] += "; cross: a seed diverged"
    colored = points[points["setting"].isin(settings) & (points["num_diverged"] == 0)]
    if (colored["mean"] < domain[0]).any():
        said.append(f"Colors end at {domain[0]:.1f} %: lower points share the darkest")
    return alt.hconcat(*panels, title=alt.TitleParams(title, subtitle=said))


def accuracy_by_batch_size(
    lines: pd.DataFrame, settings: list[str], title: str
) -> alt.HConcatChart:
    """Test accuracy against batch size, at the best rate and at a fixed one.

    `lines` are `Advice.lines`: means over seeds, with 95 % intervals.
    """
    shown = lines[lines["setting"].isin(settings)]
    y = alt.Y("value:Q").title("test accuracy (%)").scale(zero=False)
    color, dash = _kinds(list(dict.fromkeys(shown["kind"])))
    panels = []
    for setting in settings:
        part = shown[shown["setting"] == setting]
        tooltip = [alt.Tooltip("kind:N", title="line"), *_tooltip("Q")]
        base = alt.Chart(part).encode(_batch_sizes(part), color)
        mean = with_field(y, "mean")
        points = base.mark_point(filled=True, size=45)
        layers = [
            base.mark_line(strokeWidth=2).encode(mean, dash, fading()),
            points.encode(mean, fading(), tooltip=tooltip),
        ]
        if part["num_seeds"].max() > 1:
            rule = base.mark_rule(strokeWidth=2, clip=True).encode(tooltip=tooltip)
            ends = with_field(y, "lower"), alt.Y2("upper")
            layers.insert(0, rule.encode(*ends, fading(0.5)))
        name = alt.TitleParams(setting, fontSize=11)
        panels.append(
            alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, title=name)
        )
    num_seeds = int(shown["num_seeds"].max())
    said = "one seed" if num_seeds < 2 else f"mean of {num_seeds} seeds, 95 % intervals"
    panels = explorable(panels, "kind")
    whole = alt.hconcat(*panels, title=alt.TitleParams(title, subtitle=said))
    shared: alt.HConcatChart = whole.resolve_scale(y="shared")
    return shared


def to_target(
    reached: pd.DataFrame, settings: list[str], target: float, title: str
) -> alt.HConcatChart:
    """Epochs, steps and seconds to a test accuracy against batch size.

    `reached` is `Advice.to_target`; dashed is perfect scaling, which takes the same
    epochs: twice the batch size, half the steps (Shallue et al. 2019).
    """
    shown = reached[reached["setting"].isin(settings)]
    several = shown["setting"].nunique() > 1
    color = alt.Color("setting:N", title=None).scale(
        domain=settings, range=list(SETTINGS[: len(settings)])
    )
    color = color.legend(symbolOpacity=1) if several else color.legend(None)
    opacity = fading if several else alt.OpacityValue
    panels = []
    for unit in dict.fromkeys(shown["unit"]):
        part = shown[shown["unit"] == unit]
        ends = part[["mean", "perfect"]]
        domain = [0.8 * float(ends.min(axis=None)), 1.25 * float(ends.max(axis=None))]
        scale = alt.Scale(type="log", domain=domain, nice=False)
        y = alt.Y("value:Q", title=f"{unit} to {target:g} %", scale=scale)
        tooltip = [
            alt.Tooltip("setting:N"),
            alt.Tooltip("batch_size:Q", title="batch size"),
            alt.Tooltip("learning_rate:Q", title="learning rate"),
            alt.Tooltip("mean:Q", title=unit, format=".4g"),
            *(alt.Tooltip(f"{name}:Q", format=".4g") for name in ("lower", "upper")),
            alt.Tooltip("perfect:Q", title="perfect scaling", format=".4g"),
            alt.Tooltip("num_seeds:Q", title="seeds"),
        ]
        base = alt.Chart(part).encode(_batch_sizes(part), color, opacity(1.0))
        perfect, mean = with_field(y, "perfect"), with_field(y, "mean")
        points = base.mark_point(filled=True, size=45)
        layers = [
            base.mark_line(strokeDash=[4, 4], strokeWidth=1.3).encode(perfect),
            base.mark_line(strokeWidth=2).encode(mean),
            points.encode(mean, tooltip=tooltip),
        ]
        sure = part[part["lower"] > 0]  # there is no logarithm of less
        if part["num_seeds"].max() > 1 and len(sure):
            rule = alt.Chart(sure).mark_rule(strokeWidth=2, clip=True)
            x = _batch_sizes(part)
            rule = rule.encode(x, color, opacity(0.5), tooltip=tooltip)
            layers.insert(0, rule.encode(with_field(y, "lower"), alt.Y2("upper")))
        panels.append(alt.layer(*layers).properties(width=0.75 * WIDTH, height=HEIGHT))
    said = (
        f"To {target:g} % test accuracy, at the rate that takes the fewest steps; "
        "dashed: perfect scaling; not reached by all seeds: no point"
    )
    panels = explorable(panels, "setting" if several else None)
    return alt.hconcat(*panels, title=alt.TitleParams(title, subtitle=said))


def pareto_front(
    front: pd.DataFrame, settings: list[str], title: str
) -> alt.LayerChart | alt.FacetChart:
    """Test accuracy against seconds of training: the front, and all other epochs.

    `front` is `Advice.front`: measured epochs, averaged over seeds. On the front
    nothing else is more accurate in so little time.
    """
    shown = front[front["setting"].isin(settings) | front["on_front"]].copy()
    shown["name"] = (
        shown["batch_size"].astype(str)
        + " @ "
        + shown["learning_rate"].map("{:g}".format)
        + shown["setting"].map(lambda setting: f", {setting}" if setting else "")
    )
    best = shown[shown["on_front"]].reset_index(drop=True)
    drawn = shown[shown["accuracy"] >= best["accuracy"].min()]
    others = drawn[~drawn["on_front"]][:2000]
    sizes = sorted(shown["batch_size"].unique())
    color = (
        alt.Color("batch_size:O", title="batch size")
        .scale(domain=sizes, range=[color_of(int(size)) for size in sizes])
        .legend(symbolType="circle", symbolSize=60, symbolOpacity=1)
    )
    first = CHARACTER * len(best["name"][0]) + 2 * GAP
    room = first if first < NARROWEST / 3 else 12
    across = _span(drawn["seconds"].map(math.log), NARROWEST, room, 12)
    height = HEIGHT + 60
    up = _span(drawn["accuracy"], height, 12, NAME_HEIGHT + GAP + 4)
    seconds = [math.exp(end) for end in across]
    scale = alt.Scale(type="log", nice=False, domain=seconds)
    x = alt.X("seconds:Q", title="seconds of training", scale=scale)
    y = alt.Y("accuracy:Q").title("test accuracy (%)").scale(domain=up, nice=False)
    tooltip = [
        alt.Tooltip("name:N", title="config"),
        alt.Tooltip("epoch:Q"),
        alt.Tooltip("seconds:Q", format=".3g"),
        alt.Tooltip("accuracy:Q", title="test accuracy (%)", format=".2f"),
    ]
    spots = zip(
        NARROWEST * _part(best["seconds"].map(math.log), across),
        height * _part(best["accuracy"], up),
        best["name"],
        strict=True,
    )
    named = best.iloc[places_for_names(list(spots))]
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
    [panel] = explorable([alt.layer(*layers)], "batch_size")
    return panel.properties(
        width=1.7 * WIDTH,
        height=height,
        title=alt.TitleParams(title, subtitle=said),
    )


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


def _domain(points: pd.DataFrame) -> list[float]:
    """Return what colors span: points far below the rest share the darkest one."""
    means = points.loc[points["num_diverged"] == 0, "mean"].dropna()
    high, middle = float(means.max()), float(means.median())
    low = max(float(means.min()), high - 3 * (high - middle))
    return [low, high] if high > low else [high - 1, high]


def _num_rates(points: pd.DataFrame) -> int:
    return int(points["learning_rate"].nunique())


def _kinds(kinds: list[str]) -> tuple[alt.Color, alt.StrokeDash]:
    """Return color and dash of the lines: the best rate, and the fixed ones."""
    dashes: list[Sequence[float]] = [[1, 0], [6, 3], [2, 2], [8, 2, 2, 2]]
    places = [min(rank, len(KINDS) - 1) for rank in range(len(kinds))]
    return (
        alt.Color("kind:N", title=None)
        .scale(domain=kinds, range=[KINDS[place] for place in places])
        .legend(symbolOpacity=1),
        alt.StrokeDash("kind:N", title=None)
        .scale(domain=kinds, range=[dashes[place] for place in places])
        .legend(symbolOpacity=1),
    )


def _batch_sizes(frame: pd.DataFrame) -> alt.X:
    """Return the x axis, with a tick for every batch size."""
    sizes = sorted(int(size) for size in frame["batch_size"].unique())
    scale = alt.Scale(type="log", base=2, nice=False, padding=12)
    axis = alt.Axis(values=sizes, format="d")
    return alt.X("batch_size:Q", title="batch size", scale=scale, axis=axis)


def _tooltip(kind: str) -> list[alt.Tooltip]:
    """Say what a point is; its numbers are drawn as `kind`: ordinal or quantities."""
    return [
        alt.Tooltip(f"batch_size:{kind}", title="batch size"),
        alt.Tooltip(f"learning_rate:{kind}", title="learning rate"),
        alt.Tooltip("mean:Q", title="test accuracy (%)", format=".2f"),
        alt.Tooltip("lower:Q", format=".2f"),
        alt.Tooltip("upper:Q", format=".2f"),
        alt.Tooltip("num_seeds:Q", title="seeds"),
    ]
