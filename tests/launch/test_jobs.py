"""Sweeps as Ray jobs: submitted with a token, followed, stopped, gone on with."""

from pathlib import Path

import pytest
from clusters import RAY, Cluster, free_port, wait_for_work
from helpers import numbers, undisturbed
from waits import run, wait_for

from raybs.store.opening import open_store


@pytest.fixture(scope="module")
def head():
    """A head that takes jobs, as cluster.yaml starts it, and one node.

    But for the 30 seconds that a job has to stop: slow machines need more.
    """
    ports = (
        f"--dashboard-port={free_port()}",
        f"--dashboard-agent-listen-port={free_port()}",
        "--dashboard-host=127.0.0.1",
    )
    with Cluster(head=ports, RAY_JOB_STOP_WAIT_TIME_S="600") as cluster:
        cluster.jobs = f"http://127.0.0.1:{ports[0].partition('=')[2]}"
        cluster.add(f"--dashboard-agent-listen-port={free_port()}")
        yield cluster


def job(cluster, *arguments, **environment):
    """Run ray job: exit status, what it said."""
    command, *rest = arguments
    words = [RAY, "job", command, "--address", cluster.jobs, *rest]
    done = run(words, env=cluster.environment | environment)
    return done.returncode, done.stdout


def sweep(*options):
    """The words of a sweep as a job, which has a working folder of its own."""
    here = Path.cwd()
    words = ("python", "-u", "-m", "raybs.sweep", f"{here}/mine.py")
    results = ("--results", f"{here}/results", "--gpus-per-trial", "0")
    return ("--", *words, *results, *options)


def test_a_job_needs_the_token_and_its_log_and_exit_status_are_right(head, sweep_file):
    expected = undisturbed(sweep_file())
    status, said = job(head, "submit", *sweep(), RAY_AUTH_TOKEN="0" * 64)
    assert status != 0
    assert "token" in said.lower()
    assert not Path("results").exists()
    status, said = job(head, "submit", *sweep())
    assert status == 0, said
    assert "succeeded" in said
    lines = said.splitlines()
    assert any(line.startswith("100%, 15 of 15 epochs") for line in lines)
    assert "\x1b[2K" not in said  # no live display: plain lines
    assert head.environment["RAY_AUTH_TOKEN"] not in said
    assert numbers(open_store("results")) == expected
    status, said = job(head, "submit", *sweep("--seeds", "nonsense"))
    assert status != 0
    assert "--seeds" in said
    assert "Traceback" not in said.partition("Status message")[0]


def test_a_job_outlives_its_shell_and_is_stopped_with_all_saved(head, sweep_file):
    expected = undisturbed(sweep_file(epochs=3000))
    names = ("--submission-id", "mine", "--no-wait")
    status, said = job(head, "submit", *names, *sweep())  # and its shell is gone
    assert status == 0, said
    wait_for(lambda: len([*Path("results/states").glob("*")]) > 1)
    wait_for_work(head.workers)
    status, said = job(head, "stop", "mine")
    assert status == 0, said
    _, said = job(head, "logs", "mine")
    assert "To go on:" in said
    assert "Traceback" not in said
    _, said = job(head, "status", "mine")
    assert "was stopped" in said
    [saved] = Path("results/rolling").iterdir()  # the one under way
    status, said = job(head, "submit", *sweep())
    assert status == 0, said
    assert not saved.exists()
    assert numbers(open_store("results")) == expected
