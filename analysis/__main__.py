"""Tables and charts of stored sweeps: python -m analysis [NAME]..."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis import frames, tables
from raybs.config import record_from_json
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
    from analysis.figures import figures as charts_of
    from analysis.theme import save

    loaded = frames.load(store)
    local = store.filesystem.type_name == "local"
    top = Path(figures or (Path(store.root) / "figures" if local else "figures"))
    for name in names:
        found = frames.only(loaded, name)
        table = tables.final_table(found.trials)
        print_table(table[:MAX_PRINTED], f"{name}: {found.trials['title'].iloc[0]}")
        if len(table) > MAX_PRINTED:
            click.echo(f"... and {len(table) - MAX_PRINTED} more configs in table.md.")
        folder = top / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "table.md").write_text(tables.to_markdown(table), "utf-8")
        charts = charts_of(found)
        if not charts:
            click.echo(f"{name}: nothing measured yet, so there is no chart.")
        for chart_name, chart in charts.items():
            save(chart, folder, chart_name)
        click.echo(f"Written to {folder}: {', '.join(['table', *charts])}")


def print_table(table: pd.DataFrame, title: str) -> None:
    """Print accuracy and distances, then norms and cosines: both fit a terminal."""
    console = Console(highlight=False)
    if not console.is_terminal or console.width < 80:  # cut lines are worse than long
        console.width = 120
    console.print(Text(f"\n{title}", "bold"))
    console.print("Ours, and the article's in brackets:")
    for columns in (list(table.columns[:5]), ["config", *table.columns[5:]]):
        shown = Table(box=SIMPLE_HEAD)
        for column in columns:
            shown.add_column(column, no_wrap=column != "config")
        for row in table[columns].to_numpy().tolist():
            shown.add_row(*map(Text, row))
        console.print(shown)


if __name__ == "__main__":
    main()
