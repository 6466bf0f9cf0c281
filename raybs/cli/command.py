"""What the commands that run sweeps share: options, plans, what they end with."""

import functools
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import click

from raybs.beside import import_beside
from raybs.cli.errors import refuse_together
from raybs.cli.groups import results_option
from raybs.cli.numbers import Number, WholeNumber
from raybs.cli.values import Replicas, Share
from raybs.config.grid import MAX_TRIALS
from raybs.config.units import duration, size
from raybs.config.validation import count
from raybs.launch.resources import (
    DEVICES,
    MAX_THREADS,
    MAX_WORKERS,
    Resources,
    find_address,
)
from raybs.plan.plan import Plan
from raybs.plan.recorded import find_replaced
from raybs.plan.resolve import Asked
from raybs.plan.speeds import has_half, slower_half
from raybs.runner import carry_out, first_plan, num_workers
from raybs.store.opening import open_store
from raybs.store.store import Store
from raybs.train.networks import with_networks

OPTIONS = [
    results_option,
    click.option(
        "--data",
        metavar="FOLDER",
        help="Where fashion_mnist, kmnist and cifar10 are, or are downloaded to.  "
        "[default: RAYBS_DATA, or the user's cache]",
    ),
    click.option(
        "--plan",
        "plan_only",
        is_flag=True,
        help="Say what would be trained and for how long; start nothing.",
    ),
    click.option("--local", is_flag=True, help="Train in this process, without Ray."),
    click.option(
        "--address",
        metavar="ADDRESS",
        help="Join a running Ray cluster: 'auto', or HOST:PORT.  [default: "
        "RAY_ADDRESS, which jobs on a cluster have]",
    ),
    click.option(
        "--workers",
        type=WholeNumber(min=1, max=MAX_WORKERS),
        metavar="N",
        help="Trials at a time on this machine.  [default: one per core, or GPU]",
    ),
    click.option(
        "--threads",
        type=WholeNumber(min=1, max=MAX_THREADS),
        default=1,
        show_default=True,
        metavar="N",
        help="CPU threads per trial.",
    ),
    click.option(
        "--num-gpus",
        type=WholeNumber(min=0, max=MAX_WORKERS),
        metavar="N",
        help="GPUs that Ray may use on this machine.  [default: all]",
    ),
    click.option(
        "--gpus-per-trial",
        type=Share(),
        metavar="0 | 1 | 1/n",
        help="GPUs per trial, or a share of one.  [default: 1 where there are GPUs]",
    ),
    click.option(
        "--device",
        type=click.Choice(DEVICES),
        help="Device of every trial.  [default: the GPU it was given, or else the CPU]",
    ),
    click.option(
        "--replicas",
        type=Replicas(),
        default="1",
        show_default=True,
        metavar="N | auto",
        help="Trials of equal shape trained side by side in one worker; auto: as many "
        "as a short probe finds fastest. It changes the last digits.",
    ),
    click.option(
        "--trial-timeout",
        type=Number(min=1, max=10**6),
        default=Resources.trial_timeout,
        show_default=True,
        metavar="SECONDS",
        help="On Ray: end a worker that ends no epoch, or no chunk of draws, for so "
        "long; its work starts again.",
    ),
    click.option(
        "--replace",
        is_flag=True,
        help="Let a sweep take the place of a recorded one of its name that has other "
        "trials. Their rows stay stored.",
    ),
    click.option(
        "--yes",
        is_flag=True,
        help="Confirm what would be asked or refused: what --prune deletes, more than "
        f"{MAX_TRIALS:,} trials, bfloat16 where it is slower than float32.",
    ),
    click.option(
        "--keep-states",
        is_flag=True,
        help="Keep the last state of every trial, for python -m raybs.export, also of "
        "those that stop at a goal; what has rows alone is trained again.",
    ),
    click.option(
        "--figures",
        metavar="FOLDER",
        help="Where tables and charts go.  [default: figures, in a local results "
        "folder]",
    ),
]
"""Where a sweep runs, and where its results go."""


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where a sweep runs, and where its results go: the values of OPTIONS."""

    results: str
    data: str | None
    plan_only: bool
    local: bool
    address: str | None
    workers: int | None
    threads: int
    num_gpus: int | None
    gpus_per_trial: float | None
    device: str | None
    replicas: int | None
    trial_timeout: float
    replace: bool
    yes: bool
    keep_states: bool
    figures: str | None

    @property
    def resources(self) -> Resources:
        """What trials run on.

        Raises:
            ValueError: Options exclude each other.
        """
        num_gpus, workers, address = self.num_gpus, self.workers, self.address
        own: dict[str, object] = {"workers": workers, "num_gpus": num_gpus}
        share = {"gpus_per_trial": self.gpus_per_trial}
        refuse_together("--local", self.local, address=address, **own, **share)
        refuse_together("--address", address, **own)
        if not self.local:
            address = find_address(address)
            variable = "RAY_ADDRESS (unset it, to use this machine)"
            refuse_together(variable, address, **own)
        return Resources(
            num_workers=workers,
            num_threads=self.threads,
            num_gpus=num_gpus,
            gpus_per_trial=self.gpus_per_trial,
            device=self.device,
            num_replicas=self.replicas,
            trial_timeout=self.trial_timeout,
            address=address,
        )


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command OPTIONS; it gets their values as `where`."""

    @functools.wraps(command)
    def gathered(**values: Any) -> None:
        where = {field.name: values.pop(field.name) for field in fields(Where)}
        command(where=Where(**where), **values)

    for option in reversed(OPTIONS):
        gathered = option(gathered)
    return gathered


