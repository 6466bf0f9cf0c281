"""python -m raybs.sweep grid: a sweep from lists of values on the command line."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from raybs.cli.axes import AXES, with_axes
from raybs.cli.command import Where, run_command, with_options
from raybs.cli.errors import said_politely
from raybs.cli.groups import SETTINGS
from raybs.cli.numbers import Number, WholeNumber
from raybs.cli.values import Goal, ListOf, Seeds, Widths
from raybs.config.catalog import check_own_name
from raybs.config.grid import MAX_TRIALS, TIMED_EPOCHS, grid
from raybs.config.sweep import UNTIL
from raybs.plan.overrides import Changes
from raybs.plan.resolve import Asked, ask

EXAMPLES = """
\b
Examples:
  python -m raybs.sweep grid --batch-size 16,64,256 --learning-rate 0.01,0.1 \\
      --epochs 10 --seeds 3                    # all combinations
  python -m raybs.sweep grid --batch-size 64,512 --learning-rate 0.01 \\
      --learning-rate-rule linear --steps 10000           # 0.01 at 64, 0.08 at 512
  python -m raybs.sweep grid --batch-size 64,512 --learning-rate 0.01,0.05 \\
      --zip batch_size,learning_rate --seconds 60         # two pairs, a minute each
  python -m raybs.sweep grid --batch-size 32,256 --learning-rate 0.03,0.1 \\
      --epochs 30 --until test_accuracy=0.97              # how soon is 97 % reached?
  python -m raybs.sweep grid --dataset my.npz --hidden 256,256 --hidden 1024 \\
      --batch-size 64 --learning-rate 0.001 --optimizer adam,adamw --epochs 5
  python -m raybs.sweep grid --model net.py:make --dataset my.npz --epochs 5 \\
      --batch-size 16,64,128 --learning-rate 0.01,0.1         # your own network
  python -m raybs.sweep grid ... --plan                   # what it would take

Every LIST has commas. python -m analysis advise RESULTS says what came out.
"""


@click.command("grid", epilog=EXAMPLES, context_settings=SETTINGS)
@with_axes
@click.option(
    "--seconds",
    type=Number(min=0, min_open=True),
    metavar="S",
    help="Or: seconds of training, as in 60: a trial ends at the first measured epoch "
    f"after them (or after --epochs, {TIMED_EPOCHS} if not given).",
)
@click.option(
    "--until",
    type=Goal(),
    multiple=True,
    metavar="COLUMN=VALUE",
    help="End a trial when it reaches this, as in test_accuracy=0.97 or "
    f"test_loss=0.1 ({', '.join(UNTIL)}).",
)
@click.option(
    "--base-batch-size",
    type=WholeNumber(min=1),
    default=64,
    show_default=True,
    metavar="N",
    help="The batch size that --learning-rate is for, where a rule is given, as in "
    "256.",
)
@click.option(
    "--nesterov", is_flag=True, help="Nesterov's, as in --momentum 0.9 --nesterov."
)
@click.option(
    "--hidden",
    type=Widths(),
    multiple=True,
    default=("1024,1024",),
    show_default=True,
    metavar="WIDTHS",
    help="Widths of hidden layers of mlp, as in 256,256, or none; several times for "
    "several networks.",
)
@click.option(
    "--zip",
    "zipped",
    type=ListOf(str),
    metavar="NAMES",
    help="Walk these lists together, do not multiply them: batch_size,learning_rate.",
)
@click.option(
    "--seeds",
    type=Seeds(),
    default="1",
    show_default=True,
    metavar="N | LIST",
    help="How many seeds (3: 0 to 2), or which ones (0,3,7).",
)
@click.option(
    "--evaluate-every",
    type=WholeNumber(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Epochs between two measurements, as in 5.",
)
@click.option(
    "--name",
    default="grid",
    show_default=True,
    metavar="NAME",
    help="What the results are called, as in wide; another grid of the same name "
    "takes its place only with --replace.",
)
@with_options
def grid_command(
    name: str,
    seeds: list[int],
    until: tuple[tuple[str, float], ...],
    hidden: tuple[tuple[int, ...], ...],
    zipped: list[str] | None,
    seconds: float | None,
    base_batch_size: int,
    evaluate_every: int,
    nesterov: bool,
    where: Where,
    axes: dict[str, Any],
) -> None:
    """Train all combinations of lists of values; end with tables, charts and advice.

    Say how long a trial is by --epochs, --steps, --samples or --seconds: what is equal
    for all of them decides which batch size is best.
    """

    def asked() -> list[Asked]:
        check_own_name(name)
        sweep = grid(
            **axes,
            nesterov=nesterov,
            hidden=list(hidden),
            seconds=seconds,
            base_batch_size=base_batch_size,
            zipped=zipped or (),
            seeds=seeds,
            until=_goals(until),
            evaluate_every=evaluate_every,
            max_trials=None if where.yes else MAX_TRIALS,
        )
        return [ask(name, _title({**axes, "hidden": hidden}), sweep, Changes())]

    with said_politely():
        run_command(asked, where)


def _title(axes: Mapping[str, Sequence[Any] | None]) -> str:
    several = [axis for axis in (*AXES, "hidden") if len(axes[axis] or ()) > 1]
    names = ", ".join(axis.replace("_", " ") for axis in several)
    return f"Grid over {names or 'one point'}"


def _goals(pairs: Sequence[tuple[str, float]]) -> dict[str, float]:
    goals: dict[str, float] = {}
    for column, value in pairs:
        if column in goals:
            raise ValueError(f"--until {column} is given twice; give it once.")
        goals[column] = value
    return goals
