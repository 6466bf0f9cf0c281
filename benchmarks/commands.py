"""Commands as a user runs them, and the seconds at which they say what they say."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from raybs.datasets.dataset import load_arrays

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


def write_tiny(folder: Path, num: int) -> None:
    """Write a dataset of 64 samples and a sweep of `num` trials of one step."""
    mnist = load_arrays("mnist")
    parts = ("x_train", "y_train", "x_test", "y_test")
    arrays = {part: getattr(mnist, part)[:64] for part in parts}
    np.savez(folder / "tiny.npz", **arrays)
    text = TRIVIAL.replace("NUM", str(num))
    (folder / "tiny.py").write_text(text, "utf-8")
