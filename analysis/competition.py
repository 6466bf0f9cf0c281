"""Charts of draws: norms, their spread and distributions, entries, direction.

Every chart says which norm it draws. Source: article, "Hypothesis: gradient
competition".
"""

import altair as alt
import numpy as np
import pandas as pd

from analysis.draws import NORMS
from analysis.theme import CROSS, HEIGHT, WIDTH, explorable, fading, with_field

REGIME_COLORS = ("#1f77b4", "#2ca02c", "#ec6b00", "#9467bd", "#9a5238", "#dd62b6")
"""The article's early is blue, its late green."""

PART_COLORS = {"samples": "#1f77b4", "order": "#a89000", "interaction": "#ec6b00"}

DIRECTIONS = {
    "cosine_to_sample_gradient": "cosine to the draw's own gradient at the start",
    "cosine_to_full_gradient": "cosine to the full training gradient at the start",
    "straightness": "straightness |sum g| / sum |g|",
}
"""Columns about direction, and what a chart calls them."""

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

    `summary` is `statistics.summarize` `with_bars`, `lines` are `fit_lines`, `diverged`
    has the cells (regime, batch_size, diverged) in which draws diverged: a cross at the
    bottom. `weights` says whose gradient it is.
    Source: article, first figure of the section.
    """
    panels, tooltip = [], _tooltip("mean", "deviation")
    for kind in ("linear", "log"):
        x, y = _axes(kind, f"norm {NORMS[column].split(',')[0]}")
        base = alt.Chart(summary).encode(x, regime_color(summary))
        layers: list[alt.Chart] = []
        if len(lines):
            dash = alt.StrokeDash("line:N").scale(
                domain=list(LINES), range=list(LINES.values())
            )
            curves = alt.Chart(lines).mark_line(strokeWidth=1.2, clip=True)
            layers.append(
                curves.encode(
                    x,
                    with_field(y, "value"),
                    regime_color(summary),
                    dash.title("line"),
                    fading(),
                    tooltip=["regime:N", "text:N"],
                )
            )
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
            layers.append(_crosses(diverged, x, summary))
        panels.append(alt.layer(*layers).properties(width=WIDTH, height=HEIGHT + 40))
    said = [
        f"Norm: {NORMS[column]}; {weights}.",
        f"Points and bars: mean and deviation of {_counts(summary)} draws.",
        *_texts(lines[lines["line"] == "fit"]),
    ]
    if len(diverged):
        said.append(f"{diverged['diverged'].sum()} draws diverged, and are left out.")
    return _side_by_side(panels, title, said)


def normalized_norms(
    summary: pd.DataFrame, column: str, title: str
) -> alt.LayerChart | alt.FacetChart:
    """Mean and deviation, both scaled to the mean of the largest batch size.

    `summary` is `statistics.summarize`. Source: article, second figure of the section.
    """
    x, _ = _axes("log", "")
    y = alt.Y("value:Q").title("normalized norm").scale(zero=False)
    tooltip = _tooltip("normalized_mean", "normalized_deviation")
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
                f"Norm: {NORMS[column]}, times mean(largest batch size) / mean.",
                f"Bars: deviation of {_counts(summary)} draws.",
            ],
        ),
    )


def spread_by_batch_size(
    summary: pd.DataFrame, lines: pd.DataFrame, column: str, title: str
) -> alt.HConcatChart:
    """Deviation, and deviation over mean, against batch size, with fitted powers.

    `summary` is `statistics.summarize`, `lines` are `fit_lines` of both. Answers the
    article's first open question ("Characterize the functional relationship ...").
    """
    panels = []
    for name in ("deviation", "relative_deviation"):
        words = name.replace("_", " ")
        x, y = _axes("log", f"{words} of the norm")
        lower, upper = f"{name}_lower", f"{name}_upper"
        tooltip = _tooltip(name, lower, upper)
        base = alt.Chart(summary).encode(x, regime_color(summary), fading())
        base = base.encode(tooltip=tooltip)
        layers = [
            base.mark_rule(strokeWidth=2, clip=True)
            .transform_filter(f"datum.{lower} > 0")
            .encode(with_field(y, lower), alt.Y2(upper)),
            base.mark_point(filled=True, size=40).encode(with_field(y, name)),
        ]
        fitted = lines[lines["quantity"] == words]
        if len(fitted):
            line = (
                alt.Chart(fitted)
                .mark_line(strokeWidth=1.2)
                .encode(
                    x,
                    with_field(y, "value"),
                    regime_color(summary),
                    fading(),
                    tooltip=["regime:N", "text:N"],
                )
            )
            layers.insert(0, line)
        panels.append(alt.layer(*layers).properties(width=WIDTH, height=HEIGHT + 40))
    said = [
        f"Norm: {NORMS[column]}. Bars: 95 % intervals. Lines: fitted powers.",
        *_texts(lines[lines["quantity"] != "mean"]),
    ]
    return _side_by_side(panels, title, said)


def three_norms(summaries: dict[str, pd.DataFrame], title: str) -> alt.HConcatChart:
    """The three ways of adding up, side by side: mean and deviation, log axes.

    `summaries` are `statistics.summarize` by column.
    """
    panels = []
    for column, summary in summaries.items():
        _, y = _axes("log", "norm")
        name = alt.TitleParams(NORMS[column].split(","), fontSize=11)
        panels.append(_means(summary, y, "below_log").properties(title=name))
    said = "g is the gradient of a step's mean loss, n its number of samples"
    return _side_by_side(panels, title, [said])


def directions(summaries: dict[str, pd.DataFrame], title: str) -> alt.HConcatChart:
    """Cosines of the summed gradient and straightness, against batch size.

    `summaries` are `statistics.summarize` by column. Answers the article's open
    question on direction; straightness measures the competition hypothesis.
    """
    panels = [
        _means(summaries[column], alt.Y("value:Q").title(name), "below")
        for column, name in DIRECTIONS.items()
    ]
    said = "Direction of the plain sum of the steps' gradients: mean and deviation"
    return _side_by_side(panels, title, [said])


def variance_split(split: pd.DataFrame, column: str, title: str) -> alt.HConcatChart:
    """Shares of the norm's variance by samples, order, and their interaction.

    `split` is `statistics.split_variance`. Answers the article's second open question.
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
    said = f"Norm: {NORMS[column]}; {sets} sample sets x {orders} orders"
    panels = explorable(panels, "part", ["y"])  # batch sizes are names here
    return alt.hconcat(*panels, title=alt.TitleParams(title, subtitle=said))


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


