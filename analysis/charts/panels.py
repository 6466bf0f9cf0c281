"""What charts of draws share: colors of regimes, axes, tooltips, words."""

import altair as alt
import pandas as pd

from analysis.charts.theme import (
    CROSS,
    HEIGHT,
    WIDTH,
    Layered,
    explorable,
    fading,
    with_field,
)

REGIME_COLORS = ("#1f77b4", "#2ca02c", "#ec6b00", "#9467bd", "#9a5238", "#dd62b6")
"""The article's early is blue, its late green."""


def means(summary: pd.DataFrame, y: alt.Y, below: str) -> Layered:
    """Return a panel of means and deviations against batch size, joined by lines."""
    x, _ = axes("log", "")
    base = alt.Chart(summary).encode(x, regime_color(summary))
    mean, tooltip = with_field(y, "mean"), tooltip_of("mean", "deviation")
    return alt.layer(
        base.mark_line(strokeWidth=1).encode(mean, fading()),
        base.mark_rule(strokeWidth=2).encode(
            with_field(y, below), alt.Y2("above"), fading(0.5), tooltip=tooltip
        ),
        base.mark_point(filled=True, size=30).encode(mean, fading(), tooltip=tooltip),
    ).properties(width=0.9 * WIDTH, height=HEIGHT + 40)


def side_by_side(
    panels: list[Layered], title: str, said: list[str]
) -> alt.HConcatChart:
    """Return panels that zoom and share a legend, under one title."""
    panels = explorable(panels, "regime")
    return alt.hconcat(*panels, title=alt.TitleParams(title, subtitle=said))


def axes(kind: str, title: str) -> tuple[alt.X, alt.Y]:
    """Return both axes: batch size against what `title` says, linear or log."""
    x, y = alt.X("batch_size:Q").title("batch size"), alt.Y("value:Q").title(title)
    if kind == "log":
        values = [2**power for power in range(0, 17)]
        x = x.scale(type="log", base=2, nice=False, padding=8)
        x = x.axis(values=values, format="d")
        y = y.scale(type="log", nice=False, padding=8)
    return x, y


def regime_color(summary: pd.DataFrame) -> alt.Color:
    """Return the color of a regime in every chart."""
    regimes = list(dict.fromkeys(summary["regime"]))
    colors = [REGIME_COLORS[i % len(REGIME_COLORS)] for i in range(len(regimes))]
    return alt.Color("regime:N").scale(domain=regimes, range=colors).title("regime")


def tooltip_of(*names: str) -> list[alt.Tooltip]:
    """Return a tooltip of the regime, the batch size and these columns."""
    shown = [alt.Tooltip("regime:N"), alt.Tooltip("batch_size:Q", title="batch size")]
    shown += [
        alt.Tooltip(f"{name}:Q", title=name.replace("_", " "), format=".5g")
        for name in names
    ]
    return [*shown, alt.Tooltip("num_draws:Q", title="draws")]


def crosses(diverged: pd.DataFrame, x: alt.X, summary: pd.DataFrame) -> alt.Chart:
    """Return a cross at the bottom for each cell in which draws diverged."""
    mark = alt.Chart(diverged).mark_point(shape=CROSS, size=60, strokeWidth=2.5)
    chart: alt.Chart = mark.encode(
        x,
        regime_color(summary),
        fading(0.7),
        y=alt.value(HEIGHT + 30),
        tooltip=["regime:N", "batch_size:Q", alt.Tooltip("diverged:Q")],
    )
    return chart


def counts(summary: pd.DataFrame) -> str:
    """Say how many draws a point has, at least and at most."""
    low, high = summary["num_draws"].min(), summary["num_draws"].max()
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def fit_texts(lines: pd.DataFrame) -> list[str]:
    """Return the fits in words, one line per quantity."""
    fits = lines[["quantity", "text"]].drop_duplicates()
    return ["; ".join(texts) for _, texts in fits.groupby("quantity")["text"]]
