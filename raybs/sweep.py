"""Find, plan, launch, summarize and draw sweeps: python -m raybs.sweep NAME."""

import contextlib
import logging
import os
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console

from raybs.asked import Asked, Changes, find, plan_for, write_sweeps
from raybs.catalog import find_sweep, sweep_names
from raybs.config import PRECISIONS
from raybs.cost import USUAL, Speed, speed_from_json
from raybs.data import Arrays, load_arrays
from raybs.display import Display, duration, size
from raybs.draws import GradientSweep
from raybs.fold import fold
from raybs.launch import DEVICES, Resources
from raybs.options import (
    parse_crossed,
    parse_gpus,
    parse_names,
    parse_replicas,
    parse_seeds,
    parse_sizes,
)
from raybs.plan import Plan
from raybs.store import Store, open_store

EXAMPLES = """
\b
Examples:
  python -m raybs.sweep lr_compensation             train, then table and charts
  python -m raybs.sweep recovery --plan             what it would train, and how long
  python -m raybs.sweep batch_size --seeds 5        seeds 0 to 4, with intervals
  python -m raybs.sweep far_enough --max-epochs 1   a smoke run: one epoch a phase
  python -m raybs.sweep gradient_competition --draws 20    the gradient experiment
  python -m raybs.sweep my_sweep.py --local         your own file, without Ray
  python -m raybs.sweep --prune                     delete states nobody needs

Interrupted? The same command goes on where it stopped. Exit status: 0; 1 if
something failed; 2 for a wrong request; 130 if it was stopped.
"""

log = logging.getLogger("raybs")

MAX_ROUNDS = 3
"""Chunks of another driver, or of workers that outlived one, may overlap with ours:
then some do not count (`raybs.fold`), and their draws are taken in another round."""


