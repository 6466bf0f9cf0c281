"""Charts of draws: norms, their spread and distributions, entries, direction.

Every chart says which norm it draws. Source: article, "Hypothesis: gradient
competition".
"""

import altair as alt
import numpy as np
import pandas as pd

from analysis.charts.panels import (
    axes,
    counts,
    crosses,
    fit_texts,
    regime_color,
    side_by_side,
    tooltip_of,
)
from analysis.charts.theme import HEIGHT, WIDTH, Layered, explorable, fading, with_field
from analysis.metrics import METRICS

LINES = {"fit": [1, 0], "square root": [5, 4]}


def norms_by_batch_size(
    summary: pd.DataFrame,
    lines: pd.DataFrame,
    diverged: pd.DataFrame,
    column: str,
    title: str,
    weights: str,
) -> alt.HConcatChart:
    """Mean and deviation of a norm against batch size, on linear and log axes.

    `summary` is `summarize_draws` `with_bars`, `lines` are `fit_lines`, `diverged`
    has the cells (regime, batch_size, diverged) in which draws diverged: a cross at the
    bottom. `weights` says whose gradient it is.
    Source: article, first figure of the section.
    """
    name = f"norm {METRICS[column].title.split(',')[0]}"
    panels = [
        _norms_panel(kind, name, summary, lines, diverged) for kind in ("linear", "log")
    ]
    said = [
        f"Norm: {METRICS[column].title}; {weights}.",
        f"Points and bars: mean and deviation of {counts(summary)} draws.",
        *fit_texts(lines[lines["line"] == "fit"]),
    ]
    if len(diverged):
        said.append(f"{diverged['diverged'].sum()} draws diverged, and are left out.")
    return side_by_side(panels, title, said)


def normalized_norms(summary: pd.DataFrame, column: str, title: str) -> Layered:
    """Mean and deviation, both scaled to the mean of the largest batch size.

    `summary` is `summarize_draws`. Source: article, second figure of the section.
    """
    norm = METRICS[column].title
    x, _ = axes("log", "")
    y = alt.Y("value:Q").title("normalized norm").scale(zero=False)
    tooltip = tooltip_of("normalized_mean", "normalized_deviation")
    base = alt.Chart(summary).encode(x, regime_color(summary), tooltip=tooltip)
    bars = base.mark_rule(strokeWidth=2).encode(
        with_field(y, "normalized_below"), alt.Y2("normalized_above"), fading(0.6)
    )
    points = base.mark_point(filled=True, size=40)
    points = points.encode(with_field(y, "normalized_mean"), fading())
    [panel] = explorable([alt.layer(bars, points)], "regime")
    return panel.properties(
        width=1.6 * WIDTH,
        height=HEIGHT + 40,
        title=alt.TitleParams(
            title,
            subtitle=[
                f"Norm: {norm}, times mean(largest batch size) / mean.",
                f"Bars: deviation of {counts(summary)} draws.",
            ],
        ),
    )


def spread_by_batch_size(
    summary: pd.DataFrame, lines: pd.DataFrame, column: str, title: str
) -> alt.HConcatChart:
    """Deviation, and deviation over mean, against batch size, with fitted powers.

    `summary` is `summarize_draws`, `lines` are `fit_lines` of both. Answers the
    article's first open question ("Characterize the functional relationship ...").
    """
    panels = [
        _spread_panel(name, summary, lines)
        for name in ("deviation", "relative_deviation")
    ]
    said = [
        f"Norm: {METRICS[column].title}. Bars: 95 % intervals. Lines: fitted powers.",
        *fit_texts(lines[lines["quantity"] != "mean"]),
    ]
    return side_by_side(panels, title, said)


