"""Histograms with one row per batch size: of the draws' norms, and of all entries."""

import altair as alt
import numpy as np
import pandas as pd

from analysis.charts.panels import regime_color
from analysis.charts.theme import WIDTH, explorable
from analysis.frames.draws import GROUP
from analysis.metrics import METRICS
from analysis.text import quoted


def distributions(
    bins: pd.DataFrame, column: str, title: str, *, normalized: bool
) -> alt.HConcatChart:
    """Histograms of the draws' norms, one row per batch size, a panel per regime.

    `bins` are `draws.bin_norms`. Source: article, third to sixth figure of the section.
    """
    x = "norm, normalized to the largest batch size" if normalized else "norm"
    largest = bins.groupby(GROUP)["share"].transform("max")
    heights = bins.assign(height=bins["share"] / largest)
    tooltip = alt.Tooltip("share:Q", title="share of draws", format=".3f")
    said = f"Norm: {METRICS[column].title}. Every row is scaled to its largest bin."
    return _rows(heights, x, tooltip, title, said)


def entries(bins: pd.DataFrame, title: str, num_draws: int) -> alt.HConcatChart:
    """Histograms of all entries, one row per batch size, log counts, a panel a regime.

    `bins` are `draws.bin_entries`. Source: article, last figures of the section.
    """
    logs = np.log10(bins["count"].astype(float) + 1)
    heights = bins.assign(height=logs / (logs.max() if len(logs) else 1))
    tooltip = alt.Tooltip("count:Q", title="entries")
    said = (
        f"All entries of sum n g (the sample-weighted sum) of {num_draws:,} draws; "
        f"height: log(1 + count), full at {int(bins['count'].max()):,}"
    )
    return _rows(heights, "entry", tooltip, title, said)


def _rows(
    bins: pd.DataFrame, x: str, tooltip: alt.Tooltip, title: str, said: str
) -> alt.HConcatChart:
    """One row of bars per batch size: `height` is a fraction of the row."""
    sizes = sorted(bins["batch_size"].unique())
    shown = bins.assign(
        bottom=bins["batch_size"].map({size: i for i, size in enumerate(sizes)})
    )
    shown["top"] = shown["bottom"] + 0.92 * shown["height"]
    names = ", ".join(quoted(str(size)) for size in sizes)
    axis = alt.Axis(
        values=list(range(len(sizes))),
        labelExpr=f"[{names}][datum.value]",
        labelBaseline="bottom",
        grid=True,
        ticks=False,
    )
    panels = []
    for regime, cell in shown.groupby("regime", sort=False):
        bars = alt.Chart(cell).mark_rect(stroke=None, clip=True)
        panels.append(
            bars.encode(
                alt.X("lower:Q").title(x).scale(zero=False, nice=False),
                alt.X2("upper"),
                alt.Y("bottom:Q")
                .title("batch size")
                .axis(axis)
                .scale(domain=[0, len(sizes)], nice=False),
                alt.Y2("top"),
                regime_color(shown).legend(None),
                tooltip=[
                    alt.Tooltip("batch_size:Q", title="batch size"),
                    alt.Tooltip("lower:Q", format=".4g"),
                    alt.Tooltip("upper:Q", format=".4g"),
                    tooltip,
                ],
            ).properties(width=WIDTH, height=26 * len(sizes), title=str(regime))
        )
    panels = explorable(panels, None, ["x"])
    return alt.hconcat(*panels, title=alt.TitleParams(title, subtitle=said))
