"""Commands that messages suggest: they run, or go on with, a sweep, trial or cell."""

import difflib
import json
import shlex
from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from raybs.config import TrainConfig, TrainSweep
from raybs.config.catalog import sweep_names
from raybs.config.gradient_sweep import GradientSweep, Sweep

FROZEN = "_frozen"
"""Ends the name of a gradient sweep with weights that stand still."""


def command(name: str, *words: object) -> str:
    """Return the command of a sweep that comes with raybs, with these options."""
    base = name.removesuffix(FROZEN)
    options = [*map(str, words), *(["--frozen"] if base != name else [])]
    return shlex.join(["python", "-m", "raybs.sweep", base, *options])


def again(name: str, *words: object) -> str:
    """Say how to ask for a sweep with these options: by a command if there is one.

    Of a sweep from a file, or a grid, only the reader knows the command.
    """
    if name.removesuffix(FROZEN) in sweep_names():
        return command(name, *words)
    return f"ask for {name!r} again, with {' '.join(map(str, words))}"


def no_sweep(name: str, known: Collection[str], results: str) -> ValueError:
    """Return the error that `results` holds no sweep `name`, with what would help.

    A command is suggested only where it works: a sweep from a file, or a grid, is run
    by a command that its name does not tell.
    """
    held = ", ".join(sorted(known)) or "none"
    said = f"No sweep '{name}' in {results}, only {held}"
    if name in sweep_names():
        default = Path("results").resolve()
        where = () if results == str(default) else ("--results", results)
        return ValueError(f"{said}; run it: {command(name, *where)}")
    if (Path(name) / "format.json").is_file():
        report = shlex.join(["python", "-m", "analysis", "--results", name])
        return ValueError(f"{said}; '{name}' is a results folder itself: {report}")
    close = difflib.get_close_matches(name, [*known, *sweep_names()], n=1)
    return ValueError(f"{said}." + (f" Did you mean '{close[0]}'?" if close else ""))


def sweep_command(name: str, sweep: Sweep) -> str:
    """Return the command of a sweep that comes with raybs, for its seeds or draws.

    None, "", for one seed that is not 0: the command names a count, or several.
    """
    if isinstance(sweep, GradientSweep):
        crossed = "x".join(map(str, sweep.crossed or ()))
        more = ("--crossed", crossed) if crossed else ()
        return command(name, "--draws", sweep.num_draws, *more)
    seeds = sorted({config.seed for config in sweep.configs})
    if seeds == [0]:
        return command(name)
    if seeds == list(range(len(seeds))):
        return command(name, "--seeds", len(seeds))
    several = ",".join(map(str, seeds))
    return command(name, "--seeds", several) if len(seeds) > 1 else ""


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
        'name="rerun", results="rerun", replace=True)'
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