def run_command(ask: Callable[[], list[Asked]], where: Where) -> None:
    """Run what `ask` returns, to tables and charts.

    Raises:
        ValueError: It cannot be run as it is asked for.
    """
    import_beside("analysis")  # which draws at the end; else nothing is trained
    resources = where.resources
    if where.data is not None:
        os.environ["RAYBS_DATA"] = where.data
    asked = [replace(item, keep_states=where.keep_states) for item in ask()]
    missing = where.plan_only
    store = open_store(where.results, create=not missing, missing_ok=missing)
    asked = with_networks(asked, store)
    plan = first_plan(asked, store, resources)
    say_plan(plan, num_workers(resources, local=where.local))
    if where.plan_only:
        say_obstacles(plan, store, asked)
        return
    outcome = carry_out(
        asked,
        plan,
        store,
        resources,
        local=where.local,
        replace=where.replace,
        confirmed=where.yes,
        figures=where.figures,
    )
    from analysis.report.terminal import draw_sweeps

    draw_sweeps(store, [item.name for item in asked], where.figures)
    if outcome.failures or outcome.left:
        click.echo(
            f"{len(outcome.failures)} failed, {outcome.left} epochs and draws are "
            "left; the same command tries again."
        )
        sys.exit(1)


def say_obstacles(plan: Plan, store: Store, asked: Sequence[Asked]) -> None:
    """Print why the plan would be refused, and what would let it run."""
    if has_half(plan) and (slower := slower_half(plan.speed)):
        click.echo(f"Note: {slower}; it needs --yes.")
    for why in find_replaced(store, asked).values():
        click.echo(why)


def say_plan(plan: Plan, num_workers: int) -> None:
    """Print what is asked, stored, shared, to train and to draw."""
    until = any(stretch.until for stretch in plan.stretches)
    most = "at most " if until else ""  # trials may stop before
    verb = "asks" if plan.num_trials == 1 else "ask"
    trials = f"{count(plan.num_trials, 'trial')} {verb} for"
    epochs = f"{trials} {most}{count(plan.asked, 'epoch')}: "
    if not plan.stretches:
        click.echo(f"{epochs}all stored.")
    else:
        click.echo(
            f"{epochs}{plan.stored:,} stored, {plan.shared:,} shared between trials,\n"
            f"{plan.to_train:,} to train in {_stretches(len(plan.stretches))}."
        )
    if plan.draws_asked:
        left = f"{plan.to_draw:,} to take in {count(len(plan.chunks), 'chunk')}"
        stored = f"{plan.draws_asked - plan.to_draw:,} stored, {left}"
        asked = count(plan.draws_asked, "draw")
        click.echo(f"{asked}: {stored if plan.chunks else 'all stored'}.")
    if plan.pieces:
        click.echo(
            f"About {duration(plan.bound(num_workers))} on "
            f"{count(num_workers, 'worker')}; "
            f"{size(plan.num_bytes)} to write."
        )


def _stretches(number: int) -> str:
    return f"{number:,} stretch{'' if number == 1 else 'es'}"
