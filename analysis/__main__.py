"""Tables, charts and advice of stored sweeps: python -m analysis [NAME]..."""

import contextlib
import logging
import sys
from collections.abc import Iterator

import click

from analysis import frames
from analysis.show import advise_on, draw_sweeps, figures_folder, write
from analysis.wording import MARGIN
from raybs.records import record_from_json
from raybs.store import open_store

EXAMPLES = """
\b
Examples:
  python -m analysis                                     every sweep in ./results
  python -m analysis lr_compensation                     one of them
  python -m analysis --results docs/reference recovery   the project's own run
  python -m analysis advise results                      what batch size, and why?
"""

ADVICE_EXAMPLES = """
\b
Examples:
  python -m analysis advise results                    of every sweep that compares
  python -m analysis advise results grid --target 0.97 how soon 97 % is reached
  python -m analysis advise results grid --margin 0.5  half a point is no difference
"""


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
    with said_politely():
        store = open_store(results)
        known = sorted(store.read_records("sweeps", record_from_json))
        if not known:
            raise ValueError(
                f"{results!r} holds no sweep yet: python -m raybs.sweep NAME"
            )
        draw_sweeps(store, names or known, figures)


@click.command(
    "advise", epilog=ADVICE_EXAMPLES, context_settings={"max_content_width": 88}
)
@click.argument("results", default="results")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--target",
    type=click.FloatRange(0, 1),
    metavar="ACCURACY",
    help="Test accuracy whose cost is compared, as in 0.97.  [default: what trials "
    "stopped at, or a point below the best]",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 100),
    default=MARGIN,
    show_default=True,
    metavar="POINTS",
    help="Percentage points of accuracy that make no difference to you.",
)
@click.option("--figures", metavar="FOLDER", help="Where advice and charts go.")
def advise_command(
    results: str,
    names: tuple[str, ...],
    target: float | None,
    margin: float,
    figures: str | None,
) -> None:
    """Say which batch size to train with, on what evidence, with which limits.

    From the sweeps NAME of the results folder RESULTS (all, if none is named) that have
    two batch sizes or more under one budget.
    """
    with said_politely():
        store = open_store(results)
        found = frames.load(store)
        known = sorted(found.trials["sweep"].unique())
        num_advised = 0
        for name in names or known:
            part = frames.only(found, name)
            click.echo(f"\n{name}: {part.trials['title'].iloc[0]}")
            percent = None if target is None else 100 * target
            text, charts = advise_on(part, target=percent, margin=margin)
            if text:
                num_advised += 1
                folder = figures_folder(store, figures, name)
                write(folder, {"advice": text}, charts)
            else:
                click.echo(
                    "No advice: of no two batch sizes under one budget have trials "
                    "ended, without diverging, at what they were to reach."
                )
        if not num_advised:
            raise ValueError(
                f"{results!r} holds nothing to advise on; run a grid first: "
                "python -m raybs.sweep grid --help"
            )


@contextlib.contextmanager
def said_politely() -> Iterator[None]:
    """Turn errors of users, and Ctrl-C, into words and an exit status."""
    logging.basicConfig(format="%(message)s")
    try:
        yield
    except (KeyboardInterrupt, BrokenPipeError):
        sys.stdout = None  # no second complaint at exit
        sys.exit(130)
    except (ValueError, OSError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)


if __name__ == "__main__":
    if sys.argv[1:2] == ["advise"]:
        advise_command(sys.argv[2:], prog_name="python -m analysis advise")
    main()