@click.command(epilog=EXAMPLES, context_settings={"max_content_width": 88})
@click.argument("names", nargs=-1, metavar="[NAME | FILE.py]...")
@click.option(
    "--results",
    default="results",
    show_default=True,
    metavar="URI",
    help="Results folder: a path, s3://... or gs://...",
)
@click.option(
    "--seeds",
    metavar="N | LIST",
    help="How many seeds (5: 0 to 4), or which ones (0,3,7).  [default: the sweep's]",
)
@click.option(
    "--max-epochs",
    type=click.IntRange(min=1),
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
    type=int,
    metavar="N",
    help="Gradient sweeps: draws per regime and batch size.  [default: the sweep's]",
)
@click.option(
    "--batch-size",
    "batch_sizes",
    metavar="LIST",
    help="Gradient sweeps: only these batch sizes (16,64,1024).",
)
@click.option(
    "--regime",
    "regimes",
    metavar="LIST",
    help="Gradient sweeps: only these regimes (early,late).",
)
@click.option(
    "--crossed",
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
@click.option(
    "--plan",
    "plan_only",
    is_flag=True,
    help="Say what would be trained and for how long; start nothing.",
)
@click.option("--list", "list_only", is_flag=True, help="List the sweeps there are.")
@click.option(
    "--prune",
    is_flag=True,
    help="Delete states that no sweep goes on from, neither of raybs nor of this "
    "results folder; with --plan only say how much.",
)
@click.option("--local", is_flag=True, help="Train in this process, without Ray.")
@click.option(
    "--address",
    metavar="ADDRESS",
    help="Join a running Ray cluster: 'auto', or HOST:PORT.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Trials at a time on this machine.  [default: one per core, or GPU]",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="CPU threads per trial.",
)
@click.option(
    "--num-gpus",
    type=click.IntRange(min=0),
    metavar="N",
    help="GPUs that Ray may use on this machine.  [default: all]",
)
@click.option(
    "--gpus-per-trial",
    metavar="0 | 1 | 1/n",
    help="GPUs per trial, or a share of one.  [default: 1 where there are GPUs]",
)
@click.option(
    "--device",
    type=click.Choice(DEVICES),
    help="Device of every trial.  [default: the GPU it was given, or else the CPU]",
)
@click.option(
    "--replicas",
    default="1",
    show_default=True,
    metavar="N | auto",
    help="Trials of equal shape trained side by side in one worker; auto: as many as "
    "a short probe finds fastest. It changes the last digits.",
)
@click.option(
    "--figures",
    metavar="FOLDER",
    help="Where tables and charts go.  [default: figures, in a local results folder]",
)
def main(
    names: tuple[str, ...],
    results: str,
    seeds: str | None,
    max_epochs: int | None,
    precision: str | None,
    num_draws: int | None,
    batch_sizes: str | None,
    regimes: str | None,
    crossed: str | None,
    frozen: bool,
    keep_gradients: bool,
    plan_only: bool,
    list_only: bool,
    prune: bool,
    local: bool,
    address: str | None,
    workers: int | None,
    threads: int,
    num_gpus: int | None,
    gpus_per_trial: str | None,
    device: str | None,
    replicas: str,
    figures: str | None,
) -> None:
    """Run one or more sweeps, and end with their tables and charts.

    Trials are trained, draws of gradient sweeps are taken. What the results folder
    already holds is not done again, whichever sweep it is from.
    """
    logging.basicConfig(format="%(message)s")
    failures: Mapping[str, str] = {}
    try:
        if list_only:
            return say_sweeps()
        gpus = {"num_gpus": num_gpus, "gpus_per_trial": gpus_per_trial}
        refuse_together("--local", local, address=address, workers=workers, **gpus)
        refuse_together("--address", address, workers=workers, num_gpus=num_gpus)
        refuse_together("--prune", prune, names=names)
        if prune:
            return prune_store(open_store(results), dry_run=plan_only)
        if not names:
            raise ValueError(
                f"Name a sweep: {', '.join(sweep_names())}; or see --help."
            )
        resources = Resources(
            num_workers=workers,
            num_threads=threads,
            num_gpus=num_gpus,
            gpus_per_trial=parse_gpus(gpus_per_trial),
            device=device,
            num_replicas=parse_replicas(replicas),
            address=address,
        )
        draws = {
            "num_draws": num_draws,
            "batch_sizes": parse_sizes("--batch-size", batch_sizes),
            "regimes": parse_names(regimes),
            "crossed": parse_crossed(crossed),
            "frozen": frozen or None,
        }
        changes = Changes(
            seeds=parse_seeds(seeds) if seeds is not None else (),
            max_epochs=max_epochs,
            precision=precision,
            draws={name: value for name, value in draws.items() if value is not None},
            keep_gradients=keep_gradients,
        )
        asked = find(names, changes)
        store = open_store(results, create=not plan_only, missing_ok=plan_only)
        # Where a trial will be is not known yet; calibrate corrects it.
        likely = device or ("cuda" if resources.gpus_per_trial else "cpu")
        speed = known_speed(store, likely, threads) or USUAL
        plan = plan_for(asked, store, speed)
        num_workers = (
            1 if local else workers or max((os.cpu_count() or 1) // threads, 1)
        )
        say_plan(plan, num_workers)
        if plan_only:
            return
        check_disk(plan, store, num_workers * (resources.num_replicas or 1))
        names_needed = {stretch.config.dataset for stretch in plan.stretches}
        names_needed |= {chunk.cell.config.dataset for chunk in plan.chunks}
        datasets = {name: load_arrays(name) for name in sorted(names_needed)}
        write_sweeps(store, asked, failed={})
        for _ in range(MAX_ROUNDS):
            if not plan.pieces or failures:
                break
            failures = run(asked, plan, store, datasets, resources, local)
            write_sweeps(store, asked, failures)
            plan = plan_for(asked, store, speed)
        store.compact_rows()
        store.compact_chunks(fold)
        draw(store, [item.name for item in asked], figures)
    except (KeyboardInterrupt, BrokenPipeError):  # Ctrl-C, or the reader is gone
        command = shlex.join(["python", "-m", "raybs.sweep", *sys.argv[1:]])
        click.echo(f"Stopped; what is done is kept. To go on:\n  {command}", err=True)
        sys.stdout = None  # no second complaint at exit
        sys.exit(130)
    except (ValueError, OSError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    left = plan.to_train + plan.to_draw
    if failures or left:
        click.echo(
            f"{len(failures)} failed, {left} epochs and draws are left; the same "
            "command tries again."
        )
        sys.exit(1)


def known_speed(store: Store, device: str, num_threads: int) -> Speed | None:
    """Return what an earlier sweep measured of such workers."""
    speeds = store.read_records("speeds", speed_from_json)
    return speeds.get(speed_name(device, num_threads))


def speed_name(device: str, num_threads: int) -> str:
    """Name a kind of worker."""
    return f"{device}-{num_threads}"


def refuse_together(option: str, given: object, **others: object) -> None:
    """Refuse options that would silently be ignored beside `option`.

    Raises:
        ValueError: One of `others` is given as well.
    """
    for name, value in others.items():
        if given and value not in (None, ()):
            flag = "a sweep" if name == "names" else f"--{name.replace('_', '-')}"
            raise ValueError(f"{option} and {flag} exclude each other; leave one out.")


def say_sweeps() -> None:
    """Print every sweep with its title and its number of configs."""
    for name in sweep_names():
        _, title, sweep = find_sweep(name)
        size = f"{len(sweep.configs)} configs"
        if isinstance(sweep, GradientSweep):
            size += f", {len(sweep.batch_sizes)} batch sizes, {sweep.num_draws} draws"
        click.echo(f"{name:22}{title}  ({size})")


def say_plan(plan: Plan, num_workers: int) -> None:
    """Print what is asked, stored, shared, to train and to draw."""
    epochs = f"{plan.num_trials} trials ask for {plan.asked} epochs: "
    if not plan.stretches:
        click.echo(f"{epochs}all stored.")
    else:
        click.echo(
            f"{epochs}{plan.stored} stored, {plan.shared} shared between trials,\n"
            f"{plan.to_train} to train in {len(plan.stretches)} stretches."
        )
    if plan.draws_asked:
        left = f"{plan.to_draw} to take in {len(plan.chunks)} chunks"
        stored = f"{plan.draws_asked - plan.to_draw} stored, {left}"
        click.echo(
            f"{plan.draws_asked} draws: {stored if plan.chunks else 'all stored'}."
        )
    if plan.pieces:
        workers = f"{num_workers} worker{'s' if num_workers > 1 else ''}"
        click.echo(
            f"About {duration(plan.bound(num_workers))} on {workers}; "
            f"{size(plan.num_bytes)} to write."
        )


def check_disk(plan: Plan, store: Store, num_running: int) -> None:
    """Refuse a plan that does not fit on the disk.

    Raises:
        ValueError: There is less space than the plan will write.
    """
    if store.filesystem.type_name != "local":
        return
    # Besides, every stretch under way has two states while one replaces the other.
    needed = plan.num_bytes + 2 * num_running * plan.largest_state
    free = shutil.disk_usage(store.root).free
    if needed > free:
        raise ValueError(
            f"The plan writes {size(needed)}, but {store.root} has {size(free)} free; "
            "make room (python -m raybs.sweep --prune), or give another --results."
        )


def run(
    asked: Sequence[Asked],
    plan: Plan,
    store: Store,
    datasets: Mapping[str, Arrays],
    resources: Resources,
    local: bool,
) -> dict[str, str]:
    """Train and draw what is left; return failures by the state or cell not reached.

    Workers of a kind that this results folder has not seen are measured, too.

    Raises:
        KeyboardInterrupt: It was told to stop, and has saved what was under way.
        ValueError: The resources asked for are not there.
    """
    console = Console(file=sys.stdout, highlight=False)
    with stopping() as stop, Display(plan, console) as display:
        if local:
            from raybs.local import run_local as launch
        else:
            from raybs.cluster import run_ray as launch

        def calibrate(
            device: str,
            measure: Callable[[], Speed],
            num_workers: int,
            *,
            at_end: bool,
        ) -> Plan:
            display.num_workers = num_workers
            auto = resources.num_replicas is None
            speed = known_speed(store, device, resources.num_threads)
            # On a CPU costs are nearly proportional to the usual ones, so that order
            # and lengths come out alike: no first sweep waits for seconds for it.
            known = speed and (speed.replicas or not auto)
            if not known and (at_end or auto or device != "cpu"):
                try:
                    speed = measure()
                    name = speed_name(device, resources.num_threads)
                    store.write_record("speeds", name, asdict(speed))
                except (OSError, ValueError) as error:
                    if not at_end:
                        raise
                    log.warning("The speed of this machine is not known: %s", error)
            if speed and speed != display.plan.speed and not at_end:
                display.plan = plan_for(asked, store, speed)
            return display.plan

        options: dict[str, Any] = {"on_event": display.on_event, "stop": stop}
        launch(plan, store, datasets, resources, calibrate=calibrate, **options)
        if stop.is_set():
            raise KeyboardInterrupt
    pieces = display.plan.pieces
    return {
        pieces[index].last_key: message for index, message in display.failures.items()
    }


@contextlib.contextmanager
def stopping() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into a flag; a second one interrupts."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        click.echo(
            "\nFinishing what is under way; once more to stop at once.", err=True
        )

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def prune_store(store: Store, *, dry_run: bool) -> None:
    """Delete states that no sweep needs, and say how much went, or would go."""
    from raybs.prune import prune

    num_files, num_bytes = prune(store, dry_run=dry_run)
    verb = "would go" if dry_run else "are gone"
    click.echo(f"{num_files} states, {size(num_bytes)}, {verb}.")


def draw(store: Store, names: Sequence[str], figures: str | None) -> None:
    """Print the tables and draw the charts of these sweeps."""
    from analysis.__main__ import draw_sweeps

    draw_sweeps(store, names, figures)


if __name__ == "__main__":
    # The packages beside this one, whatever the current folder holds by these names.
    sys.path.insert(0, str(Path(__file__).parent.parent))
    main()
