"""Sweeps that a command names, as its options change them, and what they ask for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from raybs.config.catalog import find_sweep
from raybs.config.gradient_sweep import GradientSweep, Sweep, cells, check_samples
from raybs.config.sweep import TrainSweep, with_seeds
from raybs.datasets.dataset import describe
from raybs.plan.chunks import Wanted
from raybs.plan.overrides import (
    Changes,
    change_draws,
    change_training,
)
from raybs.plan.requests import Request, requests

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
"""Of sweeps: it names files and folders."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One sweep: what it asks to be trained, and to be drawn.

    With `keep_states` the last states of its trials stay. Of a sweep that is `recorded`
    these are some trials alone: its record stays as it is.
    """

    name: str
    title: str
    sweep: Sweep
    requests: Sequence[Request]
    wanted: Sequence[Wanted] = ()
    keep_gradients: bool = False
    keep_states: bool = False
    recorded: bool = False


def find(names: Sequence[str], changes: Changes | None = None) -> list[Asked]:
    """Return what the sweeps `names`, or files, ask for with `changes`.

    Raises:
        ValueError: A sweep, its configs or a change of it are not as they must be.
    """
    changes = changes or Changes()
    asked: dict[str, Asked] = {}
    for given in dict.fromkeys(names):
        item = ask(*find_sweep(given), changes)
        if item.name in asked:
            raise ValueError(
                f"Two sweeps are named '{item.name}': give one another name."
            )
        asked[item.name] = item
    check_options(list(asked.values()), changes)
    return list(asked.values())


def ask(name: str, title: str, sweep: Sweep, changes: Changes) -> Asked:
    """Return what `sweep` asks for with `changes`.

    Raises:
        ValueError: Its configs or a change of it are not as they must be.
    """
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be a sweep's name; use letters, digits, '_', '-' and '.'."
        )
    if isinstance(sweep, GradientSweep):
        sweep = change_draws(sweep, changes)
        if changes.draws.get("frozen"):  # beside the other, not in its place
            name, title = f"{name}_frozen", f"{title} (weights held still)"
    else:
        sweep = change_training(sweep, changes)
        if changes.seeds:
            sweep = with_seeds(sweep, changes.seeds)
    for other in (changes.model, changes.loss):
        if other:  # beside what was asked of the sweep's own network
            name, title = f"{name}_{_short(other)}", f"{title} ({other})"
    asked = requests(sweep.training, describe)
    return Asked(
        name=name,
        title=title,
        sweep=sweep,
        requests=asked,
        wanted=_wanted(sweep, asked),
        keep_gradients=changes.keep_gradients,
    )


def _short(name: str) -> str:
    """Return what names a sweep after a user's code: net_make after net.py:make."""
    words = re.sub(r"\.py:|[^A-Za-z0-9_-]+", "_", PurePath(name).name)
    return words.strip("_")


def check_options(asked: Sequence[Asked], changes: Changes) -> None:
    """Refuse changes that would change none of the sweeps."""
    kinds = {type(item.sweep) for item in asked}
    if (changes.draws or changes.keep_gradients) and GradientSweep not in kinds:
        raise ValueError(
            "Options about draws are for gradient sweeps: python -m raybs.sweep "
            "gradient_competition; leave them out."
        )
    if changes.seeds and TrainSweep not in kinds:
        raise ValueError(
            "--seeds: a gradient sweep draws from states of the seeds in its file; "
            "leave it out, or give a file of your own."
        )


def _wanted(sweep: Sweep, asked: Sequence[Request]) -> list[Wanted]:
    if not isinstance(sweep, GradientSweep):
        return []
    infos = {request.config.dataset: request.info for request in asked}
    check_samples(sweep, {name: info.num_samples for name, info in infos.items()})
    prints = {n: f for request in asked for n, f in request.fingerprints.items()}
    pairs = sweep.pairs
    return [
        Wanted(cell=cell, pairs=pairs, info=infos[cell.config.dataset])
        for cell in cells(sweep, prints)
    ]
