"""Find, plan, launch, summarize and draw sweeps: python -m raybs.sweep NAME."""

from raybs import interrupts

if __name__ == "__main__":  # before all other imports, which take a while
    interrupts.install("python -m raybs.sweep")

import click

from raybs.cli.changes import with_changes
from raybs.cli.command import Where, run_command, with_options
from raybs.cli.errors import refuse_together, said_politely
from raybs.cli.grid import grid_command
from raybs.cli.groups import SETTINGS, Branching
from raybs.cli.prune import prune_store
from raybs.cli.values import SweepName
from raybs.config.catalog import find_sweep, left_out, sweep_names
from raybs.config.gradient_sweep import GradientSweep
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
@with_changes
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
    changes: Changes,
    list_only: bool,
    prune: bool,
    where: Where,
) -> None:
    """Run one or more sweeps, and end with their tables and charts.

    Trials are trained, draws of gradient sweeps are taken. What the results folder
    already holds is not done again, whichever sweep it is from. For grids of your own:
    python -m raybs.sweep grid --help.
    """
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
    """Return what the sweeps `names` ask for with `changes`; say what they leave out.

    Raises:
        ValueError: None is named, or one is not as it must be.
    """
    if not names:
        raise ValueError(f"Name a sweep: {', '.join(sweep_names())}; or see --help.")
    if "grid" in names:
        raise ValueError("'grid' stands alone: python -m raybs.sweep grid --help.")
    asked = find(names, changes)
    for name in names:
        if lacking := left_out(name):
            click.echo(f"{name} runs {lacking}.")
    return asked


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
