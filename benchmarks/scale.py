"""Planning, loading and charting many trials, and how many one driver drives.

Run: python -m benchmarks.scale         (5 minutes)
     python -m benchmarks.scale again   (the report alone; the rest as last time)
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np
import pandas as pd

from benchmarks.commands import reports, write_tiny
from benchmarks.report import RESULTS, finish, machine, markdown
from raybs.config import Phase, TrainConfig, TrainSweep
from raybs.config.keys import TRAINER_VERSION
from raybs.datasets.dataset import describe
from raybs.plan.cut import STRETCH_SECONDS
from raybs.plan.plan import make_plan
from raybs.plan.requests import Request, requests
from raybs.store.opening import open_store

EPOCHS = 30
NUM_TRIALS = (100, 1000, 10_000, 100_000)
NUM_REPORTED = 2000


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Measure all; every measurement is a process of its own, so its memory is too."""
    if context.invoked_subcommand:
        return
    rows = []
    for num in NUM_TRIALS:
        with tempfile.TemporaryDirectory() as folder:
            for what in ("plan", "write", "load", "chart"):
                rows.append(
                    {"what": what, "trials": num, **measured(what, num, folder)}
                )
    for num in (100, 1000):
        rows.append({"what": "drive", "trials": num, **drive(num)})
    frame = pd.DataFrame([*rows, reported()])
    finish("scale", frame, text(frame))


@main.command()
def again() -> None:
    """Measure the report again, beside what was measured last of all else."""
    last = pd.read_csv(RESULTS / "scale.csv")
    new = pd.DataFrame([reported()])
    frame = pd.concat([last[last["what"] != "report"], new], ignore_index=True)
    finish("scale", frame, text(frame))


def reported() -> dict[str, object]:
    """Measure the report of NUM_REPORTED trials, and its size."""
    with tempfile.TemporaryDirectory() as folder:
        measured("write", NUM_REPORTED, folder)
        cost = measured("report", NUM_REPORTED, folder)
        megabytes = (Path(folder) / "report.html").stat().st_size / 1e6
    row = {"what": "report", "trials": NUM_REPORTED, "megabytes": megabytes}
    return row | cost


@main.command()
@click.argument("what")
@click.argument("num", type=int)
@click.argument("folder", type=click.Path(path_type=Path))
def one(what: str, num: int, folder: Path) -> None:
    """Measure one thing, in this process; print it as JSON."""
    run: Callable[[int, Path], float] = globals()[what]
    seconds = run(num, folder)
    # Linux counts in KiB.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 2**20
    click.echo(json.dumps({"seconds": seconds, "peak": peak}))