def _means(
    summary: pd.DataFrame, y: alt.Y, below: str
) -> alt.LayerChart | alt.FacetChart:
    """Return a panel of means and deviations against batch size, joined by lines."""
    x, _ = _axes("log", "")
    base = alt.Chart(summary).encode(x, regime_color(summary))
    mean, tooltip = with_field(y, "mean"), _tooltip("mean", "deviation")
    return alt.layer(
        base.mark_line(strokeWidth=1).encode(mean, fading()),
        base.mark_rule(strokeWidth=2).encode(
            with_field(y, below), alt.Y2("above"), fading(0.5), tooltip=tooltip
        ),
        base.mark_point(filled=True, size=30).encode(mean, fading(), tooltip=tooltip),
    ).properties(width=0.9 * WIDTH, height=HEIGHT + 40)


def _side_by_side(
    panels: list[alt.LayerChart | alt.FacetChart], title: str, said: list[str]
) -> alt.HConcatChart:
    panels = explorable(panels, "regime")
    return alt.hconcat(*panels, title=alt.TitleParams(title, subtitle=said))


def _axes(kind: str, title: str) -> tuple[alt.X, alt.Y]:
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


def _tooltip(*names: str) -> list[alt.Tooltip]:
    shown = [alt.Tooltip("regime:N"), alt.Tooltip("batch_size:Q", title="batch size")]
    shown += [
        alt.Tooltip(f"{name}:Q", title=name.replace("_", " "), format=".5g")
        for name in names
    ]
    return [*shown, alt.Tooltip("num_draws:Q", title="draws")]


def _crosses(diverged: pd.DataFrame, x: alt.X, summary: pd.DataFrame) -> alt.Chart:
    mark = alt.Chart(diverged).mark_point(shape=CROSS, size=60, strokeWidth=2.5)
    chart: alt.Chart = mark.encode(
        x,
        regime_color(summary),
        fading(0.7),
        y=alt.value(HEIGHT + 30),
        tooltip=["regime:N", "batch_size:Q", alt.Tooltip("diverged:Q")],
    )
    return chart


def _counts(summary: pd.DataFrame) -> str:
    low, high = summary["num_draws"].min(), summary["num_draws"].max()
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _texts(lines: pd.DataFrame) -> list[str]:
    """Return the fits in words, one line per quantity."""
    fits = lines[["quantity", "text"]].drop_duplicates()
    return ["; ".join(texts) for _, texts in fits.groupby("quantity")["text"]]
