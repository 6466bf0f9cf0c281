"""The trained network back: from a trial in a results folder to a torch.nn.Module."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raybs.config.keys import TRAINER_VERSION
from raybs.config.own import is_own
from raybs.config.status import Status
from raybs.config.sweep import GOAL_COLUMNS, TrainSweep
from raybs.config.units import duration
from raybs.config.validation import count
from raybs.datasets.dataset import describe, load_arrays
from raybs.launch.events import LaunchError
from raybs.launch.resources import Resources
from raybs.plan.plan import Plan
from raybs.plan.requests import Request, requests, with_stops
from raybs.plan.resolve import Asked
from raybs.runner import carry_out, first_plan
from raybs.store.opening import Place, as_store, open_store
from raybs.store.store import Store
from raybs.store.trials import RecordedTrial, find_trial
from raybs.train.networks import with_networks

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger("raybs")

COLUMNS = ["state_key", "status", "num_threads", "device", *GOAL_COLUMNS]


def load_model(
    results: Place | Store, trial: str, *, train: bool = True
) -> "nn.Module":
    """Return the network that `trial` ended with, in eval mode, on the CPU.

    `trial` is a trial's key, `Frames.trials["trial"]`, or a beginning of it that no
    other has; or its label, with ", seed 1" behind it where there are several. A user's
    network is made by its own code, the built-in MLP is a torch.nn.Sequential.
    Where the results hold its rows and no state, it is trained again in this process,
    which is said first; with `train=False` that is an error.

    Returns:
        A module of samples (N, *shape). Its attribute `standardization` has the `mean`
        and `deviation` of all training pixels, and the `shape` of a sample;
        `standardization.apply(samples)` makes them of those of a dataset.

    Raises:
        ValueError: There is no such trial, or several; it diverged; its dataset or its
            code is not what it was trained with.
        LaunchError: It could not be trained.
    """
    store = as_store(results)
    wanted = find_wanted(store, trial)
    module = stored_module(wanted, store)
    if module is not None:
        return module
    plan = plan_of(wanted, store)
    if not train:
        raise ValueError(f"{store.uri} holds no state of {wanted}: {needs(plan)}.")
    log.warning("Training %s: %s.", wanted, needs(plan))
    return trained_module(wanted, plan, store)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A recorded trial, and what it asks for today."""

    trial: RecordedTrial
    request: Request

    @property
    def asked(self) -> Asked:
        """What to train, so that its last state is there."""
        return Asked(
            name=self.trial.name,
            title=self.trial.entries["title"],
            sweep=self.trial.sweep,
            requests=[self.request],
            keep_states=True,
            recorded=True,
        )

    def __str__(self) -> str:
        """Name it as its reader would."""
        return f"'{self.trial.full_label}'"


def find_wanted(store: Store, given: str) -> Wanted:
    """Find the trial that `given` names, and try its network.

    Raises:
        ValueError: None is, or several are; or it cannot be trained as it was.
    """
    trial = find_trial(store, given)
    request = _request(trial)
    asked = Wanted(trial=trial, request=request).asked
    [asked] = with_networks([asked], store)
    return Wanted(trial=trial, request=asked.requests[0])


def _request(trial: RecordedTrial) -> Request:
    """Return what a trial asks for today, which must be what it asked for.

    Raises:
        ValueError: Its dataset, its code or raybs itself has changed since.
    """
    sweep = TrainSweep(
        configs=(trial.config,),
        evaluate_every=trial.sweep.evaluate_every,
        until=trial.sweep.until,
    )
    [request] = requests(sweep, describe)
    if trial.entries["trainer_version"] != TRAINER_VERSION:
        raise ValueError(
            f"'{trial.full_label}' was trained by another version of raybs, whose "
            "numbers this one does not make; use that one."
        )
    for name, fingerprint in request.fingerprints.items():
        if trial.entries["fingerprints"][name] != fingerprint:
            packages = ", or a package that it imports," if is_own(name) else ""
            raise ValueError(
                f"{name}{packages} has changed since '{trial.full_label}' was trained "
                "with it; undo that change, or train anew."
            )
    return request


@dataclass(frozen=True, kw_only=True)
class End:
    """Where a trial ended: the epoch, the state's key, and the row, if it is stored."""

    epoch: int
    key: str
    row: Mapping[str, Any] | None


def end_of(wanted: Wanted, store: Store) -> End | None:
    """Return where a trial ended; None if the rows do not say yet.

    Raises:
        ValueError: It diverged.
    """
    rows = store.read_rows(COLUMNS)
    [request] = with_stops([wanted.request], rows)
    keys = request.keys
    here = {*keys}
    by_key = {r["state_key"]: r for r in rows.to_pylist() if r["state_key"] in here}
    last = len(keys) - 1 if request.stop is None else request.stop
    for epoch, key in enumerate(keys[: last + 1]):
        if key in by_key and by_key[key]["status"] == Status.DIVERGED:
            raise ValueError(
                f"{wanted} diverged in epoch {epoch}, so there is no trained network."
            )
    measured = all(keys[epoch] in by_key for epoch in request.measured)
    if request.until and request.stop is None and not measured:
        return None
    return End(epoch=last, key=keys[last], row=by_key.get(keys[last]))


def stored_module(wanted: Wanted, store: Store) -> "nn.Module | None":
    """Return the network of a trial, or None if its last state is not stored.

    Raises:
        ValueError: It diverged, or its code is not as it must be.
    """
    end = end_of(wanted, store)
    if end is None:
        return None
    stored = store.read_state(end.key)
    if stored is None and end.epoch:
        return None
    from raybs.models.restore import restore

    config = wanted.request.config
    return restore(config, load_arrays(config.dataset), stored)


def plan_of(wanted: Wanted, store: Store) -> Plan:
    """Plan what the last state of a trial takes."""
    return first_plan([wanted.asked], store, _resources(wanted, store))


def needs(plan: Plan) -> str:
    """Say what `plan` takes: "3 epochs to train, about 2 min"."""
    until = any(stretch.until for stretch in plan.stretches)
    most = "at most " if until else ""  # it may stop before
    epochs = count(plan.to_train, "epoch")
    return f"{most}{epochs} to train, about {duration(plan.bound(1))}"


def trained_module(wanted: Wanted, plan: Plan, store: Store) -> "nn.Module":
    """Carry out the plan of `plan_of`, in this process; return the network.

    Raises:
        KeyboardInterrupt: It was told to stop, and has saved what was under way.
        LaunchError: Something failed.
        ValueError: It diverged, or the results folder cannot be written.
    """
    import torch

    writable = open_store(store.uri, create=True)
    threads = torch.get_num_threads()
    try:
        outcome = carry_out(
            [wanted.asked],
            plan,
            writable,
            _resources(wanted, store),
            local=True,
            confirmed=True,
        )
    finally:
        torch.set_num_threads(threads)
    module = stored_module(wanted, writable)
    if module is None:
        why = "; ".join(sorted({*outcome.failures.values()})) or "its state is gone"
        raise LaunchError(f"{wanted} could not be trained: {why}")
    return module


def _resources(wanted: Wanted, store: Store) -> Resources:
    """Return what its rows were measured on, as far as it is here: for equal digits."""
    keys = {*wanted.request.keys}
    rows = store.read_rows(["state_key", "num_threads", "device"]).to_pylist()
    row = next((row for row in rows if row["state_key"] in keys), None)
    if row is None:
        return Resources()
    threads = min(max(row["num_threads"] or 1, 1), os.cpu_count() or 1)
    return Resources(
        num_threads=threads, device="cpu" if row["device"] == "cpu" else None
    )
