"""Epochs of every kind that the article's sweeps have, and what their whole takes."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.commands import timed
from benchmarks.report import markdown
from benchmarks.schedule import TRAINING_SWEEPS, makespan
from raybs.config import TrainConfig
from raybs.config.catalog import find_sweep
from raybs.plan.cost import Speed
from raybs.plan.plan import make_plan
from raybs.plan.resolve import find
from raybs.store.opening import open_store

RAYBS, HANDWRITTEN = "raybs", "handwritten"
NUM_WORKERS = 2

KINDS = '''"""One epoch of every kind that the article's sweeps have, longest first."""

from raybs.config import Phase, TrainConfig, TrainSweep

KINDS = ((2, "sgd"), (64, "adam"), (64, "sgd"), (256, "sgd"), (1024, "sgd"))
SWEEP = TrainSweep(
    configs=tuple(
        TrainConfig(
            phases=(Phase(batch_size=size, learning_rate=0.01, epochs=1),),
            optimizer=optimizer,
            seed=seed,
        )
        for size, optimizer in KINDS
        for seed in (0, 1)  # two of a kind, side by side: both workers are busy
    )
)
'''


Row = tuple[str, int, str, float]  # contender, batch size, optimizer, seconds


def kinds() -> tuple[pd.DataFrame, str]:
    """Time an epoch of every kind; add up what the article's sweeps would take."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kinds.py"
        file.write_text(KINDS, "utf-8")
        rows = list(handwritten_epochs(file))
        ours, measuring = our_epochs(file)
    columns = ["contender", "batch_size", "optimizer", "seconds"]
    frame = pd.DataFrame(rows + ours, columns=columns)
    return frame, text(frame, measuring)


def handwritten_epochs(file: Path) -> Iterator[Row]:
    """Train the sweep in `file` by the handwritten script."""
    timed("benchmarks.handwritten", str(file), "--folder", str(file.parent))
    for path in file.parent.glob("tune/**/result.json"):
        result = json.loads(path.read_text("utf-8").splitlines()[-1])
        trial = result["config"]["trial"]
        kind = (trial["phases"][0]["batch_size"], trial["optimizer"])
        yield (HANDWRITTEN, *kind, result["time_total_s"])


def our_epochs(file: Path) -> tuple[list[Row], float]:
    """Train it by raybs; return the seconds of a measurement besides."""
    results = str(file.parent / "results")
    timed("raybs.sweep", str(file), "--results", results)
    table = open_store(results).read_rows(["state_key", "epoch", "seconds"])
    seconds = table.to_pandas()
    ours = seconds.set_index("state_key")["seconds"]
    rows: list[Row] = []
    for item in find([str(file)]):
        for request in item.requests:
            config = request.config
            kind = (config.phases[0].batch_size, config.optimizer)
            rows.append((RAYBS, *kind, ours[request.keys[1]]))
    return rows, seconds.query("epoch == 0")["seconds"].median()


def text(frame: pd.DataFrame, measuring: float) -> str:
    """Return the table, and what the article's sweeps take at these seconds."""
    table = frame.pivot_table(
        index=["batch_size", "optimizer"], columns="contender", values="seconds"
    )
    table["ratio"] = table[HANDWRITTEN] / table[RAYBS]
    script = sum(
        list_schedule([trial_seconds(c, table[HANDWRITTEN]) for c in sweep.configs])
        for _, _, sweep in map(find_sweep, TRAINING_SWEEPS)
    )
    requests = [r for item in find(TRAINING_SWEEPS) for r in item.requests]
    plan = make_plan(requests, {}, set(), speed_of(table[RAYBS], measuring))
    ours_all = makespan(plan, NUM_WORKERS)
    return (
        f"Seconds of an epoch with its exact metrics, {NUM_WORKERS} workers busy, "
        "mean of two:\n\n"
        f"{markdown(table.round(1).reset_index())}\n\n"
        f"From these, scheduled on paper, the article's five sweeps ({plan.asked} "
        f"epochs asked for), one seed:\n{script / 3600:.1f} h by the handwritten "
        f"script, sweep after sweep; {ours_all / 3600:.2f} h by raybs in one command,\n"
        f"{plan.to_train} epochs in {len(plan.stretches)} stretches: "
        f"{script / ours_all:.1f} times faster. "
        f"(Its longest path alone takes {plan.bound(10**6) / 3600:.2f} h.)"
    )


def trial_seconds(config: TrainConfig, epochs: pd.Series) -> float:
    """Add up the epochs of a trial."""
    kinds = [(p.epochs, (p.batch_size, config.optimizer)) for p in config.phases]
    return sum(num * epochs[kind] for num, kind in kinds)


def list_schedule(trials: Sequence[float]) -> float:
    """Return when the last trial ends, started in their order on free workers."""
    ends = [0.0] * NUM_WORKERS
    for seconds in trials:
        ends[ends.index(min(ends))] += seconds
    return max(ends)


def speed_of(epochs: pd.Series, measuring: float) -> Speed:
    """Return the speed at which epochs take what was measured."""
    step = {
        size: (epochs[size, "sgd"] - measuring) / np.ceil(60000 / size)
        for size in (2, 64, 256, 1024)
    }
    adam = (epochs[64, "adam"] - measuring) / 938 - step[64]
    return Speed(
        step_seconds=tuple(step.items()),
        optimizer_seconds=max(adam, 0.0),
        overhead_seconds=0.0,
        sample_seconds=measuring / 70000,
    )
