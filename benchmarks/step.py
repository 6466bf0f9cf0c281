"""One training step on one CPU thread, beside what a user would otherwise write.

Run: python -m benchmarks.step          (needs the extra bench: pip install '.[bench]')
Time: 5 minutes. Leave the machine alone meanwhile.
"""

import os
import sys
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import click
import pandas as pd

from benchmarks.report import Contender, finish, machine, markdown, paired, spread

NUM_STEPS = {1: 512, 2: 256, 8: 96, 64: 24, 256: 8, 1024: 3}
REPLICAS = (2, 4, 8)

OURS, AUTOGRAD, LOADER, JAX = "raybs", "autograd in memory", "DataLoader", "JAX scan"
BFLOAT16, MATMUL, READ = "raybs bfloat16", "float32 matmul", "reading weights"


@click.command()
@click.option("--rounds", default=9, show_default=True, help="Paired runs of each.")
@click.option("--quick", is_flag=True, help="One round of few steps: does it run?")
def main(rounds: int, quick: bool) -> None:
    """Time one training step of every contender at every batch size."""
    alone_on_one_core()
    frames = []
    for batch_size, num_steps in NUM_STEPS.items():
        num_steps = max(num_steps // 8, 1) if quick else num_steps
        if sys.stderr.isatty():
            click.echo(f"batch size {batch_size} ...", err=True)
        with tempfile.TemporaryDirectory() as folder:
            frame = paired(
                contenders(batch_size, num_steps, Path(folder)), 1 if quick else rounds
            )
        frames.append(frame.assign(batch_size=batch_size))
    frame = pd.concat(frames, ignore_index=True)
    if not quick:
        return finish("step", frame, text(frame))
    click.echo(text(frame))


def alone_on_one_core() -> None:
    """Keep this process on one core with one thread, before any library starts some."""
    if "torch" in sys.modules or "jax" in sys.modules:
        raise RuntimeError("threads cannot be set once torch or JAX is imported")
    os.environ |= {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
        "JAX_PLATFORMS": "cpu",
    }
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    from raybs.worker import prepare

    prepare(1)


def contenders(batch_size: int, num_steps: int, folder: Path) -> dict[str, Contender]:
    """Return what runs some steps of every contender, and the machine's own limits."""
    import torch

    from benchmarks import contenders as made
    from raybs.data import load_arrays, to_device

    arrays = load_arrays("mnist")
    data = to_device(arrays, "cpu")
    made.write_idx(arrays, folder)
    ours = partial(made.raybs_steps, data, batch_size, num_steps)
    square, vector = torch.randn(1024, 1024), torch.randn(1024)
    found: dict[str, Contender] = {
        OURS: (ours(), num_steps),
        AUTOGRAD: (made.autograd_steps(data, batch_size, num_steps), num_steps),
        LOADER: (made.loader_steps(data, folder, batch_size, num_steps), num_steps),
    }
    if find_spec("jax"):
        found[JAX] = (made.jax_steps(data, batch_size, num_steps), num_steps)
    found[BFLOAT16] = (ours(precision="bfloat16"), num_steps)
    for num in REPLICAS:
        found[f"{num} replicas"] = (ours(replicas=num), num * num_steps)
    found[MATMUL] = (lambda: torch.mm(square, square), 1)
    found[READ] = (lambda: [torch.mv(square, vector) for _ in range(16)], 16)
    return found


def text(frame: pd.DataFrame) -> str:
    """Return the tables of `frame`, one row per batch size."""
    times = frame.pivot(
        index=["batch_size", "round"], columns="contender", values="seconds"
    )
    others = [name for name in (AUTOGRAD, LOADER, JAX) if name in times]
    # Forward and weight gradients of every layer, backward of all but the first.
    layers = [784 * 1024, 1024 * 1024, 1024 * 10]
    flops = 2 * (3 * sum(layers) - layers[0])
    sizes = times.index.get_level_values("batch_size")
    speed = flops * sizes / times[OURS] / (2 * 1024**3 / times[MATMUL])
    steps, sides, bests = [], [], []
    for batch_size, group in times.groupby("batch_size"):
        ours = group[OURS]
        row = {"batch size": batch_size, "raybs, us": spread(ours * 1e6, 0)}
        row |= {f"{name}, us": f"{group[name].median() * 1e6:.0f}" for name in others}
        row |= {f"{name} / raybs": spread(group[name] / ours) for name in others}
        row["of matmul peak, %"] = spread(100 * speed.loc[batch_size], 0)
        steps.append(row)
        half = {
            "batch size": batch_size,
            "float32 / bfloat16": spread(ours / group[BFLOAT16]),
        }
        sides.append(half)
        packed = {
            f"{n} replicas": spread(ours / group[f"{n} replicas"]) for n in REPLICAS
        }
        bests.append({"batch size": batch_size, **packed})
    peak = 2 * 1024**3 / times[MATMUL] / 1e9
    bandwidth = 4 * 1024**2 / times[READ] / 1e9
    return "\n\n".join(
        [
            "One training step, one thread on one core: median (quartiles) of "
            f"{frame['round'].max()} paired rounds.\n"
            f"{machine('torch', 'jax', 'torchvision')}.\n"
            f"Limits in the same run: float32 matmul {spread(peak, 0)} GFLOP/s, "
            f"reading weights {spread(bandwidth, 0)} GB/s.",
            markdown(pd.DataFrame(steps)),
            "Speed with bfloat16 matmuls, against float32:",
            markdown(pd.DataFrame(sides)),
            "Speed per replica, packed side by side, against one alone:",
            markdown(pd.DataFrame(bests)),
        ]
    )


if __name__ == "__main__":
    main()