def measured(what: str, num: int, folder: str) -> dict[str, float]:
    """Run `one` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale", "one", what, str(num), folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    cost: dict[str, float] = json.loads(done.stdout)
    return cost


def sweep_of(num: int) -> TrainSweep:
    """Make a grid of 4 batch sizes, 5 seeds and learning rates; 100,000 are sparse."""
    configs = [
        TrainConfig(
            phases=(
                Phase(
                    batch_size=(32, 64, 256, 1024)[i % 4],
                    learning_rate=0.001 + 1e-6 * (i // 20),
                    epochs=EPOCHS,
                ),
            ),
            seed=i // 4 % 5,
        )
        for i in range(num)
    ]
    every = EPOCHS if num > 10_000 else 1
    return TrainSweep(configs=tuple(configs), evaluate_every=every)


def plan(num: int, folder: Path) -> float:
    """Time what --plan does: configs, their checks and keys, and the plan."""
    start = time.perf_counter()
    made = make_plan(requests(sweep_of(num), describe), {}, set())
    assert made.to_train == num * EPOCHS
    return time.perf_counter() - start


def write(num: int, folder: Path) -> float:
    """Store rows of all trials, merged into one file as at the end of a sweep."""
    start = time.perf_counter()
    store = open_store(str(folder), create=True)
    sweep = sweep_of(num)
    requested = requests(sweep, describe)
    record = {
        "title": f"{num} trials",
        "trainer_version": TRAINER_VERSION,
        "fingerprints": {"mnist": describe("mnist").fingerprint},
        "failed": {},
        **asdict(sweep),
    }
    store.write_record("sweeps", "scale", record)
    for first in range(0, num, 1000):
        store.write_rows(rows_of(requested[first : first + 1000]))
    store.compact_rows()
    return time.perf_counter() - start


def rows_of(requested: list[Request]) -> list[dict[str, object]]:
    """Make rows as measured ones look."""
    rng = np.random.default_rng(0)
    rows = []
    for request in requested:
        for epoch in request.measured:
            loss, accuracy = 2.3 / (1 + epoch), 1 - 0.9 / (1 + epoch)
            noise = float(rng.normal(0, 0.01))
            rows.append(
                {
                    "state_key": request.keys[epoch],
                    "epoch": epoch,
                    "step": epoch * 938,
                    "samples_seen": epoch * 60000,
                    **dict.fromkeys(("train_loss", "test_loss"), loss + noise),
                    **dict.fromkeys(("train_accuracy", "test_accuracy"), accuracy),
                    **dict.fromkeys(("weight_distance", "weight_norm"), 40 + noise),
                    **dict.fromkeys(("bias_distance", "bias_norm"), noise),
                    **dict.fromkeys(
                        ("layer_distance", "cosine_to_init"), [noise, 0.9, 0.8]
                    ),
                    "seconds": 10 + noise,
                    "device": "cpu",
                    "num_threads": 1,
                    "num_replicas": 1,
                    "torch_version": "2",
                    "status": "complete",
                }
            )
    return rows


def load(num: int, folder: Path) -> float:
    """Time `analysis.load`, without its imports."""
    import analysis

    start = time.perf_counter()
    frames = analysis.load(str(folder))
    assert frames.trials["num_rows"].sum() == len(frames.history) >= 2 * num
    return time.perf_counter() - start


def chart(num: int, folder: Path) -> float:
    """Time tables and charts, without loading."""
    import analysis
    from analysis.charts.figures import figures
    from analysis.charts.theme import save
    from analysis.frames import trials as frames
    from analysis.report import tables
    from analysis.report.markdown import to_markdown

    scale = frames.only(analysis.load(str(folder)), "scale")
    start = time.perf_counter()
    to_markdown(tables.final_table(scale.trials))
    for name, drawn in figures(scale).items():
        save(drawn, folder, name)
    return time.perf_counter() - start


def report(num: int, folder: Path) -> float:
    """Time the report from what is stored to a file, without its imports."""
    from analysis.claims.claim import load_claims
    from analysis.report.files import write_report
    from analysis.report.page import render

    store, claims = open_store(str(folder)), load_claims()
    start = time.perf_counter()
    write_report(folder / "report.html", render(store, claims))
    return time.perf_counter() - start


def drive(num: int) -> dict[str, float]:
    """Return what a stretch costs with nothing in it: the driver's part, on Ray."""
    with tempfile.TemporaryDirectory() as folder:
        write_tiny(Path(folder), num)
        times = [
            at
            for at, line in reports("raybs.sweep", "tiny.py", folder=folder)
            if "finished" in line
        ]
    return {"seconds": times[-1] - times[0], "peak": float("nan")}


def text(frame: pd.DataFrame) -> str:
    """Return the tables of `frame`."""
    shown = frame.copy()
    shown["cell"] = [
        f"{row.seconds:.2f} s, {row.peak:.0f} MiB" for row in frame.itertuples()
    ]
    shown = shown[~shown["what"].isin(["drive", "report"])]
    table = shown.pivot(index="trials", columns="what", values="cell")
    drives = frame[frame["what"] == "drive"]
    rate = float((drives["trials"] / drives["seconds"]).min())
    [page] = frame[frame["what"] == "report"].to_dict("records")
    return "\n\n".join(
        [
            f"Seconds, and peak memory of the process, for trials of {EPOCHS} epochs "
            f"(of 100,000 trials only epochs 0 and {EPOCHS} are measured).\n"
            f"{machine('pandas', 'pyarrow', 'ray')}.",
            markdown(table[["plan", "load", "chart"]].reset_index()),
            f"The report of {page['trials']} trials, from rows to one HTML file of "
            f"{page['megabytes']:.1f} MB: {page['seconds']:.1f} s, "
            f"{page['peak']:.0f} MiB.",
            f"Of 1000 trivial stretches one driver and two workers on the same two "
            f"cores finish {rate:.0f} a second:\nthose that take less than a second "
            "share a trial of Tune. Long paths are cut into stretches of about "
            f"{STRETCH_SECONDS:.0f} s.",
        ]
    )


if __name__ == "__main__":
    main()
