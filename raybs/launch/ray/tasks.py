"""Chunks of draws as Ray tasks, a bounded number in flight."""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import ray

from raybs.code.loading import carry_along
from raybs.code.source import Source
from raybs.datasets.dataset import Arrays
from raybs.datasets.tensors import Dataset, to_device
from raybs.launch.events import Event, EventKind, OnEvent
from raybs.launch.ray.failures import watch, why
from raybs.launch.ray.workers import Waiting, Workers
from raybs.launch.resources import Resources
from raybs.plan.chunks import Chunk, Drawn
from raybs.plan.plan import Plan
from raybs.store.files import StoreError
from raybs.store.opening import open_store
from raybs.store.store import Store

if TYPE_CHECKING:  # the driver does without torch
    from raybs.gradients.worker import DrawWorker

MAX_RETRIES = 3
"""How often a chunk starts again after its worker died or raised."""

CLUSTER_TASKS = 64
"""In flight at least on a cluster, which may grow by what waits."""


Taken: TypeAlias = tuple[Drawn | StoreError, list[str]]
"""What a task returns: also what its store had to tell."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a worker process keeps from task to task; `messages` are of its store."""

    worker: "DrawWorker"
    data: Dataset
    messages: list[str]


_kept: dict[tuple[str, str], Kept] = {}
"""Of this process: for the last results folder and dataset that it had."""


def take_chunk(
    chunk: Chunk,
    arrays: Arrays,
    uri: str,
    resources: Resources,
    sources: Mapping[str, Source],
) -> Taken:
    """Take the draws of one chunk in a worker; return what its store had to tell.

    An error of the store is returned: Ray would try again what is raised.
    """
    from raybs.models.device import prepare

    prepare(resources.num_threads)
    carry_along(sources)
    watch(resources.trial_timeout)
    try:
        return _take(chunk, arrays, uri, resources)
    except StoreError as error:
        return error, []
    finally:
        watch(0)


def _take(
    chunk: Chunk, arrays: Arrays, uri: str, resources: Resources
) -> tuple[Drawn, list[str]]:
    place = (uri, chunk.cell.config.dataset)
    if place not in _kept:
        _kept.clear()  # first: there may be room for one dataset only
        _kept[place] = _begin(arrays, uri, resources)
    kept = _kept[place]
    kept.messages.clear()
    try:
        drawn = kept.worker.carry(chunk, kept.data)
    except ValueError as error:  # what a worker logs is not seen
        raise ValueError("; ".join([str(error), *kept.messages])) from None
    return drawn, list(kept.messages)


def _begin(arrays: Arrays, uri: str, resources: Resources) -> Kept:
    from raybs.gradients.worker import DrawWorker

    messages: list[str] = []
    store = open_store(uri, patience=resources.patience, tell=messages.append)
    device = resources.device or ("cuda" if ray.get_gpu_ids() else "cpu")
    # Without the test set: draws leave it alone.
    few = replace(arrays, x_test=arrays.x_test[:1], y_test=arrays.y_test[:1])
    return Kept(
        worker=DrawWorker(store, resources.num_replicas or 1),
        data=to_device(few, device),
        messages=messages,
    )


class DrawTasks:
    """Hands the chunks of a plan to Ray, once the states that they start from exist."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        arrays: Mapping[str, "ray.ObjectRef[Arrays]"],
        sources: Mapping[str, Source],
        workers: Workers,
        *,
        on_event: OnEvent,
        stop: threading.Event,
    ) -> None:
        """Hold what every task needs; `arrays` are references by dataset.

        `sources` are the files of a user's code, by its name.
        """
        self.store = store
        self.sources = sources
        self.arrays = arrays
        self.resources = workers.resources
        self.on_event = on_event
        self.stop = stop
        self.waiting = list(enumerate(plan.chunks, len(plan.stretches)))
        self.ready: deque[tuple[int, Chunk]] = deque()
        self.flying: dict[ray.ObjectRef[Taken], int] = {}
        self.task = ray.remote(
            num_cpus=workers.per_trial["cpu"],
            num_gpus=workers.per_trial["gpu"],
            max_retries=MAX_RETRIES,
            retry_exceptions=True,
        )(take_chunk)

    def look_for_states(self) -> None:
        """Make ready what waited for a state that exists by now."""
        states = self.store.state_files() if self.waiting else {}
        waiting: list[tuple[int, Chunk]] = []
        for index, chunk in self.waiting:
            is_ready = chunk.cell.state_key in states
            (self.ready if is_ready else waiting).append((index, chunk))
        self.waiting = waiting

    def poll(self, limit: int, timeout: float) -> None:
        """Have up to `limit` tasks in flight; wait up to `timeout` seconds for one."""
        while self.ready and len(self.flying) < limit and not self.stop.is_set():
            index, chunk = self.ready.popleft()
            self.on_event(Event(kind=EventKind.STARTED, index=index))
            arrays = self.arrays[chunk.cell.config.dataset]
            options = (self.store.uri, self.resources, self.sources)
            task = self.task.remote(chunk, arrays, *options)
            self.flying[task] = index
        if not self.flying:
            return
        done, _ = ray.wait(list(self.flying), timeout=timeout)
        for reference in done:
            index = self.flying.pop(reference)
            try:
                drawn, messages = ray.get(reference)
            except ray.exceptions.TaskCancelledError:
                continue
            except ray.exceptions.RayError as error:
                self._fail(index, why(error))
            else:
                if isinstance(drawn, StoreError):  # the others would fail alike
                    raise drawn
                for message in messages:
                    self.store.files.tell(message)
                self.on_event(Event(kind=EventKind.FINISHED, index=index, drawn=drawn))

    def run(self, slots: Callable[[], int], waiting: Waiting) -> None:
        """Take all chunks that are left; when told to stop, only those under way.

        `slots` says how many workers there are by now; `waiting` says if there is none.
        """
        self.look_for_states()
        least = 0 if self.resources.address is None else CLUSTER_TASKS
        while self.flying or (self.ready and not self.stop.is_set()):
            # Twice the workers, so that none waits for the driver.
            self.poll(max(2 * slots(), least), timeout=0.5)
            waiting.look()
            if self.stop.is_set():  # Ray starts tasks in their order
                for reference in list(self.flying)[slots() :]:
                    ray.cancel(reference)
        for index, chunk in [] if self.stop.is_set() else self.waiting:
            message = f"the state that regime '{chunk.cell.regime}' ends in is missing"
            self._fail(index, message)

    def _fail(self, index: int, message: str) -> None:
        self.on_event(Event(kind=EventKind.FAILED, index=index, message=message))
