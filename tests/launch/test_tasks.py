"""Draws on real Ray: the same bits for any workers, chunks and faults."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from clusters import descendants
from helpers import Subset
from waits import finish, patiently, run, wait_for

from raybs.store.draws import fold
from raybs.store.opening import open_store

SWEEP = '''"""Draws from a small net on a subset."""
from raybs import GradientSweep, Phase, TrainConfig

def start(epochs):
    phase = Phase(batch_size=64, learning_rate=0.05, epochs=epochs)
    return TrainConfig(phases=(phase,), dataset={dataset!r}, hidden=(16, 12))

SWEEP = GradientSweep(
    regimes={{"early": start(1), "late": start(3)}},
    batch_sizes=(1, 3, 64),
    num_draws={draws},
    num_samples=100,
)
'''

RUN = """
    import json, sys, threading
    from dataclasses import replace
    from raybs.datasets.dataset import load_arrays
    from raybs.launch.resources import Resources
    from raybs.plan.chunks import make_chunks
    from raybs.plan.cost import USUAL
    from raybs.plan.plan import plan_for
    from raybs.plan.resolve import find
    from raybs.store.opening import open_store

    workers, draws_per_chunk, results = json.loads(sys.argv[1])
    store = open_store(results, create=True)
    [asked] = find(["mine.py"])
    plan = plan_for([asked], store, USUAL)
    chunks = make_chunks(asked.wanted, store, USUAL, draws_per_chunk=draws_per_chunk)
    plan = replace(plan, chunks=tuple(chunks))
    name = plan.stretches[0].config.dataset
    events = []
    if workers:
        from raybs.launch.ray.tune import run_ray as launch
    else:
        from raybs.launch.local import run_local as launch
    resources = Resources(num_workers=workers or None)
    options = {"on_event": events.append, "stop": threading.Event()}
    launch(plan, store, {name: load_arrays(name)}, resources, **options)
    finished = {e.index for e in events if e.kind == "finished"}
    assert finished == set(range(len(plan.pieces))), events
"""


@pytest.fixture
def sweep_file(tmp_path, monkeypatch, subset: Subset):
    monkeypatch.chdir(tmp_path)

    def write(draws=60):
        Path("mine.py").write_text(SWEEP.format(dataset=subset.name, draws=draws))

    return write


def drawn(results):
    """All draws and histograms, without what may differ between equal runs: time."""
    table = fold(open_store(results).read_chunks())
    return table.drop_columns(["seconds"]).to_pylist()


def draw(*arguments):
    words = [sys.executable, "-c", textwrap.dedent(RUN), json.dumps(arguments)]
    done = run(words)
    assert done.returncode == 0, done.stdout


def command(*arguments):
    return patiently("raybs.sweep", "mine.py", *arguments)


@pytest.mark.ray
def test_workers_and_chunks_do_not_change_a_bit(sweep_file):
    sweep_file()
    draw(0, 7, "local")
    expected = drawn("local")
    assert sum(len(row["status"]) for row in expected) == 2 * 3 * 60
    for workers, draws_per_chunk in [(1, 50), (4, 10)]:  # two: below
        draw(workers, draws_per_chunk, f"ray{workers}")
        assert drawn(f"ray{workers}") == expected


@pytest.mark.ray
@pytest.mark.parametrize("victim", ["worker", "driver", "nobody"])
def test_kill_9_or_ctrl_c_and_the_same_command_give_the_same_draws(sweep_file, victim):
    sweep_file(draws=120)
    local = command("--local", "--results")
    subprocess.run([*local, "undisturbed"], check=True, capture_output=True)
    process = subprocess.Popen(
        command("--workers", "2"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    with process:
        try:
            wait_for(lambda: list(Path("results").glob("draws/*.parquet")), process)
            if victim == "worker":
                workers = wait_for(
                    lambda: descendants(process.pid, "take_chunk"), process
                )
                os.kill(workers[0], signal.SIGKILL)
                output = finish(process)[0].decode()
                assert process.returncode == 0, output
            if victim == "nobody":
                process.send_signal(signal.SIGINT)
                output = finish(process)[0].decode()
                assert process.returncode == 130, output
                assert "To go on:" in output
                assert "failed" not in output
                assert "Traceback" not in output
        finally:
            process.kill()
    if victim != "worker":
        stored = sum(len(row["status"]) for row in drawn("results"))
        assert 0 < stored < 2 * 3 * 120
        subprocess.run([*local, "results"], check=True, capture_output=True)
    assert drawn("results") == drawn("undisturbed")
