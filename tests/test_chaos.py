"""The short version of tests/chaos.py: one worker, one node and one driver."""

import subprocess
import sys
from pathlib import Path


def test_after_random_kills_the_rows_are_those_of_an_undisturbed_run():
    words = ["--kills", "3", "--seed", "3", "--trials", "10", "--pause", "4"]
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "chaos.py", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout
    assert "Killed 1 workers, 1 nodes, 1 drivers" in done.stdout
    assert "0 of them differ" in done.stdout
