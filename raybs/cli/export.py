"""raybs export: a sweep's tidy frames as files, for other programs to read."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from raybs.beside import import_beside
from raybs.cli.errors import said_politely
from raybs.cli.groups import SETTINGS, results_option
from raybs.config.gradient_sweep import GradientSweep
from raybs.store.files import replacing
from raybs.store.opening import open_store
from raybs.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = """
\b
Examples:
  raybs export lr_compensation frames                # trials.parquet, history.parquet
  raybs export grid frames --format csv              # the same, as text
  raybs export gradient_competition frames           # draws, histogram and cells
"""


@click.command("export", epilog=EXAMPLES, context_settings=SETTINGS)
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@results_option
@click.option(
    "--format",
    "kind",
    type=click.Choice(("parquet", "csv")),
    default="parquet",
    show_default=True,
    help="Parquet keeps the types of columns; CSV is text.",
)
def main(name: str, folder: Path, results: str, kind: str) -> None:
    """Write the tidy frames of the sweep NAME to FOLDER, one file each.

    Of a training sweep its trials and their history, of a gradient sweep its draws, the
    histogram of their entries and the cells. Files of these names are replaced.
    """
    with said_politely():
        frames = read_frames(open_store(results), name)
        folder.mkdir(parents=True, exist_ok=True)
        for stem, frame in frames.items():
            path = folder / f"{stem}.{kind}"
            write_frame(path, frame)
            click.echo(f"{path}: {len(frame):,} rows, {len(frame.columns)} columns")


def read_frames(store: Store, name: str) -> dict[str, "pd.DataFrame"]:
    """Return the frames of a sweep by the names of their files.

    Raises:
        ValueError: The results hold no such sweep.
    """
    import_beside("analysis")
    from analysis.frames.draws import load_draws
    from analysis.frames.sweeps import find_sweeps
    from analysis.frames.trials import load, only

    if isinstance(find_sweeps(store, [name])[name], GradientSweep):
        drawn = load_draws(store, name)
        return {
            "draws": drawn.draws,
            "histogram": drawn.histogram,
            "cells": drawn.cells,
        }
    trained = only(load(store), name)
    return {"trials": trained.trials, "history": trained.history}


def write_frame(path: Path, frame: "pd.DataFrame") -> None:
    """Replace the file `path`, at once, by `frame`: as CSV, or else as Parquet."""
    with replacing(path) as beside:
        if path.suffix == ".csv":
            frame.to_csv(beside, index=False)
        else:
            frame.to_parquet(beside, index=False)
