"""Final numbers per config, ours beside the article's."""

import math
from typing import Any

import pandas as pd

from analysis.article import ARTICLE

QUANTITIES = {
    "final_test_accuracy": ("test accuracy (%)", ".2f"),
    "final_weight_distance": ("W", ".2f"),
    "final_bias_distance": ("B", ".3f"),
    "final_weight_norm": ("norm of W", ".1f"),
    "final_cosine_to_init": ("cosines", ".3f"),
}
"""Column of the trials, the article's name for it, how it is written."""


def final_table(trials: pd.DataFrame) -> pd.DataFrame:
    """Return one row per label: status, and QUANTITIES with the article's in brackets.

    Text, ready to be shown: the mean, with the deviation over seeds where there are
    several. Only complete trials are averaged; the others are counted in `status`.
    """
    rows = []
    for label, group in trials.groupby("label", sort=False):
        complete = group[group["status"] == "complete"]
        counts = group["status"].value_counts().items()
        statuses = [str(s) if len(group) == 1 else f"{n} {s}" for s, n in counts]
        row = {"config": str(label), "status": ", ".join(statuses)}
        for column, (title, form) in QUANTITIES.items():
            theirs = _article(str(label), column)
            ours = _ours(complete[column], column, form)
            row[title] = f"{ours} ({theirs})" if theirs else ours
        rows.append(row)
    return pd.DataFrame(rows)


def to_markdown(table: pd.DataFrame) -> str:
    """Return `table` as a Markdown table."""
    rule = ["---"] * len(table.columns)
    lines = [list(table.columns), rule, *table.to_numpy().tolist()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _ours(values: "pd.Series[Any]", column: str, form: str) -> str:
    if values.empty:
        return "-"
    if column == "final_cosine_to_init":
        means = pd.DataFrame(values.tolist()).mean()
        return " ".join(f"{mean:{form}}".removeprefix("0") for mean in means)
    if column == "final_test_accuracy":
        values = values * 100
    text = f"{values.mean():{form}}"
    deviation = values.std()
    return text if math.isnan(deviation) else f"{text} ± {deviation:{form}}"


def _article(label: str, column: str) -> str:
    value = ARTICLE.get(label, {}).get(column)
    if value is None:
        return ""
    if isinstance(value, tuple):
        return " ".join(f"{part:.3f}".removeprefix("0") for part in value)
    return str(value)
