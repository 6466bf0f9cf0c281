"""Tables and charts of stored sweeps: python -m analysis [NAME]..."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import altair as alt
import click
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis import frames, tables
from analysis.draws import ARTICLES_NORM, Draws, load_draws
from raybs.draws import GradientSweep
from raybs.records import record_from_json
from raybs.store import Store, open_store

EXAMPLES = """
\b
Examples:
  python -m analysis                                     every sweep in ./results
  python -m analysis lr_compensation                     one of them
  python -m analysis --results docs/reference recovery   the project's own run
"""

MAX_PRINTED = 40
"""Of a table's lines on the terminal; the file has all."""


@click.command(epilog=EXAMPLES, context_settings={"max_content_width": 88})
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--results",
    default="results",
    show_default=True,
    metavar="URI",
    help="Results folder: a path, s3://... or gs://...",
)
@click.option(
    "--figures",
    metavar="FOLDER",
    help="Where tables and charts go.  [default: figures, in a local folder]",
)
def main(names: tuple[str, ...], results: str, figures: str | None) -> None:
    """Print the tables and draw the charts of sweeps, from what is stored so far."""
    logging.basicConfig(format="%(message)s")
    try:
        store = open_store(results)
        known = sorted(store.read_records("sweeps", record_from_json))
        if not known:
            raise ValueError(
                f"{results!r} holds no sweep yet: python -m raybs.sweep NAME"
            )
        draw_sweeps(store, names or known, figures)
    except (KeyboardInterrupt, BrokenPipeError):
        sys.stdout = None  # no second complaint at exit
        sys.exit(130)
    except (ValueError, OSError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)


def draw_sweeps(store: Store, names: Sequence[str], figures: str | None) -> None:
    """Print the tables of sweeps, and write tables and charts to a folder.

    Raises:
        ValueError: The results hold no such sweep.
    """
    from analysis.theme import save

    records = store.read_records("sweeps", record_from_json)
    local = store.filesystem.type_name == "local"
    top = Path(figures or (Path(store.root) / "figures" if local else "figures"))
    unknown = [name for name in names if name not in records]
    if unknown:
        raise ValueError(
            f"No sweep '{unknown[0]}' in these results, only "
            f"{', '.join(sorted(records)) or 'none'}; run it: python -m raybs.sweep "
            f"{unknown[0]}"
        )
    training: frames.Frames | None = None  # read once, and only for a sweep of trials
    for name in names:
        folder = top / name
        if isinstance(records[name][0], GradientSweep):
            text, charts = _of_draws(load_draws(store, name))
        else:
            training = training or frames.load(store)
            text, charts = _of_training(frames.only(training, name))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "table.md").write_text(text, "utf-8")
        if not charts:
            click.echo(f"{name}: nothing measured yet, so there is no chart.")
        for chart_name, chart in charts.items():
            save(chart, folder, chart_name)
        click.echo(f"Written to {folder}: {', '.join(['table', *charts])}")


def _of_training(found: frames.Frames) -> tuple[str, dict[str, alt.TopLevelMixin]]:
    """Print the final numbers of trials; return them as Markdown, and the charts."""
    from analysis.figures import figures

    table = tables.final_table(found.trials)
    click.echo(f"\n{found.trials['sweep'].iloc[0]}: {found.trials['title'].iloc[0]}")
    click.echo("Ours, and the article's in brackets:")
    for columns in tables.narrow(table):
        print_table(table[columns][:MAX_PRINTED])
    if len(table) > MAX_PRINTED:
        click.echo(f"... and {len(table) - MAX_PRINTED} more configs in table.md.")
    return tables.to_markdown(table), figures(found)


def _of_draws(found: Draws) -> tuple[str, dict[str, alt.TopLevelMixin]]:
    """Print what draws came to; return it, and more, as Markdown, and the charts."""
    from analysis.figures import draw_figures

    click.echo(f"\n{found.name}: {found.title}")
    split = tables.split_table(found)
    shown = {
        NORM: tables.draws_table(found),
        FITS: tables.fits_table(found, [ARTICLES_NORM]).drop(columns="of"),
        SPLIT: split,
    }
    for head, table in shown.items():
        if len(table):
            click.echo(f"{head}:")
            for columns in tables.narrow(table, names=2):
                print_table(table[columns][:MAX_PRINTED])
            if len(table) > MAX_PRINTED:
                click.echo(f"... and {len(table) - MAX_PRINTED} more in table.md.")
    if found.sweep.crossed and len(split) < len(found.cells):
        click.echo("A grid of crossed draws is split only where all are complete.")
    for message in dict.fromkeys(m for m in found.cells["message"] if m):
        click.echo(f"Failed: {message}")
    click.echo("Tails of the entries, and fits of the other norms, are in table.md.")
    written = shown | {TAILS: tables.tails_table(found), FITS: tables.fits_table(found)}
    text = "".join(
        f"{head}:\n\n{tables.to_markdown(table)}\n"
        for head, table in written.items()
        if len(table)
    )
    return text, draw_figures(found)


NORM = "The norm is |sum n g|, the article's; mean ± deviation"
FITS = "Powers of the batch size b, with 95 % intervals"
TAILS = "Entries of sum n g: how many a draw are beyond a threshold"
SPLIT = "What the variance of the norm is due to"


def print_table(table: pd.DataFrame) -> None:
    """Print a table, as wide as the terminal, or 120 columns."""
    console = Console(highlight=False)
    if not console.is_terminal or console.width < 80:  # cut lines are worse than long
        console.width = 120
    shown = Table(box=SIMPLE_HEAD)
    for column in table.columns:
        shown.add_column(column, no_wrap=column != "config")
    for row in table.to_numpy().tolist():
        shown.add_row(*map(Text, row))
    console.print(shown)


if __name__ == "__main__":
    main()
