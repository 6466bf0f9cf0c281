"""What the report's appendix lists: every trial and cell, and where they ran."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.commands import cell_command, trial_command
from analysis.frames.draws import CellRow, Draws, cell_rows
from analysis.frames.trials import Frames, only
from analysis.metrics import ACCURACY
from raybs.config.gradient_sweep import GradientSweep, Sweep
from raybs.config.status import Status
from raybs.config.sweep import TrainSweep
from raybs.config.trial import label
from raybs.config.units import duration
from raybs.config.validation import count

WORKER = {"device": "device", "num_threads": "threads", "torch_version": "torch"}
"""Where rows come from: column, and what tables call it."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the results hold of the sweeps that are shown.

    `statuses` counts trials by what became of them, `seconds` is the time of training
    and measuring of all rows, each counted once; `workers` are where rows and draws are
    from, in words.
    """

    num_trials: int
    num_seeds: int
    num_draws: int
    statuses: Mapping[str, int]
    seconds: float
    workers: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """All of it, in words."""
        held = []
        if self.num_trials:
            counts = ", ".join(f"{n:,} {word}" for word, n in self.statuses.items())
            held.append(
                f"{count(self.num_trials, 'trial')} ({counts}) of "
                f"{count(self.num_seeds, 'seed')}"
            )
        if self.num_draws:
            held.append(f"{count(self.num_draws, 'draw')} of gradients")
        if not held:
            return "These results hold no trials and no draws yet."
        said = f"These results hold {' and '.join(held)}"
        if self.workers:
            said += f", from {'; '.join(self.workers)}"
        if self.seconds:
            said += f"; their trials took {duration(self.seconds)} of a worker's time"
        return f"{said}."


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All trials, or cells, of a sweep: rows of text; the last is a command."""

    sweep: str
    title: str
    what: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def facts(
    sweeps: Mapping[str, Sweep], training: Frames, draws: Mapping[str, Draws]
) -> Facts:
    """Count what the results hold of `sweeps`; a trial that several ask for once."""
    mine = training.trials["sweep"].isin(list(sweeps))
    trials = training.trials[mine].drop_duplicates("trial")
    history = training.history[training.history["sweep"].isin(list(sweeps))]
    drawn = [draws[name].draws for name in sweeps if name in draws]
    workers = pd.concat([frame[[*WORKER]] for frame in (history, *drawn)])
    kinds = workers.dropna().drop_duplicates().to_dict("records")
    return Facts(
        num_trials=len(trials),
        num_seeds=trials["seed"].nunique(),
        num_draws=sum(len(frame) for frame in drawn),
        statuses={str(k): int(n) for k, n in trials["status"].value_counts().items()},
        seconds=float(history.drop_duplicates("state_key")["seconds"].sum()),
        workers=tuple(sorted({_worker(kind) for kind in kinds})),
    )


def listings(
    sweeps: Mapping[str, Sweep], training: Frames, draws: Mapping[str, Draws]
) -> Iterator[Listing]:
    """Yield every trial and every cell, sweep by sweep."""
    for name, sweep in sweeps.items():
        if isinstance(sweep, GradientSweep):
            yield _of_cells(draws[name], sweep)
        else:
            yield _of_trials(name, only(training, name).trials, sweep)


def _of_trials(name: str, trials: pd.DataFrame, sweep: TrainSweep) -> Listing:
    configs = {(label(config), config.seed): config for config in sweep.configs}
    factor, form = ACCURACY.factor, ACCURACY.table_format
    rows = []
    for trial in trials.to_dict("records"):
        config = configs.get((trial["label"], trial["seed"]))
        accuracy = trial["final_test_accuracy"]
        rows.append(
            (
                trial["label"],
                str(trial["seed"]),
                _status(trial),
                f"{_or_dash(trial['final_epoch'])} of {trial['num_epochs']}",
                "-" if math.isnan(accuracy) else f"{factor * accuracy:{form}}",
                f"{trial['seconds']:,.0f}",
                *(_or_dash(trial[column]) for column in WORKER),
                trial_command(config, sweep) if config else "-",
            )
        )
    head = ("config", "seed", "status", "epochs", ACCURACY.title, "seconds")
    return Listing(
        sweep=name,
        title=str(trials["title"].iloc[0]),
        what="trial",
        columns=(*head, *WORKER.values(), "again"),
        rows=tuple(rows),
    )


def _of_cells(drawn: Draws, sweep: GradientSweep) -> Listing:
    groups = dict(iter(drawn.draws.groupby(["regime", "batch_size"], sort=False)))
    rows = []
    for cell in cell_rows(drawn):
        key = (cell["regime"], cell["batch_size"])
        draws = groups.get(key)
        workers = [
            "-" if draws is None else ", ".join(map(_or_dash, draws[column].unique()))
            for column in WORKER
        ]
        rows.append(
            (
                key[0],
                str(key[1]),
                _cell_status(cell),
                f"{cell['stored']} of {cell['asked']}",
                str(cell["diverged"]),
                *workers,
                cell_command(*key, sweep),
            )
        )
    head = ("regime", "batch size", "status", "draws", "diverged")
    return Listing(
        sweep=drawn.name,
        title=drawn.title,
        what="cell",
        columns=(*head, *WORKER.values(), "again"),
        rows=tuple(rows),
    )


def _status(trial: Mapping[Any, Any]) -> str:
    if trial["status"] == Status.FAILED:
        return _failed(trial["message"])
    return str(trial["status"])


def _cell_status(cell: CellRow) -> str:
    if cell["stored"] >= cell["asked"]:
        return Status.COMPLETE
    return _failed(cell["message"]) if cell["message"] else Status.UNFINISHED


def _failed(message: str) -> str:
    return f"{Status.FAILED}: {message}"


def _worker(kind: Mapping[Any, Any]) -> str:
    threads = _or_dash(kind["num_threads"])
    return (
        f"{kind['device']}, {threads} thread{'' if threads == '1' else 's'} a worker, "
        f"torch {kind['torch_version']}"
    )


def _or_dash(value: Any) -> str:
    """Write a whole number, or a text; a dash where there is none."""
    if isinstance(value, str):
        return value
    return "-" if value is None or value != value else str(int(value))