def _norms_panel(
    kind: str,
    name: str,
    summary: pd.DataFrame,
    lines: pd.DataFrame,
    diverged: pd.DataFrame,
) -> Layered:
    """Return means, deviations and fitted powers on linear or log axes."""
    x, y = axes(kind, name)
    tooltip = tooltip_of("mean", "deviation")
    base = alt.Chart(summary).encode(x, regime_color(summary))
    layers: list[alt.Chart] = []
    if len(lines):
        dash = alt.StrokeDash("line:N").scale(
            domain=list(LINES), range=list(LINES.values())
        )
        mark = alt.Chart(lines).mark_line(strokeWidth=1.2, clip=True)
        layers.append(_powers(mark, x, y, summary, dash.title("line")))
    layers += [
        base.mark_rule(strokeWidth=2, clip=True).encode(
            with_field(y, "below_log" if kind == "log" else "below"),
            alt.Y2("above"),
            fading(0.5),
            tooltip=tooltip,
        ),
        base.mark_point(filled=True, size=40).encode(
            with_field(y, "mean"), fading(), tooltip=tooltip
        ),
    ]
    if len(diverged):
        layers.append(crosses(diverged, x, summary))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT + 40)


def _spread_panel(name: str, summary: pd.DataFrame, lines: pd.DataFrame) -> Layered:
    """Return a deviation, with its interval and fitted powers, on log axes."""
    words = name.replace("_", " ")
    x, y = axes("log", f"{words} of the norm")
    lower, upper = f"{name}_lower", f"{name}_upper"
    base = alt.Chart(summary).encode(
        x, regime_color(summary), fading(), tooltip=tooltip_of(name, lower, upper)
    )
    layers: list[alt.Chart] = [
        base.mark_rule(strokeWidth=2, clip=True)
        .transform_filter(f"datum.{lower} > 0")
        .encode(with_field(y, lower), alt.Y2(upper)),
        base.mark_point(filled=True, size=40).encode(with_field(y, name)),
    ]
    fitted = lines[lines["quantity"] == words]
    if len(fitted):
        mark = alt.Chart(fitted).mark_line(strokeWidth=1.2)
        layers.insert(0, _powers(mark, x, y, summary))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT + 40)


def _powers(
    mark: alt.Chart, x: alt.X, y: alt.Y, summary: pd.DataFrame, *dash: alt.StrokeDash
) -> alt.Chart:
    """Draw `fit_lines` as lines whose tooltips are the fits in words."""
    drawn: alt.Chart = mark.encode(
        x,
        with_field(y, "value"),
        regime_color(summary),
        *dash,
        fading(),
        tooltip=["regime:N", "text:N"],
    )
    return drawn


def with_bars(summary: pd.DataFrame) -> pd.DataFrame:
    """Add the ends of the deviation bars: below, above, and normalized_*.

    `below_log` is for log axes: a hundredth of the mean where a bar would reach 0.
    """
    mean, deviation = summary["mean"], summary["deviation"]
    scaled, spread = summary["normalized_mean"], summary["normalized_deviation"]
    return summary.assign(
        below=mean - deviation,
        below_log=np.maximum(mean - deviation, mean / 100),
        above=mean + deviation,
        normalized_below=scaled - spread,
        normalized_above=scaled + spread,
    )


def fit_lines(
    fits: pd.DataFrame, summary: pd.DataFrame, *, square_root: bool = False
) -> pd.DataFrame:
    """Return what fitted powers look like: regime, quantity, line, text, x and value.

    `square_root` adds the article's, through the mean of the largest batch size.
    """
    rows = []
    for fit in fits.to_dict("records"):
        sizes = summary.loc[summary["regime"] == fit["regime"], "batch_size"]
        grid = np.geomspace(sizes.min(), sizes.max(), 60)
        text = (
            f"{fit['regime']}: {fit['quantity']} ~ b^{fit['exponent']:.3f} "
            f"({fit['lower']:.3f} to {fit['upper']:.3f})"
        )
        curves = {"fit": (text, fit["factor"] * grid ** fit["exponent"])}
        if square_root and fit["quantity"] == "mean":
            cell = summary[summary["regime"] == fit["regime"]]
            top = cell.loc[cell["batch_size"].idxmax(), "mean"]
            curves["square root"] = (
                f"{fit['regime']}: the article's square root",
                top * np.sqrt(grid / grid[-1]),
            )
        for line, (words, values) in curves.items():
            rows.append(
                pd.DataFrame(
                    {
                        "regime": fit["regime"],
                        "quantity": fit["quantity"],
                        "line": line,
                        "text": words,
                        "batch_size": grid,
                        "value": values,
                    }
                )
            )
    columns = ["regime", "quantity", "line", "text", "batch_size", "value"]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)
