"""What `python -m raybs.sweep` may change in a sweep: options, gathered as Changes."""

import functools
from collections.abc import Callable
from typing import Any

import click

from raybs.cli.numbers import AnyWholeNumber, WholeNumber
from raybs.cli.values import Crossed, ListOf, Seeds
from raybs.config.trial import MODELS, PRECISIONS
from raybs.plan.overrides import Changes

OPTIONS = [
    click.option(
        "--seeds",
        type=Seeds(),
        metavar="N | LIST",
        help="How many seeds (5: 0 to 4), or which ones (0,3,7).  [default: the "
        "sweep's]",
    ),
    click.option(
        "--max-epochs",
        type=WholeNumber(min=1),
        metavar="N",
        help="Cut every phase to N epochs: a smoke run.",
    ),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        help="Of the matmuls of training, above batch size 8 (of Adam and momentum "
        "all); weights stay float32.  [default: the sweep's]",
    ),
    click.option(
        "--model",
        metavar="NAME",
        help=f"Ask it of another network: {MODELS[1]}, net.py:make, or "
        "torchvision.models:resnet18; recorded under a name of its own.",
    ),
    click.option(
        "--loss",
        metavar="NAME",
        help="Train with another loss, as in losses.py:smoothed: from logits and "
        "labels to one value per sample; recorded under a name of its own.",
    ),
    click.option(
        "--draws",
        "num_draws",
        type=AnyWholeNumber(),
        metavar="N",
        help="Gradient sweeps: draws per regime and batch size.  [default: the "
        "sweep's]",
    ),
    click.option(
        "--batch-size",
        "batch_sizes",
        type=ListOf(int),
        metavar="LIST",
        help="Gradient sweeps: only these batch sizes (16,64,1024).",
    ),
    click.option(
        "--regime",
        "regimes",
        type=ListOf(str),
        metavar="LIST",
        help="Gradient sweeps: only these regimes (early,late).",
    ),
    click.option(
        "--crossed",
        type=Crossed(),
        metavar="SETSxORDERS",
        help="Gradient sweeps: besides, so many sample sets under so many orders each "
        "(30x30): what makes the norms differ.",
    ),
    click.option(
        "--frozen",
        is_flag=True,
        help="Gradient sweeps: hold the weights still: a control, of a name of its "
        "own.",
    ),
    click.option(
        "--keep-gradients",
        is_flag=True,
        help="Gradient sweeps: keep what draws add up to; --plan says how many bytes.",
    ),
]

DRAWS = ("num_draws", "batch_sizes", "regimes", "crossed", "frozen")
"""Options that are fields of a gradient sweep."""


def with_changes(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command OPTIONS; it gets their values as `changes`."""

    @functools.wraps(command)
    def gathered(**values: Any) -> None:
        draws = {name: values.pop(name) for name in DRAWS}
        draws["frozen"] = draws["frozen"] or None
        changes = Changes(
            seeds=values.pop("seeds") or (),
            max_epochs=values.pop("max_epochs"),
            precision=values.pop("precision"),
            model=values.pop("model"),
            loss=values.pop("loss"),
            draws={name: value for name, value in draws.items() if value is not None},
            keep_gradients=values.pop("keep_gradients"),
        )
        command(changes=changes, **values)

    for option in reversed(OPTIONS):
        gathered = option(gathered)
    return gathered
