"""Whole sweeps, beside the script one would write from Ray Tune's documentation.

Run: python -m benchmarks.sweep         (all parts: 1.5 hours; one: --part start-up)

    whole       lr_compensation end to end, 30 epochs; how busy the workers are
    epochs      epochs of every kind in the article's sweeps, and what their whole takes
    start-up    from the command to the first report of a worker
    trivial     300 trials of one step each: what a trial costs besides its training
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np
import pandas as pd

from benchmarks.report import finish, machine, markdown, spread
from benchmarks.schedule import TRAINING_SWEEPS, makespan
from raybs.config import TrainConfig
from raybs.config.catalog import find_sweep
from raybs.datasets.dataset import load_arrays
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

TRIVIAL = '''"""Trials of one step of a tiny network."""

from raybs.config import Phase, TrainConfig, TrainSweep

SWEEP = TrainSweep(
    configs=tuple(
        TrainConfig(
            phases=(Phase(batch_size=64, learning_rate=0.001 * (i + 1), epochs=1),),
            hidden=(8,),
            dataset="tiny.npz",
        )
        for i in range(NUM)
    )
)
'''

TUNE = '''"""Trials that do nothing, by Ray Tune alone, with its default loggers."""

import sys

from ray import tune


class Trivial(tune.Trainable):
    def setup(self, config):
        self.config = config

    def reset_config(self, new_config):
        return True

    def step(self):
        return {"loss": self.config["x"], "done": True}


tune.Tuner(
    tune.with_resources(Trivial, {"cpu": 1}),
    param_space={"x": tune.grid_search(list(range(int(sys.argv[1]))))},
    tune_config=tune.TuneConfig(reuse_actors=sys.argv[2] == "reused"),
    run_config=tune.RunConfig(name="trivial", storage_path=sys.argv[3]),
).fit()
'''


@click.command()
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(["whole", "epochs", "start-up", "trivial"]),
    help="One part alone.  [default: all]",
)
@click.option("--epochs", default=30, show_default=True, help="Of the part whole.")
def main(parts: Sequence[str], epochs: int) -> None:
    """Measure whole commands as a user runs them."""
    measures = {
        "start-up": start_up,
        "trivial": trivial,
        "epochs": kinds,
        "whole": lambda: whole(epochs),
    }
    for part, measure in measures.items():
        if not parts or part in parts:
            frame, text = measure()
            text += f"\n\n{machine('torch', 'torchvision', 'ray')}."
            finish(f"sweep-{part}", frame, text)


def whole(epochs: int) -> tuple[pd.DataFrame, str]:
    """Time lr_compensation by the handwritten script and by raybs."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["lr_compensation", "--max-epochs", str(epochs)]
        seconds = {
            HANDWRITTEN: timed("benchmarks.handwritten", *options, "--folder", folder)
        }
        lines = list(reports("raybs.sweep", *options, "--results", f"{folder}/results"))
        seconds[RAYBS] = lines[-1][0]
        rows = open_store(f"{folder}/results").read_rows().to_pandas()
        told = [at for at, line in lines if re.search(r"%, \d+ of \d+ epochs", line)]
        # The first line tells of the init's measurement, which began before it.
        first = rows.loc[rows["epoch"] == 0, "seconds"].min()
        window = told[-1] - told[0] + first
    busy = rows["seconds"].sum()
    frame = pd.DataFrame(
        {"contender": list(seconds), "seconds": list(seconds.values())}
    ).assign(epochs=epochs, busy=busy, window=window)
    text = (
        f"lr_compensation, {epochs} epochs a trial, {NUM_WORKERS} workers, "
        "the whole command, once each:\n"
        f"{HANDWRITTEN} {seconds[HANDWRITTEN]:.0f} s, {RAYBS} {seconds[RAYBS]:.0f} s: "
        f"{seconds[HANDWRITTEN] / seconds[RAYBS]:.1f} times faster.\n"
        f"Workers of raybs trained and measured {busy:.0f} of {NUM_WORKERS} x "
        f"{window:.0f} s between the first and the last report: "
        f"{100 * busy / window / NUM_WORKERS:.1f} %."
    )
    return frame, text


