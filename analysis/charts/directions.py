"""Charts of draws: three ways of adding up, directions, what the variance is due to."""

import altair as alt
import pandas as pd

from analysis.charts.panels import axes, means, side_by_side
from analysis.charts.theme import HEIGHT, WIDTH, explorable, fading
from analysis.metrics import METRICS

PART_COLORS = {"samples": "#1f77b4", "order": "#a89000", "interaction": "#ec6b00"}

DIRECTIONS = ("cosine_to_sample_gradient", "cosine_to_full_gradient", "straightness")
"""Columns of draws about direction."""


def three_norms(summaries: dict[str, pd.DataFrame], title: str) -> alt.HConcatChart:
    """The three ways of adding up, side by side: mean and deviation, log axes.

    `summaries` are `summarize_draws` by column.
    """
    panels = []
    for column, summary in summaries.items():
        _, y = axes("log", "norm")
        name = alt.TitleParams(METRICS[column].title.split(","), fontSize=11)
        panels.append(means(summary, y, "below_log").properties(title=name))
    said = "g is the gradient of a step's mean loss, n its number of samples"
    return side_by_side(panels, title, [said])


def directions(summaries: dict[str, pd.DataFrame], title: str) -> alt.HConcatChart:
    """Cosines of the summed gradient and straightness, against batch size.

    `summaries` are `summarize_draws` by column. Answers the article's open
    question on direction; straightness measures the competition hypothesis.
    """
    panels = [
        means(summaries[name], alt.Y("value:Q").title(METRICS[name].title), "below")
        for name in DIRECTIONS
    ]
    said = "Direction of the plain sum of the steps' gradients: mean and deviation"
    return side_by_side(panels, title, [said])


def variance_split(split: pd.DataFrame, column: str, title: str) -> alt.HConcatChart:
    """Shares of the norm's variance by samples, order, and their interaction.

    `split` is `variance.split_variance`. Answers the article's second open question.
    """
    panels, shares = [], ("share", "lower", "upper")
    for regime, cell in split.groupby("regime", sort=False):
        shown = cell.assign(size=cell["batch_size"].astype(str))
        sizes = [str(size) for size in sorted(cell["batch_size"].unique())]
        bars = (
            alt.Chart(shown)
            .mark_bar(clip=True)
            .encode(
                alt.X("size:N").sort(sizes).title("batch size").axis(labelAngle=0),
                alt.Y("share:Q").title("share of the variance").stack("zero"),
                alt.Color("part:N")
                .scale(domain=list(PART_COLORS), range=list(PART_COLORS.values()))
                .title("due to")
                .legend(symbolType="square"),
                fading(),
                tooltip=[
                    "part:N",
                    alt.Tooltip("batch_size:Q", title="batch size"),
                    *(alt.Tooltip(f"{name}:Q", format=".3f") for name in shares),
                ],
            )
        )
        panels.append(bars.properties(width=WIDTH, height=HEIGHT, title=str(regime)))
    sets, orders = split["num_sets"].max(), split["num_orders"].max()
    said = f"Norm: {METRICS[column].title}; {sets} sample sets x {orders} orders"
    panels = explorable(panels, "part", ["y"])  # batch sizes are names here
    return alt.hconcat(*panels, title=alt.TitleParams(title, subtitle=said))
