"""What Tune calls: the searcher that hands out stretches, and its callbacks."""

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from raybs.launch.events import OnEvent
from raybs.launch.frontier import Frontier, Pack
from raybs.launch.ray.failures import DIED, NODE_IS_GONE, UNREACHABLE, what_happened
from raybs.launch.ray.tasks import DrawTasks
from raybs.launch.ray.workers import Waiting
from raybs.plan.stretches import Report, stretch_to_json
from raybs.store.files import StoreError

log = logging.getLogger("raybs")

MAX_FAILURES = 3
"""How often a stretch starts again after its worker died or raised."""
MAX_LOST_NODES = 20
"""How often it starts again since its node is gone: spot nodes go for no fault of a
trial's, but a trial may bring down nodes, too."""
TRIAL_SECONDS = 1.0
"""Short stretches share a trial of Tune until they take so long together: Tune handles
one event at a time, and looks at all trials for each."""
LOOK_SECONDS = 2.0
"""Between two looks, while stretches train, for states that draws wait for."""


class NotPickled:
    """A hook that Tune pickles as nothing: into a folder that nobody reads."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Stand for no object at all."""
        return object, ()


class Packs(NotPickled):
    """What Tune's hooks share: the packs under way, by Tune's trial id.

    A pack that has ended is None in its trial's list.
    """

    def __init__(
        self,
        frontier: Frontier,
        on_event: OnEvent,
        stop: threading.Event,
    ) -> None:
        """Take packs from `frontier` until `stop` is set."""
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


class PlanSearcher(Searcher):
    """Suggests the stretches of a plan as soon as their start exists."""

    def __init__(self, packs: Packs) -> None:
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

    def __init__(self, packs: Packs) -> None:
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

    def __init__(self, packs: Packs, trial_timeout: float) -> None:
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
        message = what_happened(text)
        silent = time.monotonic() - self.heard.pop(trial.trial_id, math.inf)
        if message in (DIED, UNREACHABLE) and silent >= self.trial_timeout:
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
        lost = message in (NODE_IS_GONE, UNREACHABLE)
        counts = packs.lost_nodes if lost else packs.failures
        counts.update(pack.indices)
        most = MAX_LOST_NODES if lost else MAX_FAILURES
        if max(counts[index] for index in pack.indices) > most:
            pack.fail(message)
        else:
            pack.restart(message)


class DrawMeanwhile(NotPickled, tune.Callback):
    """Has draws taken by workers that no stretch needs."""

    def __init__(
        self, packs: Packs, tasks: DrawTasks, slots: Callable[[], int]
    ) -> None:
        """Leave as many of the `slots` free as `packs` can use."""
        self.packs = packs
        self.tasks = tasks
        self.slots = slots
        self.looked_at = 0.0

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        """Look for new states now and then; take what is done, and give out more."""
        if time.monotonic() - self.looked_at > LOOK_SECONDS:
            self.looked_at = time.monotonic()
            self.tasks.look_for_states()
        if not (self.tasks.ready or self.tasks.flying):
            return
        free = self.slots() - len(self.packs.by_trial) - self.packs.frontier.num_ready
        self.tasks.poll(2 * free, timeout=0.0)


class SayWaiting(NotPickled, tune.Callback):
    """Says what a sweep waits for while it has no worker."""

    def __init__(self, waiting: Waiting) -> None:
        """Have `waiting` look."""
        self.waiting = waiting

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        """Look several times a second."""
        self.waiting.look()
