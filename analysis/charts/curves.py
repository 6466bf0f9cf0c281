"""Loss and accuracy against epoch, the article's 2 x 2 of train and test."""

import altair as alt
import pandas as pd

from analysis.charts.theme import (
    CROSS,
    HEIGHT,
    WIDTH,
    Layered,
    explorable,
    fading,
    label_scales,
    with_field,
)
from analysis.frames.series import PANELS
from analysis.metrics import METRICS
from analysis.statistics.intervals import CONFIDENCE

MAX_POINTS = 4000
"""Of single seeds in a panel: more take long to draw, and hide the means."""


def training_curves(
    values: pd.DataFrame,
    summary: pd.DataFrame,
    diverged: pd.DataFrame,
    batch_sizes: dict[str, int],
    title: str,
    last_epochs: int | None = None,
) -> alt.VConcatChart:
    """Train and test, accuracy and loss against epoch: mean lines, bands, faint seeds.

    `values` are `frames.curves`, `summary` their `summarize_seeds`, `diverged` are
    `frames.divergences`: a cross at the bottom of each panel. `batch_sizes` gives the
    labels in the legend's order; `last_epochs` is what the epochs count from. Source:
    article, "Effect of batch size" and the two sections after it.
    """
    x_title = f"epoch, of the last {last_epochs}" if last_epochs else "epoch"
    panels = [
        _panel(values, summary, diverged, batch_sizes, epoch_axis(x_title), metric)
        for metric in PANELS
    ]
    panels = explorable(panels, "label")
    said = subtitle(values[values["metric"] == "test_accuracy"], summary)
    rows = [alt.hconcat(*panels[:2]), alt.hconcat(*panels[2:])]
    return alt.vconcat(*rows, title=alt.TitleParams(title, subtitle=said))


