"""Run a plan in this process, one stretch after the other, without Ray."""

import contextlib
import threading
from collections.abc import Mapping
from functools import partial

import torch

from raybs.code.loading import pinned, read_planned
from raybs.datasets.dataset import Arrays
from raybs.datasets.tensors import Dataset, to_device
from raybs.gradients.worker import DrawWorker
from raybs.launch.events import Calibrate, Event, EventKind, OnEvent
from raybs.launch.frontier import Frontier, Pack
from raybs.launch.resources import Resources
from raybs.models.device import prepare
from raybs.models.making import load_code
from raybs.plan.chunks import Chunk
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
    device = _device(resources)
    measure = partial(probe, device, replicas=resources.num_replicas is None)
    if calibrate:
        plan = calibrate(device, measure, 1, at_end=False)
    on_device = OnDevice(datasets, device)
    frontier = Frontier(plan, resources.num_replicas)
    with pinned(read_planned(plan.own_code), load_code):
        while not stop.is_set() and (indices := frontier.take()):
            _train(Pack(frontier, indices, on_event), store, on_device, stop)
        worker = DrawWorker(store, resources.num_replicas or 1)
        for index, chunk in enumerate(plan.chunks, len(plan.stretches)):
            if stop.is_set():
                return
            _draw(index, chunk, worker, on_device, on_event)
    if calibrate and not stop.is_set():
        calibrate(device, measure, 1, at_end=True)


class OnDevice:
    """Datasets by name, moved to a device: only one at a time is held there."""

    def __init__(self, datasets: Mapping[str, Arrays], device: str) -> None:
        """Move `datasets` to `device` as they are wanted."""
        self.datasets = datasets
        self.device = device
        self.held: dict[str, Dataset] = {}

    def __getitem__(self, name: str) -> Dataset:
        """Return the dataset `name`, in the place of the one before."""
        if name not in self.held:
            self.held = {name: to_device(self.datasets[name], self.device)}
        return self.held[name]


def _device(resources: Resources) -> str:
    """Return the device to train on.

    Raises:
        ValueError: It is not there.
    """
    device = resources.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {device}: {error}") from None
    return device


def _train(pack: Pack, store: Store, data: OnDevice, stop: threading.Event) -> None:
    """Train a pack to its end, or until it is to stop; then it is not finished."""
    pack.start()
    [first, *_] = pack.stretches
    try:
        reports = carry(pack.stretches, store, data[first.config.dataset])
        with contextlib.closing(reports):
            for report in reports:
                pack.report(report)
                if stop.is_set() and report.epoch < first.stop:
                    return
    except StoreError:  # nothing else could be stored either
        raise
    except Exception as error:  # noqa: BLE001  # a user's code may raise any
        pack.fail(_in_words(error))
    else:
        pack.finish()


def _draw(
    index: int, chunk: Chunk, worker: DrawWorker, data: OnDevice, on_event: OnEvent
) -> None:
    """Take the draws of one chunk."""
    on_event(Event(kind=EventKind.STARTED, index=index))
    try:
        drawn = worker.carry(chunk, data[chunk.cell.config.dataset])
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001  # a user's code may raise any
        message = _in_words(error)
        on_event(Event(kind=EventKind.FAILED, index=index, message=message))
    else:
        on_event(Event(kind=EventKind.FINISHED, index=index, drawn=drawn))


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
