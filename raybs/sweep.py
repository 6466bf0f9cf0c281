"""Find, plan, launch, summarize and draw sweeps: python -m raybs.sweep NAME."""

from raybs import interrupts

if __name__ == "__main__":  # before all other imports, which take a while
    interrupts.install("python -m raybs.sweep")

import click

from raybs.cli.command import Where, run_command, with_options
from raybs.cli.errors import refuse_together, said_politely
from raybs.cli.grid import grid_command
from raybs.cli.groups import SETTINGS, Branching
from raybs.cli.numbers import WholeNumber
from raybs.cli.prune import prune_store
from raybs.cli.values import Crossed, ListOf, Seeds, SweepName
from raybs.config.catalog import find_sweep, sweep_names
from raybs.config.gradient_sweep import GradientSweep
from raybs.config.trial import PRECISIONS
from raybs.plan.overrides import Changes
from raybs.plan.resolve import Asked, find
from raybs.store.opening import open_store

EXAMPLES = """
\b
Examples:
  python -m raybs.sweep lr_compensation             # train, then table and charts
  python -m raybs.sweep recovery --plan             # what it would train, and how long
  python -m raybs.sweep batch_size --seeds 5        # seeds 0 to 4, with intervals
  python -m raybs.sweep far_enough --max-epochs 1   # a smoke run: one epoch a phase
  python -m raybs.sweep gradient_competition --draws 20    # the gradient experiment
  python -m raybs.sweep my_sweep.py --local         # your own file, without Ray
  python -m raybs.sweep --prune                     # list states nobody needs, and ask

Interrupted? The same command goes on where it stopped. Exit status: 0; 1 if
something failed; 2 for a wrong request; 130 if it was stopped.
"""


@click.command("sweep", epilog=EXAMPLES, context_settings=SETTINGS)
@click.argument("names", nargs=-1, type=SweepName(), metavar="[NAME | FILE.py]...")
@click.option(
    "--seeds",
    type=Seeds(),
    metavar="N | LIST",
    help="How many seeds (5: 0 to 4), or which ones (0,3,7).  [default: the sweep's]",
)
@click.option(
    "--max-epochs",
    type=WholeNumber(min=1),
    metavar="N",
    help="Cut every phase to N epochs: a smoke run.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    help="Of the matmuls of training, above batch size 8 (of Adam and momentum all); "
    "weights stay float32.  [default: the sweep's]",
)
@click.option(
    "--draws",
    "num_draws",
    type=WholeNumber(min=0),
    metavar="N",
    help="Gradient sweeps: draws per regime and batch size.  [default: the sweep's]",
)
@click.option(
    "--batch-size",
    "batch_sizes",
    type=ListOf(int),
    metavar="LIST",
    help="Gradient sweeps: only these batch sizes (16,64,1024).",
)
@click.option(
    "--regime",
    "regimes",
    type=ListOf(str),
    metavar="LIST",
    help="Gradient sweeps: only these regimes (early,late).",
)
@click.option(
    "--crossed",
    type=Crossed(),
    metavar="SETSxORDERS",
    help="Gradient sweeps: besides, so many sample sets under so many orders each "
    "(30x30): what makes the norms differ.",
)
@click.option(
    "--frozen",
    is_flag=True,
    help="Gradient sweeps: hold the weights still: a control, of a name of its own.",
)
@click.option(
    "--keep-gradients",
    is_flag=True,
    help="Gradient sweeps: keep what draws add up to; --plan says how many bytes.",
)
@click.option("--list", "list_only", is_flag=True, help="List the sweeps there are.")
@click.option(
    "--prune",
    is_flag=True,
    help="List states that no sweep goes on from, neither of raybs nor of this results "
    "folder, and ask whether to delete them; with --plan only list them.",
)
@with_options
def sweep_command(
    names: tuple[str, ...],
    seeds: list[int] | None,
    max_epochs: int | None,
    precision: str | None,
    num_draws: int | None,
    batch_sizes: list[int] | None,
    regimes: list[str] | None,
    crossed: tuple[int, int] | None,
    frozen: bool,
    keep_gradients: bool,
    list_only: bool,
    prune: bool,
    where: Where,
) -> None:
    """Run one or more sweeps, and end with their tables and charts.

    Trials are trained, draws of gradient sweeps are taken. What the results folder
    already holds is not done again, whichever sweep it is from. For grids of your own:
    python -m raybs.sweep grid --help.
    """
    draws = {
        "num_draws": num_draws,
        "batch_sizes": batch_sizes,
        "regimes": regimes,
        "crossed": crossed,
        "frozen": frozen or None,
    }
    changes = Changes(
        seeds=seeds or (),
        max_epochs=max_epochs,
        precision=precision,
        draws={name: value for name, value in draws.items() if value is not None},
        keep_gradients=keep_gradients,
    )
    with said_politely():
        refuse_together("--prune", prune, names=names)
        if list_only:
            say_sweeps()
        elif prune:
            store = open_store(where.results)
            prune_store(store, dry_run=where.plan_only, confirmed=where.yes)
        else:
            run_command(lambda: find_asked(names, changes), where)


def find_asked(names: tuple[str, ...], changes: Changes) -> list[Asked]:
    """Return what the sweeps `names` ask for with `changes`.

    Raises:
        ValueError: None is named, or one is not as it must be.
    """
    if not names:
        raise ValueError(f"Name a sweep: {', '.join(sweep_names())}; or see --help.")
    if "grid" in names:
        raise ValueError("'grid' stands alone: python -m raybs.sweep grid --help.")
    return find(names, changes)


def say_sweeps() -> None:
    """Print every sweep with its title and its number of configs."""
    for name in sweep_names():
        _, title, sweep = find_sweep(name)
        size = f"{len(sweep.configs)} configs"
        if isinstance(sweep, GradientSweep):
            size += f", {len(sweep.batch_sizes)} batch sizes, {sweep.num_draws} draws"
        click.echo(f"{name:22}{title}  ({size})")


main = Branching(sweep_command, [grid_command])

if __name__ == "__main__":
    interrupts.run(main)
