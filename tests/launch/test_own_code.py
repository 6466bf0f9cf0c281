"""A network of one's own on Ray: its files travel, and rows are the same bits."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from clusters import descendants
from helpers import numbers
from waits import finish, patiently, wait_for

import raybs
from raybs.config.catalog import find_sweep
from raybs.store.opening import open_store

NET = """
from torch import nn
from layers import Scaled

def make(num_classes):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 12), nn.BatchNorm1d(12), Scaled(),
        nn.Dropout(0.2), nn.Linear(12, num_classes),
    )
"""

LAYERS = """
from torch import nn

class Scaled(nn.Module):
    def forward(self, x):
        return 2 * x.relu()
"""

SWEEP = '''"""A network of one's own, with a fork."""
from raybs import Phase, TrainConfig, TrainSweep

start = Phase(batch_size=64, learning_rate=0.05, epochs=2)
SWEEP = TrainSweep(
    configs=tuple(
        TrainConfig(
            phases=(start, Phase(batch_size=size, learning_rate=0.01, epochs=1)),
            dataset={dataset!r},
            model="nets/net.py:make",
        )
        for size in (8, 32)
    ),
)
'''


@pytest.mark.ray
def test_two_workers_train_what_travels_to_the_same_bits(tmp_path, monkeypatch, subset):
    """The folder is no folder of the workers, who have no file of it but these.

    One of them is killed; another one in its place has the files as well.
    """
    monkeypatch.chdir(tmp_path)
    Path("nets").mkdir()
    Path("nets/net.py").write_text(NET)
    Path("nets/layers.py").write_text(LAYERS)
    Path("mine.py").write_text(SWEEP.format(dataset=subset.name))
    raybs.run(find_sweep("mine.py")[2], results="local", local=True)
    sweep = subprocess.Popen(
        patiently("raybs.sweep", "mine.py", "--workers", "2", "--results", "two"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    worker = wait_for(lambda: descendants(sweep.pid), sweep)[0]
    os.kill(worker, signal.SIGKILL)
    said = finish(sweep)[0]
    assert sweep.returncode == 0, said
    assert "starting again" in said
    assert numbers(open_store("two")) == numbers(open_store("local"))
