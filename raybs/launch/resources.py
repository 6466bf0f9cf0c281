"""What trials run on: devices, workers, threads, replicas, a cluster's address."""

import ipaddress
import os
import re
from dataclasses import dataclass

from raybs.config.validation import any_of, is_integer, is_number, raise_all
from raybs.store.files import PATIENCE

DEVICES = ("cpu", "cuda", "mps")

MAX_WORKERS = 10_000

MAX_THREADS = 1_000
"""On one machine: more are a mistake."""

MAX_REPLICAS = 10_000


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What trials may use; None leaves it to what the machine or cluster has.

    `num_workers` trials at a time with `num_threads` CPUs each; `gpus_per_trial` is 0,
    1 or 1/n; `device` overrules the choice by assigned GPUs; `num_replicas` train side
    by side in a worker (None: as many as a probe finds best). A worker of Ray that
    ends no epoch (no chunk of draws) for `trial_timeout` seconds is ended, its work
    starts again. `address` is that of a cluster to join; None starts Ray here.
    """

    num_workers: int | None = None
    num_threads: int = 1
    num_gpus: int | None = None
    gpus_per_trial: float | None = None
    device: str | None = None
    num_replicas: int | None = 1
    trial_timeout: float = 1800.0
    address: str | None = None

    def __post_init__(self) -> None:
        """Raise one ValueError that lists every invalid field."""
        problems = []
        for name, (least, most) in COUNTS.items():
            value = getattr(self, name)
            given = value is not None or name == "num_threads"
            if given and not (is_integer(value) and least <= value <= most):
                problems.append(f"{name}={value!r}; use {least} to {most}")
        if self.device is not None and self.device not in DEVICES:
            problems.append(f"device={self.device!r}; use {any_of(DEVICES)}")
        gpus = self.gpus_per_trial
        if gpus is not None and not (is_number(gpus) and 0 <= gpus <= 1):
            problems.append(f"gpus_per_trial={gpus!r}; use 0, 1 or 1/n")
        if not is_number(self.trial_timeout) or self.trial_timeout <= 0:
            seconds = f"trial_timeout={self.trial_timeout!r}"
            problems.append(f"{seconds}; use a finite number of seconds above 0")
        raise_all("resources", problems)
        if self.address is not None:  # Ray answers by a traceback, or by waiting
            check_address(self.address, "address")

    @property
    def patience(self) -> float:
        """Seconds for which a worker waits for its store, before it counts as hung."""
        return min(PATIENCE, self.trial_timeout / 2)


COUNTS = {
    "num_workers": (1, MAX_WORKERS),
    "num_threads": (1, MAX_THREADS),
    "num_gpus": (0, MAX_WORKERS),
    "num_replicas": (1, MAX_REPLICAS),
}
"""Fields of Resources that count something, and their bounds."""


def find_address(given: str | None) -> str | None:
    """Return what --address gives, or else RAY_ADDRESS, where it is not empty.

    Raises:
        ValueError: It is no address of a cluster.
    """
    if given is not None:
        check_address(given, "--address")
    variable = os.environ.get("RAY_ADDRESS") or None
    if variable and given in (None, "auto"):  # Ray looks there first
        check_address(variable, "RAY_ADDRESS")
    return given or variable


def check_address(address: str, origin: str) -> None:
    """Refuse what is neither 'auto' nor HOST:PORT; `origin` is what it comes from.

    Raises:
        ValueError: It is neither.
    """
    if "://" in address:
        raise ValueError(
            f"{origin} {address!r} is no address for sweeps: give 'auto' or HOST:PORT; "
            "or submit the sweep as a job (ray job submit)."
        )
    host, _, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        named = _is_ipv6(host[1:-1])
    else:
        named = bool(re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?", host))
    numbered = re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= 65535
    if address != "auto" and not (named and numbered):
        raise ValueError(
            f"{origin} {address!r} is no address of a Ray cluster: give 'auto' or "
            "HOST:PORT, as in 10.0.0.5:6379 or [::1]:6379, with a port from 1 to "
            "65535; or leave it out, to use this machine."
        )


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
