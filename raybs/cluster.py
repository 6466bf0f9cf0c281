"""Run a plan through Ray: Tune trains, one trial per stretch, and tasks draw.

Durability does not rest on Tune: workers write to the store, so Tune's snapshots,
loggers and checkpoints are off and its folder is temporary.
"""

import contextlib
import logging
import math
import os
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from raybs.datasets.dataset import Arrays
from raybs.datasets.tensors import Dataset, to_device
from raybs.launch import Calibrate, OnEvent, Pack, Resources
from raybs.nodes import check_nodes
from raybs.plan.cost import Speed
from raybs.plan.plan import Frontier, Plan
from raybs.plan.stretches import Report, stretch_from_json, stretch_to_json
from raybs.session import (
    Waiting,
    cluster_resources,
    last_line,
    ray_session,
    trial_resources,
)
from raybs.store.files import StoreError
from raybs.store.opening import open_store
from raybs.store.store import Store
from raybs.tasks import DrawTasks

log = logging.getLogger("raybs")

MAX_FAILURES = 3
"""How often a stretch starts again after its worker died or raised."""

MAX_LOST_NODES = 20
"""How often it starts again since its node is gone: spot nodes go for no fault of a
trial's, but a trial may bring down nodes, too."""

CLUSTER_PENDING = 8
"""Trials at least that wait for room on a cluster: it grows by what waits."""

TRIAL_SECONDS = 1.0
"""Short stretches share a trial of Tune until they take so long together: Tune handles
one event at a time, and looks at all trials for each."""

