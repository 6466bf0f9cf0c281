"""Run what is asked for: plan it, launch it, record it; from Python, `run`."""

import contextlib
import logging
import math
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console

from raybs import interrupts
from raybs.beside import check_workers_import_raybs, import_beside
from raybs.config.catalog import check_own_name
from raybs.config.gradient_sweep import GradientSweep, Sweep
from raybs.config.keys import path
from raybs.config.sweep import TrainSweep
from raybs.config.units import size
from raybs.datasets.dataset import Arrays, load_arrays
from raybs.launch.resources import Resources
from raybs.plan.cost import USUAL, Speed, guessed, is_half, speed_from_json
from raybs.plan.overrides import Changes
from raybs.plan.plan import Plan, plan_for
from raybs.plan.processor import processor
from raybs.plan.recorded import find_replaced, write_sweeps
from raybs.plan.resolve import Asked, ask, find
from raybs.store.draws import fold
from raybs.store.opening import Place, open_store
from raybs.store.store import Store
from raybs.trackers.terminal import Display

if TYPE_CHECKING:
    from analysis.frames.draws import Draws
    from analysis.frames.trials import Frames

log = logging.getLogger("raybs")

SLOWER_BY = 1.2
"""Times as long as float32: less is noise of the measurement."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was not done: messages by state or cell not reached; epochs and draws."""

    failures: Mapping[str, str]
    left: int


def run(
    sweep: Sweep | str,
    *,
    name: str = "grid",
    title: str = "",
    results: Place = "results",
    seeds: Sequence[int] = (),
    max_epochs: int | None = None,
    resources: Resources | None = None,
    local: bool = False,
    replace: bool = False,
    confirmed: bool = False,
) -> "Frames | Draws":
    """Train (or draw) what `sweep` asks for and `results` does not hold; return frames.

    `sweep` is what `raybs.grid` returns, any TrainSweep or GradientSweep, or the name
    of one that comes with raybs. Its results are recorded as `name` (a named sweep has
    its own) in the folder or bucket `results`. `seeds` repeat every config, where they
    are given; `max_epochs` cuts every phase. On Ray, with `resources`; or `local`, in
    this process. A recorded sweep of the same name that has other trials is replaced
    only with `replace`; bfloat16 runs where it is slower than float32 only if
    `confirmed`.

    Returns:
        `analysis.Frames` of this sweep, trials and history; of a GradientSweep
        `analysis.Draws`. A trial that failed is there, with its status and message.

    Raises:
        ValueError: The sweep cannot be run as it is asked for; nothing was started.
        KeyboardInterrupt: It was interrupted; what is done is kept.
    """
    import_beside("analysis")
    import analysis

    changes = Changes(seeds=seeds, max_epochs=max_epochs)
    if isinstance(sweep, str):
        [asked] = find([sweep], changes)
    else:
        if not isinstance(sweep, TrainSweep | GradientSweep):
            raise ValueError(
                f"run({sweep!r}): give a sweep's name, what grid() returns, a "
                "TrainSweep or a GradientSweep."
            )
        check_own_name(name)
        asked = ask(name, title or name, sweep, changes)
    store = open_store(results, create=True)
    resources = resources or Resources()
    plan = first_plan([asked], store, resources)
    outcome = carry_out(
        [asked],
        plan,
        store,
        resources,
        local=local,
        replace=replace,
        confirmed=confirmed,
    )
    if outcome.failures or outcome.left:
        why = "; ".join(sorted({*outcome.failures.values()}))
        log.warning("%d epochs and draws are left. %s", outcome.left, why)
    if isinstance(asked.sweep, GradientSweep):
        return analysis.load_draws(store, asked.name)
    return analysis.only(analysis.load(store), asked.name)


