"""Distance from the initial weights against epoch."""

import altair as alt
import pandas as pd

from analysis.curves import epoch_axis, legend_names, lines, subtitle
from analysis.theme import HEIGHT, WIDTH, explorable


def distance_from_init(
    values: pd.DataFrame,
    summary: pd.DataFrame,
    diverged: pd.DataFrame,
    batch_sizes: dict[str, int],
    title: str,
) -> alt.HConcatChart:
    """Distance of all weights from init (L2) against epoch, a panel a scale.

    `values` are `frames.distances`, `summary` their `intervals.summarize`. Source:
    article, "Getting Far Enough" (SGD) and "ADAM vs SGD" (Adam).
    """
    names = legend_names(batch_sizes, diverged)
    y = alt.Y("value:Q", title="weight distance from init (L2)")
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
