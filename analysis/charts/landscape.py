"""Charts of advice: the grid, accuracy by batch size, the way to a target."""

from collections.abc import Callable, Sequence

import altair as alt
import numpy as np
import pandas as pd

from analysis.advice.compare import Advice
from analysis.charts.front import pareto_front
from analysis.charts.theme import (
    BAD,
    CROSS,
    HEIGHT,
    WIDTH,
    Layered,
    explorable,
    fading,
    with_field,
)
from analysis.metrics import ACCURACY

KINDS = ("#1f77b4", "#8f8f8f", "#a89000", "#dd62b6")
SETTINGS = ("#1f77b4", "#ec6b00", "#2ca02c", "#9467bd", "#9a5238", "#17a2b8")
MAX_SETTINGS = 6
"""Of panels side by side: tables have all."""


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
    panels = [
        _heat_panel(
            points[points["setting"] == setting], domain, _num_rates(points), setting
        )
        for setting in settings
    ]
    said = ["Mean over seeds at the end; framed: the best rate of a batch size"]
    if points["num_diverged"].any():
        said[0] += "; cross: a seed diverged"
    colored = points[points["setting"].isin(settings) & (points["num_diverged"] == 0)]
    if (colored["mean"] < domain[0]).any():
        said.append(f"Colors end at {domain[0]:.1f} %: lower points share the darkest")
    return alt.hconcat(*panels, title=alt.TitleParams(title, subtitle=said))


def _heat_panel(
    points: pd.DataFrame, domain: list[float], num_rates: int, setting: str
) -> Layered:
    """Return the grid of one setting, in colors from end to end of `domain`."""
    shown = points.assign(text=points["mean"].map(f"{{:{ACCURACY.format}}}".format))
    whole = shown[shown["num_diverged"] == 0].dropna(subset=["mean"])
    gone = shown[shown["num_diverged"] > 0]
    x = alt.X("batch_size:O").title("batch size").axis(labelAngle=0)
    y = alt.Y("learning_rate:O").title("learning rate").sort("descending")
    tooltip = [*_tooltip("O"), alt.Tooltip("num_diverged:Q", title="diverged")]
    legend = alt.Legend(title=ACCURACY.title, type="gradient", format=".1f")
    scale = alt.Scale(scheme="viridis", domain=domain, clamp=True)
    color = alt.Color("mean:Q").scale(scale).legend(legend)
    light = f"datum.mean < {sum(domain) / 2} ? 'white' : 'black'"
    base = alt.Chart(whole).encode(x, y, tooltip=tooltip)
    framed = base.transform_filter("datum.best")
    layers: list[alt.Chart] = [
        base.mark_rect().encode(color),
        framed.mark_rect(filled=False, stroke=BAD, strokeWidth=3),
        base.mark_text(fontSize=12, color=alt.ExprRef(light)).encode(text="text:N"),
    ]
    if len(gone):
        crosses = alt.Chart(gone).encode(x, y, tooltip=tooltip)
        layers.append(
            crosses.mark_point(shape=CROSS, size=180, strokeWidth=2.5, color=BAD)
        )
    return alt.layer(*layers).properties(
        width=max(62 * shown["batch_size"].nunique(), 130),
        height=max(44 * num_rates, 90),
        title=alt.TitleParams(setting, fontSize=11),
    )


def accuracy_by_batch_size(
    lines: pd.DataFrame, settings: list[str], title: str
) -> alt.HConcatChart:
    """Test accuracy against batch size, at the best rate and at a fixed one.

    `lines` are `Advice.lines`: means over seeds, with 95 % intervals.
    """
    shown = lines[lines["setting"].isin(settings)]
    y = alt.Y("value:Q").title(ACCURACY.title).scale(zero=False)
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
    panels = [
        _target_panel(shown[shown["unit"] == unit], target, color, opacity)
        for unit in dict.fromkeys(shown["unit"])
    ]
    said = (
        f"To {target:g} % test accuracy, at the rate that takes the fewest steps; "
        "dashed: perfect scaling; not reached by all seeds: no point"
    )
    panels = explorable(panels, "setting" if several else None)
    return alt.hconcat(*panels, title=alt.TitleParams(title, subtitle=said))


def _target_panel(
    part: pd.DataFrame,
    target: float,
    color: alt.Color,
    opacity: Callable[[float], alt.OpacityValue],
) -> Layered:
    """Return what it takes in one unit, and what it would if it scaled perfectly."""
    unit = str(part["unit"].iloc[0])
    ends = part[["mean", "perfect"]].to_numpy(float)
    domain = [0.8 * float(np.nanmin(ends)), 1.25 * float(np.nanmax(ends))]
    scale = alt.Scale(type="log", domain=domain, nice=False)
    x = _batch_sizes(part)
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
    base = alt.Chart(part).encode(x, color, opacity(1.0))
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
        rule = rule.encode(x, color, opacity(0.5), tooltip=tooltip)
        layers.insert(0, rule.encode(with_field(y, "lower"), alt.Y2("upper")))
    return alt.layer(*layers).properties(width=0.75 * WIDTH, height=HEIGHT)


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
        alt.Tooltip("mean:Q", title=ACCURACY.title, format=ACCURACY.format),
        alt.Tooltip("lower:Q", format=ACCURACY.format),
        alt.Tooltip("upper:Q", format=ACCURACY.format),
        alt.Tooltip("num_seeds:Q", title="seeds"),
    ]
