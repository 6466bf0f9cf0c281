"""Tables: final numbers per config, ours beside the article's; what draws came to."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.claims.claim import printed_numbers
from analysis.claims.results import VERDICTS, Verdict
from analysis.claims.sentences import measured, quantity
from analysis.frames.draws import (
    ARTICLES_NORM,
    GROUP,
    NORMS,
    CellRow,
    Draws,
    cell_rows,
    complete,
)
from analysis.metrics import Metric, metric_of
from analysis.report import tables
from analysis.statistics.fits import fit_powers, fit_squares
from analysis.statistics.moments import THRESHOLDS, summarize_draws, summarize_entries
from analysis.statistics.variance import split_variance
from raybs.config.status import Status
from raybs.config.validation import count


def findings_tables(
    verdicts: Sequence[Verdict],
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield tables of verdicts, with what they are about."""
    for kind, head in HEADS.items():
        of_kind = [verdict for verdict in verdicts if verdict.claim.kind == kind]
        for table in (tables.findings_table(of_kind), tables.numbers_table(of_kind)):
            if len(table):
                yield head, table


HEADS = {
    "finding": "The article's findings",
    "statement": "What its text says besides",
    "number": "Its numbers, and the means of ours (95 %)",
    "network": "Does it hold for another network?",
    "own": "Your claims",
}


def tally(verdicts: Sequence[Verdict]) -> str:
    """Count the verdicts on the article's findings; "" if there are none."""
    words = [v.verdict for v in verdicts if v.claim.kind == "finding"]
    if not words:
        return ""
    counts = [f"{words.count(word)} {word}" for word in VERDICTS if word in words]
    what = f"the article's {len(words)} findings" if len(words) > 1 else "one finding"
    return f"Of {what}: {', '.join(counts)}."


NORM = "The norm is |sum n g|, the article's; mean ± deviation"

FITS = "Powers of the batch size b, with 95 % intervals"

TAILS = "Entries of sum n g: how many a draw are beyond a threshold"

SPLIT = "What the variance of the norm is due to"

FINAL = (
    "final_test_accuracy",
    "final_weight_distance",
    "final_bias_distance",
    "final_weight_norm",
    "final_cosine_to_init",
)
"""Columns of the trials that the article prints."""


def final_table(trials: pd.DataFrame) -> pd.DataFrame:
    """Return one row per label: status, and FINAL with the article's in brackets.

    Text, ready to be shown: the mean, with the deviation over seeds where there are
    several. Only complete trials are averaged; the others are counted in `status`.
    """
    rows = []
    for label, group in trials.groupby("label", sort=False):
        ended = group[group["status"] == Status.COMPLETE]
        counts = group["status"].value_counts().items()
        statuses = [str(s) if len(group) == 1 else f"{n} {s}" for s, n in counts]
        row = {"config": str(label), "status": ", ".join(statuses)}
        for column in FINAL:
            metric = metric_of(column)
            theirs = _article(str(label), column)
            ours = _ours(ended[column], metric)
            title = metric.column_title or metric.title
            row[title] = f"{ours} ({theirs})" if theirs else ours
        rows.append(row)
    return pd.DataFrame(rows)


def draws_table(drawn: Draws) -> pd.DataFrame:
    """Return one row per regime and batch size, as text: norms and direction.

    Of independent draws that did not diverge. The norm is the sample-weighted one;
    "spread" is its deviation over its mean.
    """
    draws = complete(drawn)
    norms = _by_cell(draws, ARTICLES_NORM)
    cosines = _by_cell(draws, "cosine_to_full_gradient")
    straight = _by_cell(draws, "straightness")
    rows = []
    for cell in cell_rows(drawn):
        key = (cell["regime"], cell["batch_size"])
        row = {"regime": key[0], "batch size": str(key[1]), "draws": _counts(cell)}
        if key in norms:
            of = norms[key]
            row |= {
                "norm": f"{of['mean']:.5g} ± {of['deviation']:.3g}",
                "spread (%)": f"{100 * of['relative_deviation']:.2f} "
                f"({100 * of['relative_deviation_lower']:.2f} to "
                f"{100 * of['relative_deviation_upper']:.2f})",
                "skew": f"{of['skew']:.2f}",
                "kurtosis": f"{of['kurtosis']:.2f}",
                "cosine": f"{cosines[key]['mean']:.3f}",
                "straightness": f"{straight[key]['mean']:.3g}",
            }
        rows.append(row)
    return pd.DataFrame(rows).fillna("-")


def _by_cell(draws: pd.DataFrame, column: str) -> dict[tuple[str, int], dict[Any, Any]]:
    """Return what draws came to by regime and batch size."""
    rows = summarize_draws(draws, column).to_dict("records")
    return {(row["regime"], row["batch_size"]): row for row in rows}


