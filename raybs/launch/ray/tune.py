"""Run a plan through Ray: Tune trains, one trial per stretch, and tasks draw.

Durability does not rest on Tune: workers write to the store, so Tune's snapshots,
loggers and checkpoints are off and its folder is temporary.
"""

import logging
import os
import tempfile
import threading
from collections.abc import Mapping
from functools import partial

import ray
from ray import tune

from raybs.code.loading import read_planned
from raybs.code.source import Source
from raybs.datasets.dataset import Arrays
from raybs.launch.events import Calibrate, OnEvent
from raybs.launch.frontier import Frontier
from raybs.launch.ray.failures import last_line
from raybs.launch.ray.hooks import (
    DrawMeanwhile,
    Packs,
    PassOn,
    PlanSearcher,
    SayWaiting,
    StopWhenAsked,
)
from raybs.launch.ray.nodes import check_nodes
from raybs.launch.ray.session import ray_session
from raybs.launch.ray.tasks import DrawTasks
from raybs.launch.ray.trainable import StretchTrainable
from raybs.launch.ray.workers import Waiting, Workers, find_workers
from raybs.launch.resources import Resources
from raybs.plan.cost import Speed
from raybs.plan.plan import Plan
from raybs.store.files import StoreError
from raybs.store.store import Store

log = logging.getLogger("raybs")

CLUSTER_PENDING = 8
"""Trials at least that wait for room on a cluster: it grows by what waits."""


def run_ray(
    plan: Plan,
    store: Store,
    datasets: Mapping[str, Arrays],
    resources: Resources,
    *,
    on_event: OnEvent,
    stop: threading.Event,
    calibrate: Calibrate | None = None,
) -> None:
    """Work off `plan` through Ray, on this machine or a cluster.

    Stretches are trials of Ray Tune, chunks of draws are tasks; while one path trains,
    other workers draw from the states that exist. `datasets` holds those of the plan by
    name. Setting `stop` ends it after the current epochs, with their states saved, and
    the current chunks. `calibrate` may plan again, by the speed that it had measured.

    Raises:
        ValueError: The cluster cannot be reached, has not what a trial asks for, or its
            nodes do not fit together (`raybs.launch.ray.nodes`).
        StoreError: Results cannot be stored.
        LaunchError: Ray itself failed.
    """
    num_bytes = sum(a.x_train.nbytes + a.x_test.nbytes for a in datasets.values())
    if stop.is_set():  # while Ray was imported
        return
    with ray_session(resources, num_bytes):
        if stop.is_set():  # while it started
            return
        workers = find_workers(resources)
        if resources.address:
            check_nodes(store)
        waiting = Waiting(workers.per_trial)
        measure = partial(_probe, workers, stop, waiting)
        if calibrate:
            count = workers.count()
            plan = calibrate(workers.device, measure, count, at_end=False)
        arrays = {name: ray.put(arrays) for name, arrays in datasets.items()}
        sources = read_planned(plan.own_code)
        tasks = DrawTasks(
            plan, store, arrays, sources, workers, on_event=on_event, stop=stop
        )
        if plan.stretches:
            frontier = Frontier(plan, resources.num_replicas, workers.count())
            packs = Packs(frontier, on_event=on_event, stop=stop)
            callbacks = [
                PassOn(packs, resources.trial_timeout),
                DrawMeanwhile(packs, tasks, workers.count),
                SayWaiting(waiting),
            ]
            _train(packs, workers, store, arrays, sources, callbacks)
        tasks.run(workers.count, waiting)
        if calibrate and not stop.is_set():
            calibrate(workers.device, measure, workers.count(), at_end=True)


def _train(
    packs: Packs,
    workers: Workers,
    store: Store,
    arrays: Mapping[str, "ray.ObjectRef[Arrays]"],
    sources: Mapping[str, Source],
    callbacks: list[tune.Callback],
) -> None:
    """Train all stretches, through Ray Tune.

    Raises:
        StoreError: Results cannot be stored.
    """
    # A Searcher has one pending trial by default: workers would wait for each other.
    least = CLUSTER_PENDING if workers.resources.address else 1
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(workers.count(), least))
    trainable = tune.with_parameters(
        StretchTrainable,
        datasets=arrays,
        uri=store.uri,
        resources=workers.resources,
        sources=sources,
    )
    trainable = tune.with_resources(trainable, workers.per_trial)
    with tempfile.TemporaryDirectory() as folder:
        tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=PlanSearcher(packs),
                num_samples=-1,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="raybs",
                storage_path=folder,
                verbose=0,
                stop=StopWhenAsked(packs),
                callbacks=callbacks,
                # Not Tune's own retries: of a worker killed between two trials that
                # share it, Tune hears twice, and the second time gives the trial up.
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
    if packs.broken:
        raise StoreError(packs.broken)


def _probe(workers: Workers, stop: threading.Event, waiting: Waiting) -> Speed:
    """Measure a worker, on the resources of a trial.

    Raises:
        ValueError: It could not be measured.
        KeyboardInterrupt: Setting `stop` ended the wait.
    """
    device, per_trial = workers.device, workers.per_trial

    # Here, so that it goes by value: by its name a worker would import Tune first.
    def measure(resources: Resources) -> Speed:
        from raybs.models.device import prepare
        from raybs.train.probe import probe

        prepare(resources.num_threads)
        return probe(device, replicas=resources.num_replicas is None)

    task = ray.remote(num_cpus=per_trial["cpu"], num_gpus=per_trial["gpu"])(measure)
    pending = task.remote(workers.resources)
    while not ray.wait([pending], timeout=0.5)[0]:  # a cluster may have to grow first
        waiting.look()
        if stop.is_set():
            raise KeyboardInterrupt
    try:
        speed: Speed = ray.get(pending)
    except ray.exceptions.RayError as error:
        why = last_line(error)
        raise ValueError(f"A worker on {device} cannot be measured: {why}") from None
    return speed
