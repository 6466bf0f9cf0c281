"""Find, plan, launch, summarize and draw sweeps: python -m raybs.sweep NAME."""

import contextlib
import logging
import os
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

import click
from rich.console import Console

from raybs.catalog import find_sweep, sweep_names
from raybs.config import (
    TRAINER_VERSION,
    TrainSweep,
    sweep_from_json,
    sweep_to_json,
    truncated,
    with_seeds,
)
from raybs.data import describe
from raybs.display import Display, duration, size
from raybs.launch import DEVICES, Resources
from raybs.plan import Plan, Request, make_plan, requests
from raybs.store import Store, open_store

EXAMPLES = """
\b
Examples:
  python -m raybs.sweep lr_compensation             train, then table and charts
  python -m raybs.sweep recovery --plan             what it would train, and how long
  python -m raybs.sweep batch_size --seeds 5        seeds 0 to 4, with intervals
  python -m raybs.sweep far_enough --max-epochs 1   a smoke run: one epoch a phase
  python -m raybs.sweep my_sweep.py --local         your own file, without Ray
  python -m raybs.sweep --prune                     delete what no sweep needs

Interrupted? The same command goes on where it stopped.
"""

Asked = dict[str, tuple[str, TrainSweep, list[Request]]]


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
    "--plan",
    "plan_only",
    is_flag=True,
    help="Say what would be trained and for how long; start nothing.",
)
@click.option("--list", "list_only", is_flag=True, help="List the sweeps there are.")
@click.option(
    "--prune",
    is_flag=True,
    help="Delete rows and states that no sweep needs, neither of raybs nor of this "
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
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Trials of equal shape trained side by side in one worker.",
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
    replicas: int,
    figures: str | None,
) -> None:
    """Train the trials of one or more sweeps, and end with their tables and charts.

    What the results folder already holds is not trained again, whichever sweep it is
    from.
    """
    logging.basicConfig(format="%(message)s")
    try:
        if list_only:
            return say_sweeps()
        if prune:
            return prune_store(open_store(results), dry_run=plan_only)
        if not names:
            raise ValueError(
                f"Name a sweep: {', '.join(sweep_names())}; or see --help."
            )
        if local and address:
            raise ValueError("--local and --address exclude each other; leave one out.")
        resources = Resources(
            workers=workers,
            threads=threads,
            num_gpus=num_gpus,
            gpus_per_trial=parse_gpus(gpus_per_trial),
            device=device,
            replicas=replicas,
            address=address,
        )
        asked = find(names, seeds, max_epochs)
        store = open_store(results, create=not plan_only, missing_ok=plan_only)
        plan = plan_for(asked, store)
        num_workers = 1 if local else resources.workers or os.cpu_count() or 1
        say_plan(plan, num_workers)
        if plan_only:
            return
        check_disk(plan, store, num_workers)
        write_sweeps(store, asked, failed={})
        failures: Mapping[int, str] = {}
        if plan.stretches:
            failures = run(plan, store, resources, local)
            write_sweeps(store, asked, failed_states(plan, failures))
            store.compact_rows()
    except (ValueError, OSError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        command = shlex.join(["python", "-m", "raybs.sweep", *sys.argv[1:]])
        click.echo(f"Stopped; what is done is kept. To go on:\n  {command}", err=True)
        sys.exit(130)
    draw(store, list(asked), figures)
    if failures:
        click.echo(f"{len(failures)} stretches failed; the same command tries again.")
        sys.exit(1)


def find(names: Sequence[str], seeds: str | None, max_epochs: int | None) -> Asked:
    """Return title, sweep and requests of every sweep, by name.

    Raises:
        ValueError: A sweep, its configs or its seeds are not as they must be.
    """
    asked = {}
    for given in dict.fromkeys(names):
        name, title, sweep = find_sweep(given)
        if max_epochs:
            sweep = truncated(sweep, max_epochs)
        if seeds:
            sweep = with_seeds(sweep, parse_seeds(seeds))
        asked[name] = (title, sweep, requests(sweep, describe))
    return asked


def parse_seeds(text: str) -> list[int]:
    """Read "5" as the seeds 0 to 4, and "0,3,7" as these.

    Raises:
        ValueError: It is neither.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or parts == ["0"]:
        raise ValueError(
            f"--seeds {text!r}: give how many (5 means 0 to 4), or a list: 0,3,7."
        )
    numbers = [int(part) for part in parts]
    return numbers if len(numbers) > 1 else list(range(numbers[0]))


def parse_gpus(text: str | None) -> float | None:
    """Read a share of a GPU: "0", "1", "1/4" or "0.25".

    Raises:
        ValueError: It is another number, which Ray could not place.
    """
    if text is None:
        return None
    top, _, bottom = text.partition("/")
    with contextlib.suppress(ValueError, ZeroDivisionError):
        value = float(top) / float(bottom or 1)
        if value in (0.0, 1.0):
            return value
        if 0 < value < 1 and abs(1 / value - round(1 / value)) < 0.01:
            return 1 / round(1 / value)
    raise ValueError(
        f"--gpus-per-trial {text!r}: trials share a GPU evenly; use 0, 1, "
        "1/2, 1/3, 1/4, 1/8 or any other 1/n."
    )


def plan_for(asked: Asked, store: Store) -> Plan:
    """Plan the union of all that is asked for, minus what `store` holds."""
    rows = store.read_rows(["state_key", "status"]).to_pydict()
    status = dict(zip(rows["state_key"], rows["status"], strict=True))
    found = [request for _, _, requested in asked.values() for request in requested]
    return make_plan(found, status, store.state_files().keys())


def say_sweeps() -> None:
    """Print every sweep with its title and its number of configs."""
    for name in sweep_names():
        _, title, sweep = find_sweep(name)
        click.echo(f"{name:22}{title}  ({len(sweep.configs)} configs)")


def say_plan(plan: Plan, num_workers: int) -> None:
    """Print what is asked, stored, shared and to train."""
    if not plan.stretches:
        click.echo(f"{plan.num_trials} trials, {plan.asked} epochs: all stored.")
        return
    workers = f"{num_workers} worker{'s' if num_workers > 1 else ''}"
    click.echo(
        f"{plan.num_trials} trials ask for {plan.asked} epochs: {plan.stored} stored, "
        f"{plan.shared} shared between trials,\n{plan.to_train} to train in "
        f"{len(plan.stretches)} stretches, "
        f"about {duration(plan.makespan(num_workers))} on {workers} of one CPU thread; "
        f"{size(plan.state_bytes + plan.row_bytes)} to write."
    )


def check_disk(plan: Plan, store: Store, num_workers: int) -> None:
    """Refuse a plan that does not fit on the disk.

    Raises:
        ValueError: There is less space than the plan will write.
    """
    if store.filesystem.type_name != "local":
        return
    # Besides, every worker has an unfinished stretch: two states while one replaces
    # another.
    needed = plan.state_bytes + plan.row_bytes + 2 * num_workers * plan.largest_state
    free = shutil.disk_usage(store.root).free
    if needed > free:
        raise ValueError(
            f"The plan writes {size(needed)}, but {store.root} has {size(free)} free; "
            "make room (python -m raybs.sweep --prune), or give another --results."
        )


def run(
    plan: Plan, store: Store, resources: Resources, local: bool
) -> Mapping[int, str]:
    """Train what is to train; return the message of every failed stretch.

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
        launch(plan, store, resources, on_event=display.on_event, stop=stop)
        if stop.is_set():
            raise KeyboardInterrupt
    return display.failures


@contextlib.contextmanager
def stopping() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into a flag; a second one interrupts."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        click.echo(
            "\nFinishing the current epochs; once more to stop at once.", err=True
        )

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def failed_states(plan: Plan, failures: Mapping[int, str]) -> dict[str, str]:
    """Return the messages of failed stretches by the state key they did not reach."""
    return {
        plan.stretches[index].keys[plan.stretches[index].stop]: message
        for index, message in failures.items()
    }


