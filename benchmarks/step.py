"""One training step on one CPU thread, beside what a user would otherwise write.

Run: python -m benchmarks.step          (needs the extra bench: pip install '.[bench]')
Time: 6 minutes. Leave the machine alone meanwhile.
"""

import os
import sys
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import click
import pandas as pd

from benchmarks.chart import step_times
from benchmarks.report import DOCS, Contender, finish, machine, markdown, paired, spread

NUM_STEPS = {1: 512, 2: 256, 8: 96, 64: 24, 256: 8, 1024: 3}
REPLICAS = (2, 4, 8)

OURS, AUTOGRAD, LOADER, JAX = "raybs", "autograd in memory", "DataLoader", "JAX scan"
BFLOAT16, MATMUL, LAYER = "raybs bfloat16", "float32 matmul", "one layer's matmul"
READ, READ_NUMPY = "reading weights, torch", "reading weights, NumPy"
MEMORY = "reading memory"
MODULE, CNN = "raybs, MLP as a module", "raybs, cnn"
CNN_AUTOGRAD, CNN_LOADER = "autograd in memory, cnn", "DataLoader, cnn"
CNN_PACK, CNN_REPLICAS = "4 replicas, cnn", 4


@click.command()
@click.option("--rounds", default=9, show_default=True, help="Paired runs of each.")
@click.option("--quick", is_flag=True, help="One round of few steps: does it run?")
def main(rounds: int, quick: bool) -> None:
    """Time one training step of every contender at every batch size."""
    alone_on_one_core("benchmarks.step")
    from raybs.models.device import prepare

    prepare(1)
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
        finish("step", frame, text(frame))
        return step_times(frame).save(DOCS / "step.png", scale_factor=1.5)
    click.echo(text(frame))


def alone_on_one_core(module: str) -> None:
    """Keep this process on one core with one thread, of every library there is.

    They read it when they are imported, which some are by now: so start `module` again.
    """
    alone = {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
        "JAX_PLATFORMS": "cpu",
    }
    if alone.items() <= os.environ.items():
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    again = [sys.executable, "-m", module, *sys.argv[1:]]
    os.execve(sys.executable, again, os.environ | alone)


