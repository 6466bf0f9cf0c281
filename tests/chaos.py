"""Kill workers, nodes and drivers of one sweep at random, then compare its rows.

    python tests/chaos.py --kills 20 --seed 0

The rows must equal, to the bit, those of the same sweep without Ray and undisturbed.
"""

import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import click
import numpy as np
from clusters import Cluster
from helpers import numbers, save_subset
from waits import wait_for

import raybs
from raybs.config import Phase, TrainConfig, TrainSweep
from raybs.store.opening import open_store

SWEEP = '''"""Paths with forks, each of some seconds, on a subset."""
import sys
sys.path.insert(0, {here!r})
from chaos import sweep
SWEEP = sweep({dataset!r}, {num_trials})
'''


def sweep(dataset: str, num_trials: int) -> TrainSweep:
    """Trials that share their first phase by twos."""

    def phase(batch_size, epochs):
        return Phase(batch_size=batch_size, learning_rate=0.01, epochs=epochs)

    return TrainSweep(
        configs=tuple(
            TrainConfig(
                phases=(phase(8, 150), phase(4 + 12 * (number % 2), 150)),
                dataset=dataset,
                hidden=(16, 12),
                seed=number // 2,
            )
            for number in range(num_trials)
        )
    )


def write_sweep(folder: Path, num_trials: int) -> Path:
    """Write a sweep file and its dataset."""
    path = folder / "subset.npz"
    save_subset(path)
    file = folder / "chaos_sweep.py"
    here = str(Path(__file__).parent)
    values = {"dataset": str(path), "here": here, "num_trials": num_trials}
    file.write_text(SWEEP.format(**values))
    return file


class Drivers:
    """One driver at a time; what they say is printed, with the second."""

    def __init__(self, cluster, file, results):
        self.cluster = cluster
        self.words = (str(file), "--gpus-per-trial", "0", "--results", str(results))
        self.start = time.monotonic()
        self.num_lines = 0
        self.begin()

    def begin(self):
        self.process = self.cluster.sweep(*self.words)
        self.said = threading.Thread(target=self._listen, args=(self.process,))
        self.said.start()

    def _listen(self, process):
        for line in process.stdout:
            self.say(line.rstrip())

    def say(self, line):
        self.num_lines += 1
        print(f"{time.monotonic() - self.start:6.1f} {line}", flush=True)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.said.join()


def disturb(cluster, drivers, rng, num_kills, pause):
    """Kill one thing after the other; return how many were killed of each kind."""
    killed = {"worker": 0, "node": 0, "driver": 0}
    # Drawn beforehand: how many workers there are then depends on the machine.
    kinds = rng.choice(["worker", "worker", "node", "driver"], num_kills)
    for kind, moment, which in zip(kinds, *rng.random((2, num_kills)), strict=True):
        time.sleep((0.5 + moment) * pause)
        if kind == "worker":
            workers = wait_for(cluster.workers)
            os.kill(workers[int(which * len(workers))], signal.SIGKILL)
        elif kind == "node":
            cluster.remove(cluster.nodes[int(which * len(cluster.nodes))])
            cluster.add()
        else:
            drivers.kill()
            drivers.begin()
        killed[kind] += 1
        drivers.say(f"killed: a {kind}")
    return killed


def rows(results):
    """All rows by their keys, without what differs between equal runs."""
    return {row["state_key"]: row for row in numbers(open_store(str(results)))}


@click.command()
@click.option("--kills", default=20, show_default=True, help="How many.")
@click.option("--seed", default=0, show_default=True, help="Of what is killed when.")
@click.option("--trials", default=40, show_default=True, help="Of the sweep.")
@click.option("--pause", default=5.0, show_default=True, help="Mean seconds between.")
def main(kills, seed, trials, pause):
    """Exit status 0 if all was killed as asked and no row differs."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name, Cluster(2) as cluster:
        folder = Path(name)
        file = write_sweep(folder, trials)
        drivers = Drivers(cluster, file, folder / "results")
        try:
            wait_for(lambda: cluster.workers() or drivers.process.poll() is not None)
            killed = disturb(cluster, drivers, rng, kills, pause)
            wait_for(
                lambda: drivers.process.poll() is not None,
                shown=lambda: drivers.num_lines,
            )
        finally:
            drivers.kill()
        status = drivers.process.returncode
        asked = sweep(str(folder / "subset.npz"), trials)
        raybs.run(asked, results=str(folder / "undisturbed"), local=True)
        found, expected = rows(folder / "results"), rows(folder / "undisturbed")
        differ = sum(found.get(key) != row for key, row in expected.items())
    words = ", ".join(f"{number} {kind}s" for kind, number in killed.items())
    print(f"Killed {words}. The last driver ended with {status}.")
    print(f"{len(found)} rows, {len(expected)} expected, {differ} of them differ.")
    right = len(found) == len(expected) and not differ and status == 0
    sys.exit(0 if right and sum(killed.values()) == kills else 1)


if __name__ == "__main__":
    main()