def kinds() -> tuple[pd.DataFrame, str]:
    """Time an epoch of every kind; add up what the article's sweeps would take."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kinds.py"
        file.write_text(KINDS, "utf-8")
        timed("benchmarks.handwritten", str(file), "--folder", folder)
        for path in Path(folder).glob("tune/**/result.json"):
            result = json.loads(path.read_text("utf-8").splitlines()[-1])
            trial = result["config"]["trial"]
            kind = (trial["phases"][0]["batch_size"], trial["optimizer"])
            rows.append((HANDWRITTEN, *kind, result["time_total_s"]))
        results = f"{folder}/results"
        timed("raybs.sweep", str(file), "--results", results)
        seconds = open_store(results).read_rows(["state_key", "epoch", "seconds"])
        ours = seconds.to_pandas().set_index("state_key")["seconds"]
        measuring = seconds.to_pandas().query("epoch == 0")["seconds"].median()
        for item in find([str(file)]):
            for request in item.requests:
                config = request.config
                kind = (config.phases[0].batch_size, config.optimizer)
                rows.append((RAYBS, *kind, ours[request.keys[1]]))
    columns = ["contender", "batch_size", "optimizer", "seconds"]
    frame = pd.DataFrame(rows, columns=columns)
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
    text = (
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
    return frame, text


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


def start_up(rounds: int = 5) -> tuple[pd.DataFrame, str]:
    """Time commands that train nothing, and the first report of ones that do."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_tiny(Path(folder), 1)
        for number in range(rounds):
            for options in (["--help"], ["--list"], ["recovery", "--plan"]):
                took = timed("raybs.sweep", *options, folder=folder)
                rows.append((" ".join(options), number, took))
            for options in (["--local"], []):
                results = f"{folder}/results-{number}{options}"
                lines = reports(
                    "raybs.sweep",
                    "tiny.py",
                    "--results",
                    results,
                    *options,
                    folder=folder,
                )
                took = next(at for at, line in lines if "epoch" in line and "|" in line)
                for _ in lines:  # to its end
                    pass
                name = f"first step, {'--local' if options else 'Ray'}"
                rows.append((name, number, took))
    frame = pd.DataFrame(rows, columns=["what", "round", "seconds"])
    table = frame.groupby("what", sort=False)["seconds"].apply(spread).reset_index()
    text = (
        f"Seconds from the command on, median (quartiles) of {rounds}; the first step "
        "is that of a network\nand dataset that take no time, so start-up is all there "
        f"is.\n\n{markdown(table)}"
    )
    return frame, text


def trivial(num: int = 300) -> tuple[pd.DataFrame, str]:
    """Time many trials that have nothing to do."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_tiny(Path(folder), num)
        times = [
            at
            for at, line in reports("raybs.sweep", "tiny.py", folder=folder)
            if "finished" in line
        ]
        rows.append((RAYBS, num, 1000 * (times[-1] - times[0]) / (num - 1)))
        script = Path(folder) / "tune_alone.py"
        script.write_text(TUNE, "utf-8")
        for kind, few, many in (("reused", 20, num), ("new", 4, 24)):
            # Their difference leaves out what Tune takes to start.
            took = [
                timed(str(script), str(n), kind, f"{folder}/{kind}-{n}")
                for n in (few, many)
            ]
            each = 1000 * (took[1] - took[0]) / (many - few)
            rows.append((f"Tune alone, {kind} actors", many, each))
    frame = pd.DataFrame(rows, columns=["contender", "trials", "milliseconds"])
    text = (
        f"Milliseconds a trial that has nothing to do, {NUM_WORKERS} workers:\n\n"
        f"{markdown(frame.round(1))}"
    )
    return frame, text


def write_tiny(folder: Path, num: int) -> None:
    """Write a dataset of 64 samples and a sweep of `num` trials of one step."""
    mnist = load_arrays("mnist")
    parts = ("x_train", "y_train", "x_test", "y_test")
    arrays = {part: getattr(mnist, part)[:64] for part in parts}
    np.savez(folder / "tiny.npz", **arrays)
    text = TRIVIAL.replace("NUM", str(num))
    (folder / "tiny.py").write_text(text, "utf-8")


def timed(module: str, *arguments: str, folder: str | None = None) -> float:
    """Return the seconds of a command."""
    return list(reports(module, *arguments, folder=folder))[-1][0]


def reports(
    module: str, *arguments: str, folder: str | None = None
) -> Iterator[tuple[float, str]]:
    """Run a command; yield seconds since its start with every line, and at its end."""
    run = [module] if module.endswith(".py") else ["-m", module]
    root = str(Path(__file__).parent.parent)
    environment = os.environ | {
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": root,
    }
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *run, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=environment,
    ) as process:
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line)
            yield time.perf_counter() - start, line
    if process.returncode:
        raise SystemExit(f"{module} {' '.join(arguments)}:\n{''.join(said[-20:])}")
    yield time.perf_counter() - start, ""


if __name__ == "__main__":
    main()
