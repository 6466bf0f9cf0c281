"""Write a trained network to a file: python -m raybs.export TRIAL --output FILE."""

from raybs import interrupts

if __name__ == "__main__":  # before all other imports, which take a while
    interrupts.install("python -m raybs.export")

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raybs.cli.errors import said_politely
from raybs.cli.groups import SETTINGS, results_option
from raybs.config.own import is_own
from raybs.config.units import size
from raybs.config.validation import count
from raybs.plan.plan import Plan
from raybs.store.files import replacing
from raybs.store.opening import open_store
from raybs.trained import (
    End,
    Wanted,
    end_of,
    find_wanted,
    needs,
    plan_of,
    stored_module,
    trained_module,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

EXAMPLES = """
\b
Examples:
  python -m raybs.export 3f2a9c --output model.safetensors         # by its key
  python -m raybs.export "64 @ 0.01 x 30, seed 1" --output model.safetensors
  python -m raybs.export 3f2a9c --output model.safetensors --plan  # must it train?

A sweep with --keep-states keeps what this needs, also of trials that stop at a goal.
Exit status: 0; 1 if something failed; 2 for a wrong request; 130 if it was stopped.
"""


@click.command("export-model", epilog=EXAMPLES, context_settings=SETTINGS)
@click.argument("trial", metavar="TRIAL")
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the weights go, as model.safetensors; a file there is replaced.",
)
@results_option
@click.option(
    "--data",
    metavar="FOLDER",
    help="Where fashion_mnist, kmnist and cifar10 are.  [default: RAYBS_DATA, or the "
    "user's cache]",
)
@click.option(
    "--plan",
    "plan_only",
    is_flag=True,
    help="Say what would be trained and for how long; start nothing.",
)
@click.option("--yes", is_flag=True, help="Train what is missing without asking.")
def main(
    trial: str,
    output: Path,
    results: str,
    data: str | None,
    plan_only: bool,
    yes: bool,
) -> None:
    """Write the weights that TRIAL ended with to a file, as safetensors.

    TRIAL is a trial's key (the column `trial` of `analysis.load(results).trials`), a
    beginning of it that no other has, or its label. The file holds the state_dict of
    its torch.nn.Module, of the built-in MLP of a torch.nn.Sequential; its metadata and
    what is printed say how inputs are standardized. Where the results hold no state of
    it, it is trained again, once you agree.
    """
    with said_politely():
        check_output(output)
        if data is not None:
            os.environ["RAYBS_DATA"] = data
        store = open_store(results)
        wanted = find_wanted(store, trial)
        module = stored_module(wanted, store)
        if module is None:
            plan = plan_of(wanted, store)
            click.echo(f"No state of {wanted} is stored: {needs(plan)}.")
            if plan_only:
                return
            if not (yes or _is_agreed(wanted, plan)):
                click.echo("Nothing was trained.")
                return
            module = trained_module(wanted, plan, store)
        elif plan_only:
            click.echo(f"The last state of {wanted} is stored: nothing to train.")
            return
        end = end_of(wanted, store)
        assert end is not None  # its state is stored
        for line in write_model(wanted, module, end, output):
            click.echo(line)


def check_output(output: Path) -> None:
    """Refuse a place where no file can be written, before hours of work.

    Raises:
        ValueError: It is one.
    """
    if not output.parent.is_dir():
        raise ValueError(f"--output {output}: there is no folder {output.parent}.")
    if output.exists() and not output.is_file():
        raise ValueError(
            f"--output {output}: this is not a regular file; give another name."
        )
    if not os.access(output.parent, os.W_OK):
        raise ValueError(f"--output {output}: {output.parent} cannot be written.")


def _is_agreed(wanted: Wanted, plan: Plan) -> bool:
    if not sys.stdin.isatty():
        raise ValueError(f"To train {wanted} ({needs(plan)}), confirm it with --yes.")
    try:
        return click.confirm("Train it now, in this process?")
    except click.Abort:  # the end of the input
        return False


def write_model(
    wanted: Wanted, module: "nn.Module", end: End, output: Path
) -> Iterator[str]:
    """Replace `output`, at once, by the state_dict of `module`; say what it is.

    Raises:
        ValueError: The module keeps there what is no tensor.
    """
    tensors = _tensors(module)
    content = _to_bytes(tensors, _metadata(wanted, module, end))
    with replacing(output) as beside:
        beside.write_bytes(content)
    numbers = sum(parameter.numel() for parameter in module.parameters())
    yield (
        f"{output}: {count(len(tensors), 'tensor')}, {count(numbers, 'parameter')}, "
        f"{size(len(content))}"
    )
    scored = ""
    if end.row:
        scored = f", test accuracy {100 * end.row['test_accuracy']:.2f} %"
    yield f"Of {wanted}, after epoch {end.epoch}{scored}."
    yield f"Inputs: {module.standardization}."
    yield f"Module: {_about(wanted, module)}"


def _tensors(module: "nn.Module") -> dict[str, "Tensor"]:
    """Return the state_dict, without memory that two of its tensors share.

    Raises:
        ValueError: Something in it is no tensor.
    """
    import torch

    tensors = {}
    for name, value in module.state_dict().items():
        if not isinstance(value, torch.Tensor):
            kind = type(value).__name__
            raise ValueError(
                f"the module keeps {name}, {kind}, in its state_dict; safetensors "
                "holds tensors alone. Use raybs.load_model, and torch.save."
            )
        tensors[name] = value.detach().cpu().clone().contiguous()
    return tensors


def _metadata(wanted: Wanted, module: "nn.Module", end: End) -> dict[str, Any]:
    config = wanted.request.config
    standardization: Any = module.standardization
    return {
        "trial": wanted.request.keys[-1],
        "label": wanted.trial.full_label,
        "model": config.model,
        "dataset": config.dataset,
        "epoch": end.epoch,
        "test_accuracy": end.row["test_accuracy"] if end.row else None,
        "standardization": asdict(standardization),
    }


def _to_bytes(tensors: Mapping[str, "Tensor"], metadata: Mapping[str, Any]) -> bytes:
    import safetensors.torch

    # One entry: the library writes several in a random order, and what is equal should
    # be one file.
    return safetensors.torch.save(dict(tensors), {"raybs": json.dumps(metadata)})


def _about(wanted: Wanted, module: "nn.Module") -> str:
    if is_own(wanted.request.config.model):
        return f"what {wanted.request.config.model} returns; load_state_dict takes it."
    return " ".join(repr(module).split())


if __name__ == "__main__":
    interrupts.run(main)
