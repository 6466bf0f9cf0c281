"""Tables, advice and charts of sweeps: printed, and written to a folder."""

import textwrap
from collections.abc import Sequence
from typing import Any

import altair as alt
import click
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.advice.compare import advise
from analysis.advice.words import MARGIN, words
from analysis.claims.claim import printed_numbers
from analysis.claims.results import Verdict
from analysis.frames.draws import ARTICLES_NORM, Draws, load_draws
from analysis.frames.sweeps import check_any, find_sweeps
from analysis.frames.trials import Frames, load, only
from analysis.report import tables
from analysis.report.files import AT_END, figures_folder, write
from analysis.report.markdown import advice_to_markdown, to_markdown
from analysis.report.tables import FITS, NORM, SPLIT, TAILS, findings_tables, tally
from raybs.config.gradient_sweep import GradientSweep
from raybs.store.store import Store

MAX_PRINTED = 40
"""Of a table's lines on the terminal; the file has all."""

Texts = dict[str, str]

Charts = dict[str, alt.TopLevelMixin]
"""Texts in Markdown, and charts, by the names of their files."""

WRAPPED = ("network", "says", "our runs", "config", "printed", "ours")
"""Columns of verdicts whose lines are broken."""

BULLET: dict[str, Any] = {"initial_indent": "  - ", "subsequent_indent": "    "}


def draw_sweeps(
    store: Store,
    names: Sequence[str],
    figures: str | None,
    kinds: Sequence[str] = AT_END,
) -> None:
    """Print the tables of sweeps, and write tables and charts of these KINDS to files.

    Raises:
        ValueError: The results hold no such sweep.
    """
    sweeps = find_sweeps(store, names)
    check_any(store, sweeps)
    training: Frames | None = None  # read once, and only for a sweep of trials
    has_charts = bool(set(kinds) - {"md"})
    rest = "in table.md" if "md" in kinds else "with --format md"
    for name, sweep in sweeps.items():
        if isinstance(sweep, GradientSweep):
            drawn = load_draws(store, name)
            texts, charts = _draw_draws(drawn, rest, has_charts)
            is_empty = drawn.draws.empty
        else:
            training = training or load(store)
            frames = only(training, name)
            texts, charts = _draw_training(frames, rest, has_charts)
            is_empty = frames.history.empty
        if is_empty:
            click.echo(f"{name}: nothing measured yet, so there is no chart.")
        if kinds:
            write(figures_folder(store, figures, name), texts, charts, kinds)


def _draw_training(frames: Frames, rest: str, has_charts: bool) -> tuple[Texts, Charts]:
    """Print the table of a sweep of trials, and advice; return them, and its charts."""
    from analysis.charts.figures import figures

    texts = {"table": _of_training(frames, rest)}
    charts = figures(frames) if has_charts else {}
    advice, more = advise_on(frames)
    if advice:
        texts["advice"] = advice
    return texts, charts | more


def _draw_draws(drawn: Draws, rest: str, has_charts: bool) -> tuple[Texts, Charts]:
    """Print the tables of a gradient sweep; return them, and its charts."""
    from analysis.charts.figures import draw_figures

    texts = {"table": _of_draws(drawn, rest)}
    return texts, draw_figures(drawn) if has_charts else {}


def print_findings(verdicts: Sequence[Verdict]) -> None:
    """Print verdicts: findings with a sentence each, then printed numbers."""
    for head, table in findings_tables(verdicts):
        click.echo(f"\n{head}:")
        print_table(table, wrapped=WRAPPED)
    click.echo(tally(verdicts), nl=bool(tally(verdicts)))


def advise_on(
    frames: Frames, *, target: float | None = None, margin: float = MARGIN
) -> tuple[str, Charts]:
    """Print advice, where trials have ended; return it as Markdown, and its charts.

    `target` is a fraction, `margin` in percentage points. No text where there is none.
    """
    from analysis.charts.landscape import landscape

    texts: list[str] = []
    charts: Charts = {}
    title = str(frames.trials["title"].iloc[0])
    for advice in advise(frames, target=target):
        about, said = advice.title, words(advice, margin)
        for head, sentences in said.items():
            click.echo(f"\n{head}{f' ({about})' if about else ''}:")
            for sentence in sentences:
                click.echo(textwrap.fill(sentence, 88, **BULLET))
        # Charts of further questions have numbers; what they are about is their title.
        number = f"_{len(texts) + 1}" if texts else ""
        shown = landscape(advice, f"{title}: {about}" if about else title)
        charts |= {f"{name}{number}": chart for name, chart in shown.items()}
        texts.append(advice_to_markdown(said, about))
    return "\n".join(texts), charts


def _of_training(frames: Frames, rest: str) -> str:
    """Print the final numbers of trials, and where the `rest` is; return all."""
    table = tables.final_table(frames.trials)
    click.echo(f"\n{frames.trials['sweep'].iloc[0]}: {frames.trials['title'].iloc[0]}")
    if not printed_numbers().keys().isdisjoint(frames.trials["label"]):
        click.echo("Ours, and the article's in brackets:")
    for columns in narrow(table):
        print_table(table[columns][:MAX_PRINTED])
    if len(table) > MAX_PRINTED:
        click.echo(f"... and {len(table) - MAX_PRINTED} more configs {rest}.")
    return to_markdown(table)


def _of_draws(drawn: Draws, rest: str) -> str:
    """Print what draws came to, and where the `rest` is; return it all as Markdown."""
    click.echo(f"\n{drawn.name}: {drawn.title}")
    split = tables.split_table(drawn)
    shown = {
        NORM: tables.draws_table(drawn),
        FITS: tables.fits_table(drawn, [ARTICLES_NORM]).drop(columns="of"),
        SPLIT: split,
    }
    for head, table in shown.items():
        if len(table):
            click.echo(f"{head}:")
            for columns in narrow(table, names=2):
                print_table(table[columns][:MAX_PRINTED])
            if len(table) > MAX_PRINTED:
                click.echo(f"... and {len(table) - MAX_PRINTED} more {rest}.")
    if drawn.sweep.crossed and len(split) < len(drawn.cells):
        click.echo("A grid of crossed draws is split only where all are complete.")
    for message in dict.fromkeys(m for m in drawn.cells["message"] if m):
        click.echo(f"Failed: {message}")
    click.echo(f"Tails of the entries, and fits of the other norms: {rest}.")
    written = shown | {TAILS: tables.tails_table(drawn), FITS: tables.fits_table(drawn)}
    return "".join(
        f"{head}:\n\n{to_markdown(table)}\n"
        for head, table in written.items()
        if len(table)
    )


def print_table(table: pd.DataFrame, wrapped: Sequence[str] = ("config",)) -> None:
    """Print a table, as wide as the terminal, or 120 columns."""
    console = Console(highlight=False)
    if not console.is_terminal or console.width < 80:  # cut lines are worse than long
        console.width = 120
    shown = Table(box=SIMPLE_HEAD)
    for column in table.columns:
        shown.add_column(column, no_wrap=column not in wrapped)
    for row in table.to_numpy().tolist():
        shown.add_row(*map(Text, row))
    console.print(shown)


def narrow(table: pd.DataFrame, names: int = 1) -> list[list[str]]:
    """Return the columns in parts that fit a terminal; the first `names` in both."""
    columns = list(table.columns)
    return [columns[:5], [*columns[:names], *columns[5:]]][: 1 + (len(columns) > 5)]
