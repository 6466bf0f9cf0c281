"""Run a plan in this process, one stretch after the other, without Ray."""

import contextlib
import threading
from collections.abc import Mapping
from functools import partial

import torch

from raybs.data import Arrays, Dataset, to_device
from raybs.launch import Calibrate, OnEvent, Pack, Resources
from raybs.plan import Frontier, Plan
from raybs.probe import probe
from raybs.store import Store
from raybs.worker import carry, prepare


def run_local(
    plan: Plan,
    store: Store,
    datasets: Mapping[str, Arrays],
    resources: Resources,
    *,
    on_event: OnEvent,
    stop: threading.Event,
    calibrate: Calibrate | None = None,
) -> None:
    """Train the stretches of `plan` in an order in which all starts exist.

    `datasets` holds those of the plan by name. Setting `stop` ends it after the current
    epoch, with that epoch's state saved. `calibrate` may plan again, by the speed that
    it had measured.

    Raises:
        ValueError: The device asked for is not there.
    """
    prepare(resources.num_threads)
    device = resources.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {device}: {error}") from None
    measure = partial(probe, device, replicas=resources.num_replicas is None)
    if calibrate:
        plan = calibrate(device, measure, at_end=False)
    loaded: dict[str, Dataset] = {}
    frontier = Frontier(plan, resources.num_replicas)
    while not stop.is_set() and (indices := frontier.take()):
        pack = Pack(frontier, indices, on_event)
        pack.start()
        dataset = pack.stretches[0].config.dataset
        try:
            if dataset not in loaded:
                loaded = {dataset: to_device(datasets[dataset], device)}
            with contextlib.closing(
                carry(pack.stretches, store, loaded[dataset])
            ) as reports:
                for report in reports:
                    pack.report(report)
                    if stop.is_set() and report.epoch < pack.stretches[0].stop:
                        return
        except (OSError, RuntimeError, ValueError) as error:
            pack.fail(f"{type(error).__name__}: {error}")
        else:
            pack.finish()
    if calibrate and not stop.is_set():
        calibrate(device, measure, at_end=True)