LOOK_SECONDS = 2.0
"""Between two looks, while stretches train, for states that draws wait for."""


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
            nodes do not fit together (`raybs.nodes`).
        StoreError: Results cannot be stored.
        LaunchError: Ray itself failed.
    """
    size = sum(a.x_train.nbytes + a.x_test.nbytes for a in datasets.values())
    if stop.is_set():  # while Ray was imported
        return
    with ray_session(resources, size):
        if stop.is_set():  # while it started
            return
        _, per_trial = trial_resources(resources, cluster_resources())

        # By now known: nodes may all go, and others come.
        fixed = replace(resources, gpus_per_trial=per_trial["gpu"])
        waiting = Waiting(per_trial)

        def slots() -> int:
            return trial_resources(fixed, cluster_resources())[0]

        if resources.address:
            check_nodes(store)
        device = resources.device or ("cuda" if per_trial["gpu"] else "cpu")
        measure = partial(_probe, device, resources, per_trial, stop, waiting)
        if calibrate:
            plan = calibrate(device, measure, slots(), at_end=False)
        arrays = {name: ray.put(arrays) for name, arrays in datasets.items()}
        shared: dict[str, Any] = {"on_event": on_event, "stop": stop}
        tasks = DrawTasks(plan, store, arrays, resources, per_trial, **shared)
        if plan.stretches:
            frontier = Frontier(plan, resources.num_replicas, slots())
            packs = _Packs(frontier, **shared)
            hooks = PassOn(packs, resources.trial_timeout)
            callbacks = [hooks, DrawMeanwhile(packs, tasks, slots), SayWaiting(waiting)]
            at_least = CLUSTER_PENDING if resources.address else 1
            trainable = tune.with_parameters(
                StretchTrainable,
                datasets=arrays,
                uri=store.uri,
                resources=resources,
            )
            trainable = tune.with_resources(trainable, per_trial)
            _train(trainable, packs, callbacks, max(slots(), at_least))
            if packs.broken:
                raise StoreError(packs.broken)
        tasks.run(slots, waiting)
        if calibrate and not stop.is_set():
            calibrate(device, measure, slots(), at_end=True)


def _train(
    trainable: Any, packs: "_Packs", callbacks: list[tune.Callback], num_pending: int
) -> None:
    """Train all stretches, through Ray Tune."""
    # A Searcher has one pending trial by default: workers would wait for each other.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(num_pending)
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


def _probe(
    device: str,
    resources: Resources,
    per_trial: Mapping[str, float],
    stop: threading.Event,
    waiting: Waiting,
) -> Speed:
    """Measure a worker, on the resources of a trial.

    Raises:
        ValueError: It could not be measured.
        KeyboardInterrupt: Setting `stop` ended the wait.
    """

    def measured(num_threads: int, replicas: bool) -> Speed:
        from raybs.models.device import prepare
        from raybs.train.probe import probe

        prepare(num_threads)
        return probe(device, replicas=replicas)

    task = ray.remote(num_cpus=per_trial["cpu"], num_gpus=per_trial["gpu"])(measured)
    arguments = (resources.num_threads, resources.num_replicas is None)
    pending = task.remote(*arguments)
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


class StretchTrainable(tune.Trainable):
    """Carries packs of stretches; one actor, with its dataset, serves many of them.

    A result's reports are pairs: a pack's number, and its report, or None at its end.
    """

    def setup(  # type: ignore[override]  # Tune passes on what with_parameters holds
        self,
        config: dict[str, Any],
        datasets: dict[str, Any],
        uri: str,
        resources: Resources,
    ) -> None:
        """Start with the first pack; the other arguments hold for all of them."""
        # Here, not above: the driver does without torch, whose import takes 2 seconds.
        from raybs.models.device import prepare

        prepare(resources.num_threads)
        self.timeout = resources.trial_timeout
        self.references = datasets
        # What a worker logs is not seen: what the store has to tell goes along.
        self.messages: list[str] = []
        self.store = open_store(
            uri, patience=resources.patience, tell=self.messages.append
        )
        # Not by torch.cuda.is_available(): a trial may sit beside GPUs that are not its
        # own.
        self.device = resources.device or ("cuda" if ray.get_gpu_ids() else "cpu")
        self.loaded: dict[str, Dataset] = {}
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Go on with another pack in the same actor."""
        self.reports.close()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train for an epoch; tiny epochs are reported together, once a second."""
        from raybs.train.worker import watch

        until = time.monotonic() + 1
        reports, complete = [], True
        watch(self.timeout)
        try:
            for number, report in self.reports:
                watch(self.timeout)
                reports.append((number, report and asdict(report)))
                if time.monotonic() > until:
                    complete = False
                    break
        finally:
            watch(0)
        messages = [self.messages.pop(0) for _ in list(self.messages)]
        result = {"reports": reports, "messages": messages, "complete": complete}
        return result | {"done": complete}

    def cleanup(self) -> None:
        """Save what is under way when the trial is stopped."""
        self.reports.close()

    def _begin(self, config: dict[str, Any]) -> None:
        self.reports = self._carry(config["packs"])

    def _carry(self, packs: list[Any]) -> Generator[tuple[int, Report | None]]:
        from raybs.train.worker import carry

        for number, values in enumerate(packs):
            stretches = [stretch_from_json(value) for value in values]
            dataset = stretches[0].config.dataset
            if dataset not in self.loaded:
                arrays: Arrays = ray.get(self.references[dataset])
                self.loaded = {dataset: to_device(arrays, self.device)}
            reports = carry(stretches, self.store, self.loaded[dataset])
            with contextlib.closing(reports):
                for report in reports:
                    yield number, report
            yield number, None


class _Packs:
    """What Tune's hooks share: the packs under way, by Tune's trial id.

    A pack that has ended is None in its trial's list.
    """

    def __init__(
        self,
        frontier: Frontier,
        on_event: OnEvent,
        stop: threading.Event,
    ) -> None:
        self.frontier = frontier
        self.on_event = on_event
        self.stop = stop
        self.by_trial: dict[str, list[Pack | None]] = {}
        self.failures: Counter[int] = Counter()
        self.lost_nodes: Counter[int] = Counter()
        self.running: set[str] = set()
        self.broken = ""  # why nothing can be stored

    @property
    def is_stopping(self) -> bool:
        """Tell whether no more packs are to be started."""
        return self.stop.is_set() or bool(self.broken)

    def take(self) -> list[Pack]:
        """Take packs for one trial of Tune, to be carried one after the other.

        What has failed once goes alone, so that it takes no other with it.
        """
        frontier, taken, seconds = self.frontier, list[Pack](), 0.0
        share = -(-frontier.num_ready // frontier.num_workers)
        while seconds < TRIAL_SECONDS and sum(len(p.indices) for p in taken) < share:
            indices = frontier.take()
            failed = any(index in self.failures for index in indices)
            if not indices:
                break
            pack = Pack(frontier, indices, self.on_event)
            if failed and taken:
                pack.put_back()
                break
            taken.append(pack)
            seconds += sum(stretch.seconds for stretch in pack.stretches)
            if failed:
                break
        return taken

    def unfinished(self, trial_id: str) -> list[Pack]:
        """Give up a trial of Tune; return its packs that have not ended."""
        return [pack for pack in self.by_trial.pop(trial_id) if pack]

    def __reduce__(self) -> tuple[Any, ...]:
        # Tune pickles its hooks into a folder that nobody reads.
        return object, ()


class PlanSearcher(Searcher):
    """Suggests the stretches of a plan as soon as their start exists."""

    def __init__(self, packs: _Packs) -> None:
        """Draw from the frontier of `packs`."""
        super().__init__(metric="done", mode="max")
        self.packs = packs

    def suggest(self, trial_id: str) -> Any:
        """Return the next pack, None while all others wait, or that none is left."""
        packs = self.packs
        if packs.is_stopping:
            return str(Searcher.FINISHED)
        taken = packs.take()
        if not taken:  # while any runs, its children may follow, or itself again
            return None if packs.by_trial else str(Searcher.FINISHED)
        packs.by_trial[trial_id] = list(taken)
        return {"packs": [list(map(stretch_to_json, p.stretches)) for p in taken]}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Forget a trial of Tune that ended; one stopped half-way goes on elsewhere."""
        self.packs.running.discard(trial_id)
        if result and result.get("complete") and not error:
            left = self.packs.unfinished(trial_id)
            assert not left

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the store knows what is done."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: a sweep goes on from the store."""


