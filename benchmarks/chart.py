"""Step times of the benchmark, beside those of other training loops."""

import altair as alt
import pandas as pd

from analysis.charts.theme import WIDTH

COLORS = {
    "raybs": "#7b4fb5",
    "raybs bfloat16": "#c2a8e0",
    "autograd in memory": "#1f77b4",
    "DataLoader": "#ff7f0e",
    "JAX scan": "#2ca02c",
}


def step_times(times: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """Time of a step, per sample, against batch size: a line per training loop.

    `times` has one row per contender, batch_size and round, with the seconds of one
    step: what `python -m benchmarks.step` writes. Points are medians over rounds, bars
    quartiles.
    """
    shown = times[times["contender"].isin(COLORS)].copy()
    shown["value"] = 1e6 * shown["seconds"] / shown["batch_size"]
    grouped = shown.groupby(["contender", "batch_size"], sort=False)["value"]
    quartiles = {"lower": 0.25, "median": 0.5, "upper": 0.75}
    columns = {name: grouped.quantile(share) for name, share in quartiles.items()}
    summary = pd.DataFrame(columns).reset_index()
    sizes = sorted(summary["batch_size"].unique().tolist())
    names = [name for name in COLORS if name in set(summary["contender"])]
    color = (
        alt.Color("contender:N")
        .scale(domain=names, range=[COLORS[name] for name in names])
        .title("training loop")
    )
    base = alt.Chart(summary).encode(
        alt.X("batch_size:Q")
        .scale(type="log", base=2)
        .axis(values=sizes)
        .title("batch size"),
        color,
    )
    median = alt.Y("median:Q").scale(type="log").title("microseconds per sample")
    bars = base.mark_rule(strokeWidth=3, opacity=0.5)
    return alt.layer(
        base.mark_line(point=True).encode(median),
        bars.encode(alt.Y("lower:Q"), alt.Y2("upper")),
    ).properties(
        width=1.5 * WIDTH,
        height=300,
        title=alt.TitleParams(
            "A training step on one CPU thread",
            subtitle="median and quartiles of paired rounds; 784-1024-1024-10 on MNIST",
        ),
    )
