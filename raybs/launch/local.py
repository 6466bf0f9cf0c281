"""Run a plan in this process, one stretch after the other, without Ray."""

import contextlib
import threading
from collections.abc import Mapping
from functools import partial

import torch

from raybs.datasets.dataset import Arrays
from raybs.datasets.tensors import Dataset, to_device
from raybs.gradients.worker import DrawWorker
from raybs.launch.events import Calibrate, Event, EventKind, OnEvent
from raybs.launch.frontier import Frontier, Pack
from raybs.launch.resources import Resources
from raybs.models.device import prepare
from raybs.plan.plan import Plan
from raybs.store.files import StoreError
from raybs.store.store import Store
from raybs.train.probe import probe
from raybs.train.worker import carry


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
    """Train the stretches of `plan` in an order in which all starts exist; then draw.

    `datasets` holds those of the plan by name. Setting `stop` ends it after the current
    epoch, with that epoch's state saved, or the current chunk. `calibrate` may plan
    again, by the speed that it had measured.

    Raises:
        ValueError: The device asked for is not there.
        StoreError: Results cannot be stored.
    """
    prepare(resources.num_threads)
    device = resources.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {device}: {error}") from None
    measure = partial(probe, device, replicas=resources.num_replicas is None)
    if calibrate:
        plan = calibrate(device, measure, 1, at_end=False)
    loaded: dict[str, Dataset] = {}
    frontier = Frontier(plan, resources.num_replicas)
    while not stop.is_set() and (indices := frontier.take()):
        pack = Pack(frontier, indices, on_event)
        pack.start()
        dataset = pack.stretches[0].config.dataset
        try:
            loaded = _load(dataset, datasets, device, loaded)
            with contextlib.closing(
                carry(pack.stretches, store, loaded[dataset])
            ) as reports:
                for report in reports:
                    pack.report(report)
                    if stop.is_set() and report.epoch < pack.stretches[0].stop:
                        return
        except StoreError:  # nothing else could be stored either
            raise
        except (OSError, RuntimeError, ValueError) as error:
            pack.fail(f"{type(error).__name__}: {error}")
        else:
            pack.finish()
    worker = DrawWorker(store, resources.num_replicas or 1)
    for index, chunk in enumerate(plan.chunks, len(plan.stretches)):
        if stop.is_set():
            return
        on_event(Event(kind=EventKind.STARTED, index=index))
        dataset = chunk.cell.config.dataset
        try:
            loaded = _load(dataset, datasets, device, loaded)
            drawn = worker.carry(chunk, loaded[dataset])
        except StoreError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            message = f"{type(error).__name__}: {error}"
            on_event(Event(kind=EventKind.FAILED, index=index, message=message))
        else:
            on_event(Event(kind=EventKind.FINISHED, index=index, drawn=drawn))
    if calibrate and not stop.is_set():
        calibrate(device, measure, 1, at_end=True)


def _load(
    name: str, datasets: Mapping[str, Arrays], device: str, loaded: dict[str, Dataset]
) -> dict[str, Dataset]:
    """Return `name` on `device`, by its name: only one at a time is held."""
    return loaded if name in loaded else {name: to_device(datasets[name], device)}