def tails_table(drawn: Draws) -> pd.DataFrame:
    """Return one row per regime and batch size, as text: the entries of sum n_k g_k.

    How many of a draw's entries are beyond a threshold, by magnitude; their deviation,
    and their excess kurtosis, which scale does not change.
    """
    rows = []
    for entry in summarize_entries(drawn.histogram).to_dict("records"):
        row = {"regime": str(entry["regime"]), "batch size": str(entry["batch_size"])}
        row |= {
            f"beyond {threshold:g}": f"{entry[f'beyond_{threshold:g}']:.3g}"
            for threshold in THRESHOLDS
        }
        row |= {
            "deviation": f"{entry['deviation']:.3g}",
            "kurtosis": f"{entry['kurtosis']:.2f}",
        }
        rows.append(row)
    return pd.DataFrame(rows)


def fits_table(drawn: Draws, columns: Iterable[str] = NORMS) -> pd.DataFrame:
    """Return fits of norms against batch size, as text: exponents with intervals."""
    draws = complete(drawn)
    rows = []
    for column in columns:
        for fit in fit_powers(draws, column).to_dict("records"):
            rows.append(
                {
                    "regime": fit["regime"],
                    "of": column.replace("_", " "),
                    "quantity": fit["quantity"],
                    "grows as": f"b^{fit['exponent']:.3f} ({fit['lower']:.3f} to "
                    f"{fit['upper']:.3f})",
                    "R²": f"{fit['r2']:.3f} of logarithms",
                }
            )
        for fit in fit_squares(draws, column).to_dict("records"):
            rows.append(
                {
                    "regime": fit["regime"],
                    "of": column.replace("_", " "),
                    "quantity": "squared mean, a + c b",
                    "grows as": f"bend {fit['bend']:.2f} ({fit['lower']:.2f} to "
                    f"{fit['upper']:.2f}); linear is 0",
                    "R²": f"{fit['r2']:.3f}",
                }
            )
    return pd.DataFrame(rows, columns=["regime", "of", "quantity", "grows as", "R²"])


def split_table(drawn: Draws) -> pd.DataFrame:
    """Return how the norm's variance splits, as text: shares with 95 % intervals."""
    split = split_variance(drawn.draws, ARTICLES_NORM)
    rows = []
    for (regime, size), cell in split.groupby(GROUP, sort=False):
        row = {"regime": str(regime), "batch size": str(size)}
        for part in cell.to_dict("records"):
            row[part["part"]] = (
                f"{100 * part['share']:.0f} % ({100 * part['lower']:.0f} to "
                f"{100 * part['upper']:.0f})"
            )
        rows.append(row)
    return pd.DataFrame(rows)


def findings_table(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """Return one row per claim that is no printed number, as text.

    The network that a claim is about, where it is about one, comes first.
    """
    rows = [
        ({"network": verdict.claim.network} if verdict.claim.network else {})
        | {
            "finding": str(verdict.claim.finding or ""),
            "says": verdict.claim.sentence,
            "verdict": verdict.verdict,
            "our runs": verdict.sentence,
        }
        for verdict in verdicts
        if not verdict.claim.printed
    ]
    return pd.DataFrame(rows)


def numbers_table(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """Return one row per claim of printed numbers, as text: theirs, and ours.

    Ours are means with their intervals. A number per layer is one claim.
    """
    rows = []
    for verdict in verdicts:
        if not verdict.claim.printed:
            continue
        first = verdict.results[0].contrast
        near = [
            f"{number:g} ± {number - result.contrast.low:.2g}"
            for number, result in zip(
                verdict.claim.printed, verdict.results, strict=True
            )
        ]
        ran = [measured(result) for result in verdict.results if result.num]
        num = verdict.results[0].num
        seeds = count(num, "seed")
        rows.append(
            {
                "config": first.of,
                "quantity": quantity(replace(first, layer=None)),
                "printed": "; ".join(near),
                "ours": f"{'; '.join(ran)}, {seeds}" if ran else "-",
                "verdict": verdict.verdict,
            }
        )
    return pd.DataFrame(rows)


def _counts(cell: CellRow) -> str:
    """Say how many draws a cell has, of how many, and what else there is."""
    text = str(cell["independent"])
    if cell["stored"] > cell["independent"]:
        text += f", {cell['stored'] - cell['independent']} crossed"
    if cell["stored"] < cell["asked"]:
        text += f", {cell['asked'] - cell['stored']} missing"
    if cell["diverged"]:
        text += f", {cell['diverged']} diverged"
    return text


def _ours(values: "pd.Series[Any]", metric: Metric) -> str:
    """Write means and deviations, or the means alone of a number per layer."""
    if values.empty:
        return "-"
    form = metric.table_format
    if metric.is_per_layer:
        means = pd.DataFrame(values.dropna().tolist()).mean()
        return " ".join(f"{mean:{form}}".removeprefix("0") for mean in means)
    values = metric.factor * values
    text = f"{values.mean():{form}}"
    deviation = values.std()
    return text if math.isnan(deviation) else f"{text} ± {deviation:{form}}"


def _article(label: str, column: str) -> str:
    printed = printed_numbers().get(label, {}).get(column, ())
    if len(printed) > 1:
        return " ".join(f"{part:.3f}".removeprefix("0") for part in printed)
    return f"{printed[0]:g}" if printed else ""
