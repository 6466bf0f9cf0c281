"""Whole sweeps, beside the script one would write from Ray Tune's documentation.

Run: python -m benchmarks.sweep         (all parts: 1.5 hours; one: --part start-up)

    whole       lr_compensation end to end, 30 epochs; how busy the workers are
    epochs      epochs of every kind in the article's sweeps, and what their whole takes
    start-up    from the command to the first report of a worker
    trivial     300 trials of one step each: what a trial costs besides its training
"""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import pandas as pd

from benchmarks.commands import reports, timed, write_tiny
from benchmarks.epochs import HANDWRITTEN, NUM_WORKERS, RAYBS, kinds
from benchmarks.report import finish, machine, markdown, spread
from raybs.store.opening import open_store

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


if __name__ == "__main__":
    main()
