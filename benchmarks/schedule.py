"""How near the scheduling comes to the best possible, on simulated workers.

Run: python -m benchmarks.schedule      (seconds)

Every stretch takes what the plan estimates. No schedule can be shorter than the
longest path, nor than an even share of all work.
"""

import heapq

import click
import pandas as pd

from benchmarks.report import finish, machine, markdown
from raybs.launch.frontier import Frontier
from raybs.plan.cost import USUAL, Speed
from raybs.plan.overrides import Changes
from raybs.plan.plan import Plan, make_plan
from raybs.plan.resolve import find

NUM_WORKERS = (2, 8, 32)
GPU = Speed(
    step_seconds=((1, 40e-6), (64, 40e-6), (1024, 120e-6)),
    optimizer_seconds=20e-6,
    overhead_seconds=40e-6,
    sample_seconds=1e-7,
)
"""A guess, nowhere measured: a device that small batches leave idle."""

TRAINING_SWEEPS = [
    "adam_vs_sgd",
    "batch_size",
    "far_enough",
    "lr_compensation",
    "recovery",
]
"""The article's, of trials."""


@click.command()
def main() -> None:
    """Simulate the article's sweeps on 2, 8 and 32 workers."""
    rows = []
    sweeps = {name: [name] for name in TRAINING_SWEEPS}
    sweeps |= {name: TRAINING_SWEEPS for name in ("all, 1 seed", "all, 5 seeds")}
    for name, names in sweeps.items():
        seeds = range(5) if name.endswith("5 seeds") else ()
        changes = Changes(seeds=seeds)
        requests = [r for item in find(names, changes) for r in item.requests]
        for workers, speed in (("CPU", USUAL), ("GPU (a guess)", GPU)):
            plan = make_plan(requests, {}, set(), speed)
            for num_workers in NUM_WORKERS:
                took = makespan(plan, num_workers)
                best = plan.bound(num_workers)
                rows.append((name, workers, num_workers, took, best))
    columns = ["sweep", "speed", "workers", "seconds", "bound"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["above"] = 100 * (frame["seconds"] / frame["bound"] - 1)
    table = frame.pivot(index="sweep", columns=["speed", "workers"], values="above")
    table = table.loc[list(sweeps)].round(1)
    table.columns = [f"{speed}, {n} workers" for speed, n in table.columns]
    text = (
        "Per cent by which the simulated makespan exceeds the lower bound\n"
        "max(longest path, total / workers). " + machine() + ".\n\n"
        f"{markdown(table.reset_index())}\n\nLargest: {frame['above'].max():.1f} %."
    )
    finish("schedule", frame, text)


def makespan(plan: Plan, num_workers: int) -> float:
    """Simulate `plan`: whenever a worker is free, it takes what the frontier gives."""
    frontier, now = Frontier(plan, num_workers=num_workers), 0.0
    running: list[tuple[float, int]] = []
    while True:
        while len(running) < num_workers and (taken := frontier.take()):
            for index in taken:
                seconds = plan.stretches[index].seconds
                heapq.heappush(running, (now + seconds, index))
        if not running:
            return now
        now, index = heapq.heappop(running)
        frontier.finish(index)


if __name__ == "__main__":
    main()
