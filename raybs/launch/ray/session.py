"""A Ray of our own, or a cluster joined: how it is started, and what a worker gets."""

import contextlib
import logging
import math
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import ray

from raybs.launch.events import LaunchError
from raybs.launch.ray.failures import last_line
from raybs.launch.resources import Resources, check_address

log = logging.getLogger("raybs")

WAIT_SECONDS = 30.0
"""Without a worker for so long, a sweep says what it waits for."""

TOKEN = secrets.token_hex(32)
"""Keeps others out of a Ray started here, which listens on all interfaces.

Since 2.59 Ray asks for a token; given one, it writes none to the home folder. One per
process, since Ray remembers the first that it sees.
"""

SETTINGS = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial without a GPU sees none
    "RAY_AIR_NEW_OUTPUT": "0",  # with verbose=0: no output of Tune's own
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_prestart_worker_first_driver": "0",  # they would lack Tune's environment
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
}

TRIAL_ENVIRONMENT = {"PL_DISABLE_FORK": "1", "RAY_CHDIR_TO_TRIAL_DIR": "0"}
"""As ray/tune/execution/class_cache.py has it."""


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


def _check_answers(address: str) -> None:
    """See that something listens; Ray itself would try for minutes.

    Raises:
        ValueError: Nothing does.
    """
    if address == "auto":
        address = _look_up()
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, UnicodeError) as error:  # the latter for a..b
        raise ValueError(
            f"No Ray at {address} ({error}); start it, or mend --address."
        ) from None


def _look_up() -> str:
    """Return the address that Ray means by 'auto'.

    That is one of a Ray on this machine, or else that of the last one started here,
    which may be gone.

    Raises:
        ValueError: There is none.
    """
    from ray._private.services import canonicalize_bootstrap_address_or_die

    if given := os.environ.get("RAY_ADDRESS"):
        check_address(given, "RAY_ADDRESS")
    try:
        return str(canonicalize_bootstrap_address_or_die("auto"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"No Ray on this machine for the address 'auto' ({error}); start it, or "
            "give --address HOST:PORT."
        ) from None


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


@contextlib.contextmanager
def _own_handler() -> Iterator[None]:
    """Keep our handler of SIGTERM in a block in which Ray starts, or ends.

    Ray sets its own before all else, which ends this process without a word; near the
    end of starting, another one in C++ (that a crash leave a trace), which aborts it
    after 3 seconds; ending, it puts back what the system does. Afterwards would be too
    late, each takes seconds: so ours is set again at every call of a function.
    """
    ours = signal.getsignal(signal.SIGTERM)
    main = threading.current_thread() is threading.main_thread()
    if ours is None or not main:  # Python lets only the main thread handle signals
        yield
        return
    alarm, profile = signal.getitimer(signal.ITIMER_REAL), sys.getprofile()

    def set_again(*_: object) -> None:
        signal.signal(signal.SIGTERM, ours)

    sys.setprofile(set_again)
    try:
        yield
    finally:
        sys.setprofile(profile)
        set_again()
        if not any(alarm):  # by which Ray's would abort
            signal.alarm(0)


@contextlib.contextmanager
def ray_session(resources: Resources, num_bytes: int) -> Iterator[str]:
    """Start Ray silently on this machine, or join a cluster; leave nothing behind.

    Yields the address of its dashboard, "" if it has none. `num_bytes` are those of the
    datasets that it is to hold.

    Raises:
        ValueError: It cannot be started, or joined.
        LaunchError: Ray failed while it was in use.
    """
    if resources.address is not None:
        _check_answers(resources.address)
    with _own_environment():
        try:
            dashboard = _init(resources, num_bytes)
            # Whatever the raylet has to say would break the display.
            with Path(os.devnull).open("w") as null, contextlib.redirect_stdout(null):
                yield dashboard
        except ray.exceptions.RayError as error:
            raise LaunchError(f"Ray failed: {last_line(error)}") from None
        finally:
            with _own_handler():
                ray.shutdown()


@contextlib.contextmanager
def _own_environment() -> Iterator[None]:
    """Set what Ray reads from the environment; afterwards it is as it was."""
    before = dict(os.environ)
    os.environ |= SETTINGS
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _init(resources: Resources, num_bytes: int) -> str:
    """Start or join Ray; return the address of its dashboard, "" if it has none.

    Raises:
        ValueError: It cannot be started, or joined.
    """
    start = partial(ray.init, address=resources.address)
    if resources.address is None:
        os.environ.setdefault("RAY_AUTH_TOKEN", TOKEN)
        workers, threads = resources.num_workers, resources.num_threads
        start = partial(
            ray.init,
            address="local",  # whatever RAY_ADDRESS says
            num_cpus=workers and workers * threads,
            num_gpus=resources.num_gpus,
            include_dashboard=False,
            object_store_memory=2 * num_bytes + 200 * 2**20,
        )
    try:
        with _own_handler():
            context = start(
                logging_level=logging.ERROR,
                log_to_driver=False,
                # What Tune asks for every trial: so no worker is started that cannot
                # serve one.
                runtime_env={"env_vars": TRIAL_ENVIRONMENT},
            )
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        if resources.address is None:
            raise ValueError(f"Ray cannot be started: {error}") from None
        raise ValueError(
            f"Ray at {resources.address} cannot be joined: {error}. Does it run, "
            "and is this its token (RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or "
            "~/.ray/auth_token)?"
        ) from None
    for name in ("ray", "ray.tune", "ray.air"):  # what matters arrives as events
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return context.dashboard_url or ""