def subtitle(values: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Say how many seeds a figure is drawn from, and what its bands are."""
    # Seeds that are not finished, or diverged, leave fewer for the epochs after.
    few, many = summary["num_seeds"].min(), summary["num_seeds"].max()
    if many > 1:
        number = f"{many}" if few == many else f"{few} to {many}"
        faint = "; single seeds faint" if len(values) <= MAX_POINTS else ""
        return f"mean of {number} seeds, {CONFIDENCE:.0%} interval{faint}"
    return "one seed"


def lines(
    values: pd.DataFrame,
    summary: pd.DataFrame,
    batch_sizes: dict[str, int],
    names: dict[str, str],
    x: alt.X,
    y: alt.Y,
) -> list[alt.Chart]:
    """Return layers: mean line and interval band per label, single seeds faint.

    A line tells the mouse of its first point alone, so unseen points tell of the rest.
    """
    color, dash = label_scales(batch_sizes, names)
    layers: list[alt.Chart] = []
    if len(summary) and summary["num_seeds"].max() > 1:
        if len(values) <= MAX_POINTS:
            faint = alt.Chart(values).mark_line(strokeWidth=1)
            value, seed = with_field(y, "value"), alt.Detail("seed:N")
            layers.append(faint.encode(x, value, color, dash, fading(0.25), seed))
        band = alt.Chart(summary).mark_area(clip=True)
        lower, upper = with_field(y, "lower"), alt.Y2("upper")
        layers.append(band.encode(x, lower, upper, color, fading(0.2)))
    mean = alt.Chart(summary).mark_line(strokeWidth=2, point=_single_points(summary))
    layers.append(mean.encode(x, with_field(y, "mean"), color, dash, fading()))
    unseen = alt.Chart(summary).mark_point(opacity=0, size=150, aria=False, clip=True)
    layers.append(unseen.encode(x, with_field(y, "mean"), tooltip=_tooltip()))
    return layers


def epoch_axis(title: str = "epoch") -> alt.X:
    """Return the x axis: epochs are whole numbers."""
    # Of few epochs, or zoomed, Vega has ticks in between, too: the least step that it
    # can be told is a wish. They are there, and not seen.
    between = "datum.value % 1"
    seen = {"condition": {"test": between, "value": 0}, "value": 1}
    return (
        alt.X("epoch:Q")
        .title(title)
        .axis(
            tickMinStep=1,
            format=",d",
            labelExpr=f"{between} ? '' : datum.label",
            tickOpacity=seen,
            gridOpacity=seen,
        )
    )


def legend_names(batch_sizes: dict[str, int], diverged: pd.DataFrame) -> dict[str, str]:
    """Return what the legend says of each label: where it diverged, if it did."""
    epochs = diverged.groupby("label")["epoch"].min().to_dict()
    return {
        label: f"{label} (diverged at epoch {epochs[label]})"
        if label in epochs
        else label
        for label in batch_sizes
    }


def _panel(
    values: pd.DataFrame,
    summary: pd.DataFrame,
    diverged: pd.DataFrame,
    batch_sizes: dict[str, int],
    x: alt.X,
    metric: str,
) -> Layered:
    values = values[values["metric"] == metric]
    summary = summary[summary["metric"] == metric]
    y = _y_axis(values["value"], metric)
    names = legend_names(batch_sizes, diverged)
    layers = lines(values, summary, batch_sizes, names, x, y)
    if len(diverged):
        color, _ = label_scales(batch_sizes, names)
        cross = alt.Chart(diverged).mark_point(shape=CROSS, size=60, strokeWidth=2.5)
        tooltip = ["label:N", "seed:N", alt.Tooltip("epoch:Q", title="diverged at")]
        at_bottom = alt.value(HEIGHT - 8)
        cross = cross.encode(x, color, fading(0.7), y=at_bottom, tooltip=tooltip)
        layers.append(cross)
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)


def _y_axis(values: "pd.Series[float]", metric: str) -> alt.Y:
    """Return a linear axis for accuracies, and a logarithmic one for losses."""
    title = METRICS[metric].title
    if METRICS[metric].is_accuracy or values.empty:
        return alt.Y("value:Q", title=title).scale(zero=False)
    # Domain and ticks by hand: an interval may reach far below the values, and Vega
    # drops the labels of round numbers first.
    domain = [float(values.min()), float(values.max())]
    digits = (1, 2, 5) if domain[1] > 10 * domain[0] else range(1, 10)
    ticks = [digit * 10.0**power for power in range(-9, 4) for digit in digits]
    inside = [tick for tick in ticks if domain[0] <= tick <= domain[1]]
    axis = alt.Axis(values=inside) if len(inside) > 2 else alt.Axis(tickCount=5)
    scale = alt.Scale(type="log", domain=domain, nice=False)
    return alt.Y("value:Q", title=title, scale=scale, axis=axis)


def _tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("label:N"),
        alt.Tooltip("epoch:Q"),
        *(
            alt.Tooltip(f"{name}:Q", format=".5g")
            for name in ("mean", "lower", "upper")
        ),
        alt.Tooltip("num_seeds:Q", title="seeds"),
    ]


def _single_points(summary: pd.DataFrame) -> bool:
    """One measured epoch makes no line: show it as a point."""
    return bool((summary.groupby("label")["epoch"].nunique() == 1).any())


def distance_from_init(
    values: pd.DataFrame,
    summary: pd.DataFrame,
    diverged: pd.DataFrame,
    batch_sizes: dict[str, int],
    title: str,
) -> alt.HConcatChart:
    """Distance of all weights from init (L2) against epoch, a panel a scale.

    `values` are `frames.distances`, `summary` their `summarize_seeds`. Source:
    article, "Getting Far Enough" (SGD) and "ADAM vs SGD" (Adam).
    """
    names = legend_names(batch_sizes, diverged)
    y = alt.Y("value:Q", title=METRICS["weight_distance"].title)
    panels = [
        alt.layer(
            *lines(
                values[values["panel"] == panel],
                summary[summary["panel"] == panel],
                batch_sizes,
                names,
                epoch_axis(),
                y,
            )
        ).properties(width=WIDTH, height=HEIGHT, title=panel)
        for panel in dict.fromkeys(summary["panel"])
    ]
    largest = values["panel"].value_counts().idxmax()
    said = subtitle(values[values["panel"] == largest], summary)
    return alt.hconcat(
        *explorable(panels, "label"), title=alt.TitleParams(title, subtitle=said)
    )