class StopWhenAsked(tune.Stopper):
    """Ends every trial at its next report once the sweep is to stop."""

    def __init__(self, packs: _Packs) -> None:
        """Watch the flag of `packs`."""
        self.packs = packs

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Tell whether this trial ends here."""
        return self.packs.is_stopping

    def stop_all(self) -> bool:
        """Wait for no worker any more, but cut none off in the middle of an epoch."""
        return self.packs.is_stopping and not self.packs.running


class PassOn(tune.Callback):
    """Passes reports and failures from Tune's controller on to the packs."""

    def __init__(self, packs: _Packs, trial_timeout: float) -> None:
        """Pass on to `packs`; workers are ended after `trial_timeout` seconds."""
        self.packs = packs
        self.trial_timeout = trial_timeout
        self.heard: dict[str, float] = {}

    def on_trial_start(
        self, iteration: int, trials: Any, trial: Any, **info: Any
    ) -> None:
        """Say that a worker has the first pack."""
        [first, *_] = self.packs.by_trial[trial.trial_id]
        self.packs.running.add(trial.trial_id)
        self.heard[trial.trial_id] = time.monotonic()
        if first:
            first.start()

    def on_trial_result(
        self,
        iteration: int,
        trials: Any,
        trial: Any,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """Pass on the epochs of one step, and what the store had to tell."""
        self.heard[trial.trial_id] = time.monotonic()
        for message in result["messages"]:
            log.warning(message)
        current = self.packs.by_trial[trial.trial_id]
        for number, report in result["reports"]:
            pack = current[number]
            assert pack
            if report:
                pack.report(Report(**report))
                continue
            pack.finish()
            current[number] = None
            following = current[number + 1 : number + 2]
            if following and following[0]:
                following[0].start()

    def on_trial_error(
        self, iteration: int, trials: Any, trial: Any, **info: Any
    ) -> None:
        """Let the pack under way start again, or give it up after its last failure."""
        packs = self.packs
        text = Path(trial.error_file).read_text("utf-8", "replace")
        message = _what_happened(text)
        silent = time.monotonic() - self.heard.pop(trial.trial_id, math.inf)
        if message in (DIED, AWAY) and silent >= self.trial_timeout:
            message = f"no epoch ended within --trial-timeout {self.trial_timeout:g} s"
        left = packs.unfinished(trial.trial_id)
        if not left:  # it died after its last pack, before it could say so
            return
        pack, *waiting = left
        for other in waiting:
            other.put_back()
        if message.startswith(f"{StoreError.__name__}: "):
            packs.broken = message.partition(": ")[2]
            pack.put_back()
            return
        lost = message in (NODE_IS_GONE, AWAY)
        counts = packs.lost_nodes if lost else packs.failures
        counts.update(pack.indices)
        most = MAX_LOST_NODES if lost else MAX_FAILURES
        if max(counts[index] for index in pack.indices) > most:
            pack.fail(message)
        else:
            pack.restart(message)


class DrawMeanwhile(tune.Callback):
    """Has draws taken by workers that no stretch needs."""

    def __init__(
        self, packs: _Packs, tasks: DrawTasks, slots: Callable[[], int]
    ) -> None:
        """Leave as many of the `slots` free as `packs` can use."""
        self.packs = packs
        self.tasks = tasks
        self.slots = slots
        self.looked_at = 0.0

    def __reduce__(self) -> tuple[Any, ...]:
        """Tune pickles this, too."""
        return object, ()

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        """Look for new states now and then; take what is done, and give out more."""
        if time.monotonic() - self.looked_at > LOOK_SECONDS:
            self.looked_at = time.monotonic()
            self.tasks.look_for_states()
        if not (self.tasks.ready or self.tasks.flying):
            return
        free = self.slots() - len(self.packs.by_trial) - self.packs.frontier.num_ready
        self.tasks.poll(2 * free, timeout=0.0)


class SayWaiting(tune.Callback):
    """Says what a sweep waits for while it has no worker."""

    def __init__(self, waiting: Waiting) -> None:
        """Have `waiting` look."""
        self.waiting = waiting

    def __reduce__(self) -> tuple[Any, ...]:
        """Tune pickles this, too."""
        return object, ()

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        """Look several times a second."""
        self.waiting.look()


NODE_IS_GONE, DIED = "its node is gone", "its worker died"
AWAY = "its worker cannot be reached"
CAUSES = {
    NODE_IS_GONE: r"node (has )?died|node was terminated",
    AWAY: r"ActorUnavailableError",
    "the machine ran out of memory": r"ray\.exceptions\.OutOfMemory|low on memory",
    DIED: r"[Aa]ctor died",
}
"""What Ray's accounts of a failure say, in order."""


def _what_happened(text: str) -> str:
    """Return the line that matters in Tune's account of all failures of a trial."""
    account = text.rpartition("Failure #")[2].strip().partition("\n")[2]
    starting = "creation task" in account  # then the last line says why
    for cause, pattern in CAUSES.items():
        if re.search(pattern, account) and not (starting and cause == DIED):
            return cause
    last: str = account.strip().splitlines()[-1].strip()
    return last.removeprefix(f"{StoreError.__module__}.")