def write_sweeps(store: Store, asked: Asked, failed: Mapping[str, str]) -> None:
    """Write down what was asked for: `analysis.load` assembles trials from it."""
    for name, (title, sweep, found) in asked.items():
        wanted = {key for request in found for key in request.keys}
        value: dict[str, Any] = {
            "title": title,
            "trainer_version": TRAINER_VERSION,
            "fingerprints": {r.config.dataset: r.info.fingerprint for r in found},
            "failed": {key: why for key, why in failed.items() if key in wanted},
            **sweep_to_json(sweep),
        }
        store.write_sweep(name, value)


def prune_store(store: Store, *, dry_run: bool) -> None:
    """Delete rows and states that neither this folder's sweeps nor raybs's own need."""
    recorded = [sweep_from_json(value) for value in store.read_sweeps().values()]
    seeds = {config.seed for sweep in recorded for config in sweep.configs} | {0}
    own = [find_sweep(name)[2] for name in sweep_names()]
    sweeps = recorded + [with_seeds(sweep, sorted(seeds)) for sweep in own]
    needed = {
        key for sweep in sweeps for r in requests(sweep, describe) for key in r.keys
    }
    plan = make_plan(
        [request for sweep in sweeps for request in requests(sweep, describe)],
        {},
        set(),
    )
    forks = {s.keys[epoch] for s in plan.stretches for epoch in s.keep}
    states = [
        path
        for key, paths in store.state_files().items()
        for path in paths
        if key not in (forks if path.startswith("states") else needed)
    ]
    rows = store.read_rows(["state_key"])["state_key"].to_pylist()
    num_rows = sum(key not in needed for key in rows)
    before = sum(store.num_bytes(folder) for folder in ("rows", "states", "rolling"))
    verb = "would go" if dry_run else "are gone"
    if not dry_run:
        store.delete(states)
        store.compact_rows(needed.__contains__)
        store.delete_leftovers()
    click.echo(f"{len(states)} states and {num_rows} rows {verb}, of {size(before)}.")


def draw(store: Store, names: Sequence[str], figures: str | None) -> None:
    """Print the tables and draw the charts of these sweeps."""
    from analysis.__main__ import draw_sweeps

    draw_sweeps(store, names, figures)


if __name__ == "__main__":
    main()
