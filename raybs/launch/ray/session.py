"""A Ray of our own, or a cluster joined: how it is started, and ended."""

import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import ray

from raybs.launch.events import LaunchError
from raybs.launch.ray.failures import last_line
from raybs.launch.resources import Resources, check_address

log = logging.getLogger("raybs")

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
