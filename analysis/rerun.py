"""Commands that go on with a sweep, and that run one trial or one cell again."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Any

from raybs.config import TrainConfig, TrainSweep
from raybs.draws import GradientSweep
from raybs.records import Sweep

FROZEN = "_frozen"
"""Ends the name of a gradient sweep with weights that stand still."""


def ask(name: str, **options: object) -> str:
    """Return the command of a sweep with these options: `draws=20` is --draws 20."""
    base = name.removesuffix(FROZEN) if "draws" in options else name
    words = [f for option in options.items() for f in (f"--{option[0]}", option[1])]
    words += ["--frozen"] if base != name else []
    return shlex.join(["python", "-m", "raybs.sweep", base, *map(str, words)])


def sweep_command(name: str, sweep: Sweep) -> str:
    """Return the command of a sweep that comes with raybs, for its seeds or draws.

    None, "", for one seed that is not 0: the command names a count, or several.
    """
    if isinstance(sweep, GradientSweep):
        crossed = (
            {"crossed": "x".join(map(str, sweep.crossed))} if sweep.crossed else {}
        )
        return ask(name, draws=sweep.num_draws, **crossed)
    seeds = sorted({config.seed for config in sweep.configs})
    if seeds == [0]:
        return ask(name)
    if seeds == list(range(len(seeds))):
        return ask(name, seeds=len(seeds))
    return ask(name, seeds=",".join(map(str, seeds))) if len(seeds) > 1 else ""


def trial_command(config: TrainConfig, sweep: TrainSweep) -> str:
    """Return a command that trains one trial again, measured as in its sweep."""
    alone = replace(sweep, configs=(config,), last_epochs=None)
    return _run("TrainSweep, TrainConfig, Phase", alone)


def cell_command(regime: str, batch_size: int, sweep: GradientSweep) -> str:
    """Return a command that takes the draws of one cell again."""
    regimes = {regime: sweep.regimes[regime]}
    alone = replace(sweep, regimes=regimes, batch_sizes=(batch_size,))
    return _run("GradientSweep, TrainConfig, Phase", alone)


def _run(names: str, sweep: Sweep) -> str:
    code = (
        f"from raybs import {names}, run; run({source(sweep)}, "
        'name="rerun", results="rerun")'
    )
    return f"python -c {shlex.quote(code)}"


def source(value: object) -> str:
    """Return `value` as Python, without the fields that are as they are by default."""
    if is_dataclass(value):
        given = [
            f"{field.name}={source(getattr(value, field.name))}"
            for field in fields(value)
            if field.init and getattr(value, field.name) != _default(field)
        ]
        return f"{type(value).__name__}({', '.join(given)})"
    if isinstance(value, str):
        return json.dumps(value)  # in ", since a shell takes all of it in '
    if isinstance(value, tuple):
        return f"({''.join(f'{source(item)}, ' for item in value).rstrip(' ')})"
    if isinstance(value, Mapping):
        items = [f"{source(key)}: {source(item)}" for key, item in value.items()]
        return f"{{{', '.join(items)}}}"
    return repr(value)


def _default(field: Any) -> object:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default
