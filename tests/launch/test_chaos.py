"""The short version of tests/chaos.py: one worker, one node and one driver."""

import subprocess
import sys
from pathlib import Path

import pytest
from waits import finish


@pytest.mark.ray
def test_after_random_kills_the_rows_are_those_of_an_undisturbed_run():
    words = ["--kills", "3", "--seed", "1", "--trials", "10", "--pause", "4"]
    chaos = subprocess.Popen(
        [sys.executable, Path(__file__).parents[1] / "chaos.py", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = finish(chaos)[0]
    assert chaos.returncode == 0, said
    assert "Killed 1 workers, 1 nodes, 1 drivers" in said
    assert "0 of them differ" in said
