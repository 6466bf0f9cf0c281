"""Run what is asked for: plan it, launch it, record it; from Python, `run`."""

import logging
import math
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console

from raybs.beside import check_workers_import_raybs, import_beside
from raybs.config.catalog import check_own_name
from raybs.config.gradient_sweep import GradientSweep, Sweep
from raybs.config.sweep import TrainSweep
from raybs.config.units import size
from raybs.datasets.dataset import Arrays, load_arrays
from raybs.launch.calibration import Calibration
from raybs.launch.resources import Resources
from raybs.launch.stopping import stopping
from raybs.plan.overrides import Changes
from raybs.plan.plan import Plan, plan_for
from raybs.plan.recorded import find_replaced, write_sweeps
from raybs.plan.resolve import Asked, ask, find
from raybs.plan.speeds import usual_speed
from raybs.store.draws import fold
from raybs.store.opening import Place, open_store
from raybs.store.store import Store
from raybs.trackers.terminal import Display
from raybs.train.networks import record_networks, with_networks

if TYPE_CHECKING:
    from analysis.frames.draws import Draws
    from analysis.frames.trials import Frames

log = logging.getLogger("raybs")


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
    keep_states: bool = False,
) -> "Frames | Draws":
    """Train (or draw) what `sweep` asks for and `results` does not hold; return frames.

    `sweep` is what `raybs.grid` returns, any TrainSweep or GradientSweep, or the name
    of one that comes with raybs. Its results are recorded as `name` (a named sweep has
    its own) in the folder or bucket `results`. `seeds` repeat every config, where they
    are given; `max_epochs` cuts every phase. On Ray, with `resources`; or `local`, in
    this process. A recorded sweep of the same name that has other trials is replaced
    only with `replace`; bfloat16 runs where it is slower than float32 only if
    `confirmed`. With `keep_states` the last state of every trial stays stored, where
    `raybs.load_model` finds it, also of trials that stop at a goal; what has rows alone
    is trained again.

    Returns:
        `analysis.Frames` of this sweep, trials and history; of a GradientSweep
        `analysis.Draws`. A trial that failed is there, with its status and message.

    Raises:
        ValueError: The sweep cannot be run as it is asked for; nothing was started.
        KeyboardInterrupt: It was interrupted; what is done is kept.
    """
    import_beside("analysis")
    import analysis  # now: what hides it is better known before the work

    changes = Changes(seeds=seeds, max_epochs=max_epochs)
    asked = _ask(sweep, name, title, changes)
    store = open_store(results, create=True)
    resources = resources or Resources()
    asked = replaced(asked, keep_states=keep_states)
    [asked] = with_networks([asked], store)
    outcome = carry_out(
        [asked],
        first_plan([asked], store, resources),
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


def _ask(sweep: Sweep | str, name: str, title: str, changes: Changes) -> Asked:
    """Return what `sweep` asks for, by its own name or as `name`.

    Raises:
        ValueError: It is no sweep, or cannot be run as it is asked for.
    """
    if isinstance(sweep, str):
        [asked] = find([sweep], changes)
        return asked
    if not isinstance(sweep, TrainSweep | GradientSweep):
        raise ValueError(
            f"run({sweep!r}): give a sweep's name, what grid() returns, a "
            "TrainSweep or a GradientSweep."
        )
    check_own_name(name)
    return ask(name, title or name, sweep, changes)


def num_workers(resources: Resources, *, local: bool) -> int:
    """Return how many workers this machine has for trials, before Ray is asked."""
    if local:
        return 1
    cores = os.cpu_count() or 1
    return resources.num_workers or max(cores // resources.num_threads, 1)


def first_plan(asked: Sequence[Asked], store: Store, resources: Resources) -> Plan:
    """Plan what `store` does not hold, by the speed it knows of such workers."""
    # Where a trial will be is not known yet; calibrating corrects it.
    device = resources.device or ("cuda" if resources.gpus_per_trial else "cpu")
    is_here = device == "cpu" and resources.address is None
    speed = usual_speed(store, device, resources.num_threads, is_here=is_here)
    return plan_for(asked, store, speed)


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
    datasets = _load_datasets(plan)
    start = partial(_start, asked, store, replaced, figures)
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


def _start(
    asked: Sequence[Asked], store: Store, replaced: dict[str, str], figures: str | None
) -> None:
    """Record what is asked, in the place of what it replaces, which then is empty."""
    if replaced:
        from analysis.report.files import delete_figures

        for name in replaced:
            delete_figures(store, name, figures)
        replaced.clear()
    record_networks(asked, store)
    write_sweeps(store, asked, failed={})


def _left(plan: Plan) -> int:
    return plan.to_train + plan.to_draw


def _load_datasets(plan: Plan) -> dict[str, Arrays]:
    names = {stretch.config.dataset for stretch in plan.stretches}
    names |= {chunk.cell.config.dataset for chunk in plan.chunks}
    return {name: load_arrays(name) for name in sorted(names)}


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
        calibrate = Calibration(
            plan=plan,
            asked=asked,
            store=store,
            resources=resources,
            confirmed=confirmed,
            on_start=on_start,
            on_plan=display.follow,
        )
        launch(
            plan,
            store,
            datasets,
            resources,
            on_event=display.on_event,
            stop=stop,
            calibrate=calibrate,
        )
    pieces = display.plan.pieces
    return {
        pieces[index].last_key: message for index, message in display.failures.items()
    }