def contenders(batch_size: int, num_steps: int, folder: Path) -> dict[str, Contender]:
    """Return what runs some steps of every contender, and the machine's own limits."""
    import torch

    from benchmarks import contenders as made
    from raybs.datasets.dataset import load_arrays
    from raybs.datasets.tensors import to_device

    arrays = load_arrays("mnist")
    data = to_device(arrays, "cpu")
    made.write_idx(arrays, folder)
    ours = partial(made.raybs_steps, data, batch_size, num_steps)
    square, vector = torch.randn(1024, 1024), torch.randn(1024)
    timed: dict[str, Contender] = {
        OURS: (ours(), num_steps),
        AUTOGRAD: (made.autograd_steps(data, batch_size, num_steps), num_steps),
        LOADER: (made.loader_steps(data, folder, batch_size, num_steps), num_steps),
    }
    if find_spec("jax"):
        timed[JAX] = (made.jax_steps(data, batch_size, num_steps), num_steps)
    timed[BFLOAT16] = (ours(precision="bfloat16"), num_steps)
    for num in REPLICAS:
        timed[f"{num} replicas"] = (ours(replicas=num), num * num_steps)
    sizes = data, batch_size, num_steps
    timed[MODULE] = (made.module_steps(*sizes, "mlp"), num_steps)
    timed[CNN] = (made.module_steps(*sizes, "cnn"), num_steps)
    timed[CNN_AUTOGRAD] = (made.autograd_steps(*sizes, "cnn"), num_steps)
    loader = made.loader_steps(data, folder, batch_size, num_steps, "cnn")
    timed[CNN_LOADER] = (loader, num_steps)
    pack = made.module_steps(*sizes, "cnn", replicas=CNN_REPLICAS)
    timed[CNN_PACK] = (pack, CNN_REPLICAS * num_steps)
    timed[MATMUL] = (lambda: torch.mm(square, square), 1)
    # The same product, through MKL and through OpenBLAS: how fast weights are read.
    matrix, column = square.numpy(), vector.numpy()
    timed[READ] = (lambda: [torch.mv(square, vector) for _ in range(16)], 16)
    timed[READ_NUMPY] = (lambda: [matrix @ column for _ in range(16)], 16)
    large = torch.ones(2**26)  # 256 MiB: in no cache
    timed[MEMORY] = (large.sum, 1)
    samples = torch.randn(batch_size, 1024)
    num = max(1024 // batch_size, 1)
    timed[LAYER] = (lambda: [samples @ square.T for _ in range(num)], num)
    return timed


def text(frame: pd.DataFrame) -> str:
    """Return the tables of `frame`, one row per batch size."""
    times = frame.pivot(
        index=["batch_size", "round"], columns="contender", values="seconds"
    )
    groups = list(times.groupby("batch_size"))
    precisions = [
        {"batch size": size, "float32 / bfloat16": spread(g[OURS] / g[BFLOAT16])}
        for size, g in groups
    ]
    names = [f"{num} replicas" for num in REPLICAS]
    packs = [
        {"batch size": size} | {name: spread(g[OURS] / g[name]) for name in names}
        for size, g in groups
    ]
    return "\n\n".join(
        [
            "One training step, one thread on one core: median (quartiles) of "
            f"{frame['round'].max()} paired rounds.\n"
            f"{machine('torch', 'jax', 'torchvision')}.\n{limits(times)}",
            markdown(pd.DataFrame([step_row(size, g) for size, g in groups])),
            "Speed with bfloat16 matmuls, against float32:",
            markdown(pd.DataFrame(precisions)),
            "Speed per replica, packed side by side, against one alone:",
            markdown(pd.DataFrame(packs)),
            "Any torch.nn.Module, by autograd, against the loops of the same module:",
            markdown(pd.DataFrame([module_row(size, g) for size, g in groups])),
        ]
    )


def step_row(batch_size: int, times: pd.DataFrame) -> dict[str, object]:
    """Compare steps at one batch size: with other loops, and with the matmul peak."""
    ours = times[OURS]
    others = [name for name in (AUTOGRAD, LOADER, JAX) if name in times]
    # Forward and weight gradients of every layer, backward of all but the first.
    layers = [784 * 1024, 1024 * 1024, 1024 * 10]
    flops = 2 * (3 * sum(layers) - layers[0])
    speed = flops * batch_size / ours / (2 * 1024**3 / times[MATMUL])
    layer = batch_size / 1024 * times[MATMUL] / times[LAYER]
    return {
        "batch size": batch_size,
        "raybs, us": spread(ours * 1e6, 0),
        **{f"{name}, us": f"{times[name].median() * 1e6:.0f}" for name in others},
        **{f"{name} / raybs": spread(times[name] / ours) for name in others},
        "of matmul peak, %": spread(100 * speed, 0),
        "one layer's matmul, % of peak": spread(100 * layer, 0),
    }


def module_row(batch_size: int, times: pd.DataFrame) -> dict[str, object]:
    """Compare steps at one batch size with other loops over the same modules."""
    row: dict[str, object] = {"batch size": batch_size}
    for name, ours, plain, loader in (
        ("MLP", MODULE, AUTOGRAD, LOADER),
        ("cnn", CNN, CNN_AUTOGRAD, CNN_LOADER),
    ):
        row[f"{name}, us"] = spread(times[ours] * 1e6, 0)
        row[f"{name}: {AUTOGRAD} / raybs"] = spread(times[plain] / times[ours])
        row[f"{name}: {LOADER} / raybs"] = spread(times[loader] / times[ours])
    speed = times[CNN] / times[CNN_PACK]
    return row | {f"cnn: speed of each of {CNN_REPLICAS} side by side": spread(speed)}


def limits(times: pd.DataFrame) -> str:
    """Return what this machine can do at most, measured in the same run."""
    peak = 2 * 1024**3 / times[MATMUL] / 1e9
    num_bytes = {READ: 2**22, READ_NUMPY: 2**22, MEMORY: 2**28}
    bandwidth, numpy, memory = (
        spread(num / times[name] / 1e9, 0) for name, num in num_bytes.items()
    )
    return (
        f"Limits in the same run: float32 matmul {spread(peak, 0)} GFLOP/s, "
        f"reading weights of 4 MiB {bandwidth} GB/s\nby torch's matrix-vector "
        f"product (MKL), {numpy} GB/s by NumPy's (OpenBLAS); reading "
        f"memory {memory} GB/s."
    )


if __name__ == "__main__":
    main()
