"""What a worker gets of what Ray has, and whether there is room for one."""

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import ray

from raybs.launch.resources import Resources

log = logging.getLogger("raybs")

WAIT_SECONDS = 30.0
"""Without a worker for so long, a sweep says what it waits for."""


def trial_resources(
    resources: Resources, cluster: Mapping[str, float]
) -> tuple[int, dict[str, float]]:
    """Return how many trials run at a time, and what each asks Ray for.

    `cluster` is what Ray says that there is. A running cluster may still grow, so there
    a trial that does not fit yet waits.

    Raises:
        ValueError: Not one trial fits on this machine.
    """
    num_cpus, num_gpus = cluster.get("CPU", 0.0), cluster.get("GPU", 0.0)
    gpus = resources.gpus_per_trial
    if gpus is None and not num_cpus and resources.device is None:
        raise ValueError(
            "The cluster has no worker yet, so what trials are to use is not known: "
            "give --gpus-per-trial 1 (or a share of one), or 0 to train on CPUs."
        )
    if gpus is None:
        gpus = 1.0 if num_gpus and resources.device in (None, "cuda") else 0.0
    slots = int(num_cpus // resources.num_threads)
    if gpus:
        slots = min(slots, int(num_gpus / gpus + 1e-6))
    if resources.device == "cuda" and not num_gpus and resources.address is None:
        raise ValueError("--device cuda: Ray finds no GPU here; leave --device out.")
    if slots < 1 and resources.address is None:
        raise ValueError(
            f"A trial asks for {resources.num_threads} CPUs and {gpus:g} GPUs, but "
            f"there are {num_cpus:g} and {num_gpus:g}; lower --threads or "
            "--gpus-per-trial."
        )
    return max(slots, 1), {"cpu": resources.num_threads, "gpu": gpus}


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Who trains and draws: on `resources`, each with what `per_trial` asks of Ray."""

    resources: Resources
    per_trial: dict[str, float]

    @property
    def device(self) -> str:
        """Return what they train on."""
        return self.resources.device or ("cuda" if self.per_trial["gpu"] else "cpu")

    def count(self) -> int:
        """Return how many there is room for by now."""
        return trial_resources(self.resources, cluster_resources())[0]


def find_workers(resources: Resources) -> Workers:
    """Return what the workers of a sweep are by what Ray has.

    Raises:
        ValueError: Not one trial fits on this machine.
    """
    _, per_trial = trial_resources(resources, cluster_resources())
    # By now known: nodes may all go, and others come.
    fixed = replace(resources, gpus_per_trial=per_trial["gpu"])
    return Workers(resources=fixed, per_trial=per_trial)


class Waiting:
    """Says what a sweep waits for while no node has room for a trial."""

    def __init__(self, per_trial: Mapping[str, float]) -> None:
        """Wait for what `per_trial` asks of Ray."""
        self.per_trial = per_trial
        self.say_at: float | None = None
        self.look_at = 0.0

    def look(self) -> None:
        """Say it once, each time that all workers are gone."""
        now = time.monotonic()
        if now < self.look_at:  # Ray is asked for it, and Tune comes at every event
            return
        self.look_at = now + 1
        cluster = cluster_resources()
        cpu, gpu = cluster["CPU"], cluster["GPU"]
        if cpu >= self.per_trial["cpu"] and gpu >= self.per_trial["gpu"]:
            self.say_at = None
        elif self.say_at is None:
            self.say_at = now + WAIT_SECONDS
        elif now > self.say_at:
            self.say_at = math.inf
            asked = f"{self.per_trial['cpu']:g} CPUs and {self.per_trial['gpu']:g} GPUs"
            log.warning(
                "Waiting for a worker: a trial asks for %s, the cluster has %g and %g.",
                *(asked, cpu, gpu),
            )


def cluster_resources() -> dict[str, float]:
    """Return what all nodes have together by now."""
    known: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return {"CPU": 0.0, "GPU": 0.0} | known