def num_workers(resources: Resources, *, local: bool) -> int:
    """Return how many workers this machine has for trials, before Ray is asked."""
    if local:
        return 1
    cores = os.cpu_count() or 1
    return resources.num_workers or max(cores // resources.num_threads, 1)


def first_plan(asked: Sequence[Asked], store: Store, resources: Resources) -> Plan:
    """Plan what `store` does not hold, by the speed it knows of such workers."""
    return plan_for(asked, store, _usual_speed(store, resources))


def carry_out(
    asked: Sequence[Asked],
    plan: Plan,
    store: Store,
    resources: Resources,
    *,
    local: bool,
    replace: bool = False,
    confirmed: bool = False,
    figures: str | None = None,
) -> Outcome:
    """Do all that `plan` says, and record it in `store` once it starts.

    With `replace` also in the place of other sweeps of these names (`find_replaced`),
    whose tables and charts are deleted, in `figures` or where they are by themselves.
    `confirmed` work is done even if it is slower than need be.

    In more than one round, as long as less is left after each: trials that stop at a
    goal may leave what others want behind it; chunks of another driver, or of workers
    that outlived one, may overlap with ours, and then some do not count
    (`raybs.store.draws`).

    Raises:
        KeyboardInterrupt: It was told to stop, and has saved what was under way.
        ValueError: A dataset, the disk or the resources are not as they must be; or it
            is to be replaced, or confirmed, first.
    """
    replaced = find_replaced(store, asked)
    if replaced and not replace:
        raise ValueError("\n".join(replaced.values()))
    workers = num_workers(resources, local=local)
    _check_disk(plan, store, workers * (resources.num_replicas or 1))
    names = {stretch.config.dataset for stretch in plan.stretches}
    names |= {chunk.cell.config.dataset for chunk in plan.chunks}
    datasets = {name: load_arrays(name) for name in sorted(names)}

    def start() -> None:
        """Record what is asked, in the place of what was."""
        if replaced:
            from analysis.report.files import delete_figures

            for name in replaced:
                delete_figures(store, name, figures)
            replaced.clear()
        write_sweeps(store, asked, failed={})

    if not plan.pieces:
        start()
    failures: Mapping[str, str] = {}
    before = math.inf
    while plan.pieces and not failures and len(plan.pieces) + _left(plan) < before:
        before = len(plan.pieces) + _left(plan)
        failures = _launch(
            asked,
            plan,
            store,
            datasets,
            resources,
            local=local,
            confirmed=confirmed,
            on_start=start,
        )
        write_sweeps(store, asked, failures)
        plan = first_plan(asked, store, resources)
    store.compact_rows()
    store.compact_chunks(fold)
    return Outcome(failures=failures, left=_left(plan))


def _left(plan: Plan) -> int:
    return plan.to_train + plan.to_draw


def _usual_speed(store: Store, resources: Resources) -> Speed:
    # Where a trial will be is not known yet; calibrate corrects it.
    likely = resources.device or ("cuda" if resources.gpus_per_trial else "cpu")
    speed = known_speed(store, likely, resources.num_threads) or USUAL
    # Only of this machine's processor, where it is the one that trains.
    is_here = likely == "cpu" and resources.address is None
    return guessed(speed) if is_here else speed


def known_speed(store: Store, device: str, num_threads: int) -> Speed | None:
    """Return what an earlier sweep measured of such workers."""
    speeds = store.read_records("speeds", speed_from_json)
    return speeds.get(_speed_name(device, num_threads))


def _speed_name(device: str, num_threads: int) -> str:
    """Name a kind of worker."""
    return f"{device}-{num_threads}"


def _check_disk(plan: Plan, store: Store, num_running: int) -> None:
    """Refuse a plan that does not fit on the disk.

    Raises:
        ValueError: There is less space than the plan will write.
    """
    disk = store.files.disk
    if disk is None:
        return
    # Besides, every stretch under way has two states while one replaces the other.
    needed = plan.num_bytes + 2 * num_running * plan.largest_state
    free = shutil.disk_usage(disk).free
    if needed > free:
        raise ValueError(
            f"The plan writes {size(needed)}, but {disk} has {size(free)} free; "
            "make room (python -m raybs.sweep --prune), or give another --results."
        )


def _launch(
    asked: Sequence[Asked],
    plan: Plan,
    store: Store,
    datasets: Mapping[str, Arrays],
    resources: Resources,
    *,
    local: bool,
    confirmed: bool,
    on_start: Callable[[], None],
) -> dict[str, str]:
    """Train and draw what is left; return failures by the state or cell not reached.

    `on_start` is called once all is there that the work needs.

    Workers of a kind that this results folder has not seen are measured, too.

    Raises:
        KeyboardInterrupt: It was told to stop, and has saved what was under way.
        ValueError: The resources asked for are not there.
    """
    # Plain lines in a notebook, too: one stream, not an output each.
    console = Console(file=sys.stdout, highlight=False, force_jupyter=False)
    with stopping() as stop, Display(plan, console) as display:
        if local:
            from raybs.launch.local import run_local as launch
        else:
            check_workers_import_raybs()
            from raybs.launch.ray.tune import run_ray as launch

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
            # But bfloat16 may take a tenth of the time of float32, or twenty times it.
            half = device == "cpu" and has_half(display.plan)
            known = speed and (speed.replicas or not auto)
            known = known and not (half and speed and speed.bfloat16 is None)
            if not known and (at_end or auto or half or device != "cpu"):
                try:
                    speed = measure()
                    name = _speed_name(device, resources.num_threads)
                    store.write_record("speeds", name, asdict(speed))
                except (OSError, ValueError) as error:
                    if not at_end:
                        raise
                    log.warning("The speed of this machine is not known: %s", error)
            if half and speed and not at_end and not confirmed:
                _check_half(speed)
            if not at_end:
                on_start()
            if speed and speed != display.plan.speed and not at_end:
                display.plan = plan_for(asked, store, speed)
            return display.plan

        options: dict[str, Any] = {"on_event": display.on_event, "stop": stop}
        launch(plan, store, datasets, resources, calibrate=calibrate, **options)
    pieces = display.plan.pieces
    return {
        pieces[index].last_key: message for index, message in display.failures.items()
    }


def has_half(plan: Plan) -> bool:
    """Tell whether some epoch of `plan` has matmuls in bfloat16."""
    return any(
        is_half(stretch.config, epoch.batch_size)
        for stretch in plan.stretches
        if stretch.config.precision == "bfloat16"  # else its path need not be walked
        for epoch in path(stretch.config)[stretch.start : stretch.stop]
    )


def slower_half(speed: Speed) -> str:
    """Say how much slower bfloat16 is than float32; "" if it is not known to be."""
    if speed.bfloat16 is None or speed.bfloat16 < SLOWER_BY:
        return ""
    where = speed.processor or processor()
    return (
        f"bfloat16 takes {speed.bfloat16:.2g} times as long as float32 on this "
        f"processor ({where})"
    )


def _check_half(speed: Speed) -> None:
    """Refuse bfloat16 where it is slower than float32.

    Raises:
        ValueError: It is.
    """
    if why := slower_half(speed):
        raise ValueError(
            f"{why}, measured where it would train. Leave --precision bfloat16 out, or "
            "confirm it with --yes (confirmed=True)."
        )


@contextlib.contextmanager
def stopping() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into a flag; a second one interrupts.

    Raises:
        KeyboardInterrupt: At the end of the block, if there was one.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            interrupts.interrupt()
        stop.set()
        said = "\nFinishing what is under way; once more to stop at once."
        interrupts.say(said)

    # Python lets only the main thread handle signals.
    main = threading.current_thread() is threading.main_thread()
    numbers = interrupts.SIGNALS if main else ()
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            signal.signal(number, on_signal)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stop.is_set():  # here, where no signal can come after the look
        raise KeyboardInterrupt
