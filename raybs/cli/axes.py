"""The axes of a grid as options: each is a list of values."""

import functools
from collections.abc import Callable
from typing import Any

import click

from raybs.cli.values import ListOf
from raybs.config.rules import RULES
from raybs.config.schedules import SCHEDULES
from raybs.config.trial import INITS, MODELS, OPTIMIZERS, PRECISIONS
from raybs.datasets.download import TORCHVISION

OPTIONS = [
    click.option(
        "--batch-size",
        type=ListOf(int),
        metavar="LIST",
        required=True,
        help="As in 16,64,256.",
    ),
    click.option(
        "--learning-rate",
        type=ListOf(float),
        metavar="LIST",
        required=True,
        help="As in 0.003,0.01: of batch size --base-batch-size, where a rule is "
        "given.",
    ),
    click.option(
        "--epochs",
        type=ListOf(int),
        metavar="LIST",
        help="Budget of a trial: as in 10.",
    ),
    click.option(
        "--steps",
        type=ListOf(int),
        metavar="LIST",
        help="Or: optimizer steps, as in 10000; the last epoch may be cut.",
    ),
    click.option(
        "--samples",
        type=ListOf(int),
        metavar="LIST",
        help="Or: training samples, as in 600000.",
    ),
    click.option(
        "--learning-rate-rule",
        type=ListOf(str),
        default="fixed",
        show_default=True,
        metavar="LIST",
        help="How the rate follows the batch size, as in linear (of "
        f"{', '.join(RULES)}).",
    ),
    click.option(
        "--schedule",
        type=ListOf(str),
        default="constant",
        show_default=True,
        metavar="LIST",
        help=f"As in constant,cosine (of {', '.join(SCHEDULES)}): decay_rate divides "
        "the rate by 5 after each third of a trial, grow_batch multiplies the batch "
        "size by 5 instead.",
    ),
    click.option(
        "--warm-up",
        type=ListOf(int),
        default="0",
        show_default=True,
        metavar="LIST",
        help="Epochs of a linear warm-up of the rate, as in 3.",
    ),
    click.option(
        "--optimizer",
        type=ListOf(str),
        default="sgd",
        show_default=True,
        metavar="LIST",
        help=f"As in sgd,adam (of {', '.join(OPTIMIZERS)}).",
    ),
    click.option(
        "--momentum",
        type=ListOf(float),
        default="0",
        show_default=True,
        metavar="LIST",
        help="Of sgd, as in 0,0.9; the others have none.",
    ),
    click.option(
        "--weight-decay",
        type=ListOf(float),
        default="0",
        show_default=True,
        metavar="LIST",
        help="As in 1e-4.",
    ),
    click.option(
        "--beta1",
        type=ListOf(float),
        default="0.9",
        show_default=True,
        metavar="LIST",
        help="Of adam and adamw: of the first moment, as in 0.9,0.95.",
    ),
    click.option(
        "--beta2",
        type=ListOf(float),
        default="0.999",
        show_default=True,
        metavar="LIST",
        help="Of adam and adamw: of the second moment, as in 0.99.",
    ),
    click.option(
        "--epsilon",
        type=ListOf(float),
        default="1e-8",
        show_default=True,
        metavar="LIST",
        help="Of adam and adamw: what is added to the root of the second moment.",
    ),
    click.option(
        "--model",
        type=ListOf(str),
        default="mlp",
        show_default=True,
        metavar="LIST",
        help=f"As in cnn (of {', '.join(MODELS)}), net.py:make, or "
        "torchvision.models:resnet18: what makes a torch.nn.Module.",
    ),
    click.option(
        "--loss",
        type=ListOf(str),
        default="cross_entropy",
        show_default=True,
        metavar="LIST",
        help="As in losses.py:smoothed: from logits and labels to one value per "
        "sample.",
    ),
    click.option(
        "--init",
        type=ListOf(str),
        default="glorot_uniform",
        show_default=True,
        metavar="LIST",
        help=f"As in he_uniform (of {', '.join(INITS)}).",
    ),
    click.option(
        "--dataset",
        type=ListOf(str),
        default="mnist",
        show_default=True,
        metavar="LIST",
        help=f"As in fashion_mnist (of mnist, {', '.join(TORCHVISION)}), my.npz (with "
        "x_train, y_train, x_test, y_test), or a folder of IDX files.",
    ),
    click.option(
        "--precision",
        type=ListOf(str),
        default="float32",
        show_default=True,
        metavar="LIST",
        help="Of the matmuls of training, as in bfloat16 (of "
        f"{', '.join(PRECISIONS)}).",
    ),
]

AXES = (
    *("batch_size", "learning_rate", "epochs", "steps", "samples", "warm_up"),
    *("momentum", "weight_decay", "learning_rate_rule", "schedule", "optimizer"),
    *("beta1", "beta2", "epsilon", "model", "loss", "init", "dataset", "precision"),
)
"""Options that are lists of values, passed on to `grid`, as titles name them."""


def with_axes(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command OPTIONS; it gets their values as `axes`, by name."""

    @functools.wraps(command)
    def gathered(**values: Any) -> None:
        axes = {name: values.pop(name) for name in AXES}
        command(axes=axes, **values)

    for option in reversed(OPTIONS):
        gathered = option(gathered)
    return gathered
