"""Real Ray: the same bits as local, faults, placement. Each case is its own process."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from clusters import descendants, wait_for_work
from helpers import numbers, plan_of, undisturbed
from waits import finish, patiently, run, wait_for

from raybs.launch.frontier import Frontier
from raybs.launch.ray import tune as cluster
from raybs.launch.ray.failures import what_happened
from raybs.launch.ray.hooks import MAX_FAILURES, MAX_LOST_NODES
from raybs.launch.ray.workers import Waiting
from raybs.launch.resources import Resources
from raybs.store.opening import open_store


def command(*arguments):
    return patiently("raybs.sweep", "mine.py", *arguments)


def call(*arguments, status=0, environment=None):
    done = run(command(*arguments), env=os.environ | (environment or {}))
    assert done.returncode == status, done.stdout
    return done.stdout


@pytest.mark.ray
def test_local_one_worker_and_two_workers_give_the_same_bits(sweep_file, tmp_path):
    expected = undisturbed(sweep_file())
    home = tmp_path / "home"
    home.mkdir()
    for workers in ("1", "2"):
        output = call(
            "--workers", workers, "--results", workers, environment={"HOME": str(home)}
        )
        assert numbers(open_store(workers)) == expected
        assert "diverged: 8 @ 1000000000 x 3 -> 8 @ 0.1 x 1" in output
        # Ray's own chatter is silenced, and it leaves no token behind.
        assert not [word for word in ("ray::", "WARNING", "ERROR") if word in output]
    assert list(home.iterdir()) == []


def kept_states():
    return list(Path("results/states").glob("*")) if Path("results").exists() else []


@pytest.mark.ray
@pytest.mark.parametrize("victim", ["worker", "driver"])
def test_kill_9_and_the_same_command_give_the_same_bits(sweep_file, victim):
    expected = undisturbed(sweep_file(epochs=400))
    process = subprocess.Popen(
        command("--workers", "1"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    with process:
        try:
            wait_for(
                kept_states, process
            )  # in the middle: something is done, more is not
            if victim == "worker":
                [worker] = wait_for(lambda: descendants(process.pid), process)
                os.kill(worker, signal.SIGKILL)
                output = finish(process)[0].decode()
                assert process.returncode == 0, output
                assert "starting again" in output
        finally:
            process.kill()
    call("--local")
    assert numbers(open_store("results")) == expected


@pytest.mark.ray
def test_ctrl_c_saves_what_is_under_way_and_leaves_no_process(sweep_file):
    sweep_file(epochs=3000)
    process = subprocess.Popen(
        command("--workers", "1"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    with process:
        try:
            # Short ones share a trial of Tune; the long one follows them.
            wait_for(lambda: len(kept_states()) > 1, process)
            workers = wait_for_work(lambda: descendants(process.pid), process)
            process.send_signal(signal.SIGINT)
            output = finish(process)[0].decode()
        finally:
            process.kill()
    assert process.returncode == 130, output
    assert "To go on:" in output
    assert "Traceback" not in output
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    assert len(list(Path("results/rolling").iterdir())) == 1


PLACEMENT = """
    import json, sys, threading
    import ray
    from raybs.config.catalog import find_sweep
    from raybs.datasets.dataset import describe, load_arrays
    from raybs.launch.ray import tune as cluster
    from raybs.launch.resources import Resources
    from raybs.plan.plan import make_plan
    from raybs.plan.requests import requests
    from raybs.store.opening import open_store

    seen = []
    begin = cluster.StretchTrainable._begin

    def watched(self, config):
        place = {"gpus": ray.get_gpu_ids(), "device": self.device}
        with open("places.jsonl", "a") as file:
            file.write(json.dumps(place) + chr(10))
        begin(self, config)

    cluster.StretchTrainable._begin = watched
    asked = requests(find_sweep("mine.py")[2], describe)
    plan = make_plan(asked, {}, set())
    options = json.loads(sys.argv[1])
    names = {stretch.config.dataset for stretch in plan.stretches}
    datasets = {name: load_arrays(name) for name in names}
    cluster.run_ray(
        plan, open_store("results", create=True), datasets, Resources(**options),
        on_event=lambda event: None, stop=threading.Event(),
    )
"""


def places(**options):
    script = textwrap.dedent(PLACEMENT)
    done = run([sys.executable, "-c", script, json.dumps(options)])
    assert done.returncode == 0, done.stdout
    lines = Path("places.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.ray
def test_trials_are_placed_on_several_gpus_and_share_them(sweep_file):
    """Four logical GPUs: what Ray assigns is tested, the training is on the CPU."""
    expected = undisturbed(sweep_file())
    placed = places(num_gpus=4, num_workers=4, gpus_per_trial=0.5, device="cpu")
    assert all(len(place["gpus"]) == 1 for place in placed)
    assert len({place["gpus"][0] for place in placed}) > 1
    assert {place["device"] for place in placed} == {"cpu"}
    assert numbers(open_store("results")) == expected


def test_more_than_there_is_is_refused():
    from raybs.launch.ray.workers import trial_resources

    with pytest.raises(ValueError, match="2 CPUs and 0 GPUs, but there are 1 and 0"):
        trial_resources(Resources(num_threads=2), {"CPU": 1.0})
    with pytest.raises(ValueError, match="Ray finds no GPU"):
        trial_resources(Resources(device="cuda"), {"CPU": 1.0})


@pytest.mark.parametrize(
    ("resources", "cluster", "slots", "gpu"),
    [
        (Resources(), {"CPU": 8.0}, 8, 0),
        (Resources(num_threads=3), {"CPU": 8.0}, 2, 0),
        (Resources(), {"CPU": 8.0, "GPU": 4.0}, 4, 1),
        (Resources(gpus_per_trial=1 / 3), {"CPU": 99.0, "GPU": 2.0}, 6, 1 / 3),
        (Resources(device="cpu"), {"CPU": 8.0, "GPU": 4.0}, 8, 0),
        (Resources(address="auto", gpus_per_trial=0), {}, 1, 0),
    ],
)
def test_trials_at_a_time(resources, cluster, slots, gpu):
    from raybs.launch.ray.workers import trial_resources

    at_a_time, per_trial = trial_resources(resources, cluster)
    assert (at_a_time, per_trial["gpu"]) == (slots, gpu)


def test_short_stretches_share_a_trial_of_tune_and_what_failed_goes_alone(
    store, subset
):
    rates = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06)
    plan = plan_of([subset.config((64, rate, 1)) for rate in rates], store)
    packs = cluster.Packs(Frontier(plan, 1, 2), lambda event: None, threading.Event())
    first = packs.take()
    assert len(first) == 3  # a half for each of two workers
    for pack in first:
        pack.put_back()
    failed = first[0].indices[0]
    packs.failures[failed] += 1
    taken = []
    while together := packs.take():
        taken.append([index for pack in together for index in pack.indices])
    assert [failed] in taken
    assert sorted(index for group in taken for index in group) == list(range(6))
    assert packs.frontier.take() == []


def under_tune(plan, folder):
    """What Tune would call for one worker, one of its trials, and what they tell."""
    events = []
    packs = cluster.Packs(Frontier(plan, 1, 1), events.append, threading.Event())
    trial = SimpleNamespace(trial_id="a", error_file=str(folder / "error.txt"))
    searcher, hooks = cluster.PlanSearcher(packs), cluster.PassOn(packs, 60)
    return packs, searcher, hooks, trial, events


def test_a_worker_that_dies_when_all_its_packs_have_ended_takes_nothing_along(
    store, subset, tmp_path
):
    plan = plan_of([subset.config((64, rate, 1)) for rate in (0.01, 0.02)], store)
    packs, searcher, hooks, trial, events = under_tune(plan, tmp_path)
    assert len(searcher.suggest("a")["packs"]) == 2
    (tmp_path / "error.txt").write_text("Failure # 1\nThe actor died")
    hooks.on_trial_start(0, [], trial)
    ends = {"reports": [(0, None), (1, None)], "messages": []}
    hooks.on_trial_result(0, [], trial, ends)
    hooks.on_trial_error(0, [], trial)
    assert [event.kind for event in events] == ["started", "finished"] * 2
    assert searcher.suggest("b") == "FINISHED"


def test_of_a_worker_that_dies_only_the_pack_under_way_starts_again(
    store, subset, tmp_path
):
    rates = (0.01, 0.02, 0.03)
    plan = plan_of([subset.config((64, rate, 1)) for rate in rates], store)
    packs, searcher, hooks, trial, events = under_tune(plan, tmp_path)
    searcher.suggest("a")
    (tmp_path / "error.txt").write_text("Failure # 1\nThe actor died")
    hooks.on_trial_start(0, [], trial)
    hooks.on_trial_result(0, [], trial, {"reports": [(0, None)], "messages": []})
    hooks.on_trial_error(0, [], trial)
    kinds = [event.kind for event in events]
    assert kinds == ["started", "finished", "started", "restarted"]
    left = [len(searcher.suggest(name)["packs"]) for name in ("b", "c")]
    assert left == [1, 1]  # what failed goes alone


STARTING = """Failure # 1
The actor died because of an error raised in its creation task, ray::Stretch()
  File "store.py", line 1, in open_store
ValueError: No results in '/shared': there is no format.json in it."""
ACCOUNTS = {
    "its worker died": "Failure # 1\nThe actor died unexpectedly.\n\tclass_name: x",
    "its node is gone": "Failure # 1\nThe actor died because its node has died.\nx",
    "the machine ran out of memory": "Failure # 1\nray.exceptions.OutOfMemoryError: x",
    "torch.OutOfMemoryError: CUDA out of memory.": (
        "Failure # 1\nTraceback\ntorch.OutOfMemoryError: CUDA out of memory."
    ),
    "StoreError: s3://b/rows/x: 9 bytes cannot be written (full).": (
        "Failure # 1\nfull\nFailure # 2\nTraceback\n"
        "raybs.store.files.StoreError: s3://b/rows/x: 9 bytes cannot be written (full)."
    ),
    "ValueError: No results in '/shared': there is no format.json in it.": STARTING,
}


@pytest.mark.parametrize(("cause", "account"), ACCOUNTS.items(), ids=range(6))
def test_accounts_of_failures_come_down_to_their_cause(cause, account):
    assert what_happened(account) == cause


def test_a_sweep_without_a_worker_says_once_what_it_waits_for(monkeypatch, caplog):
    now, there = [0.0], {"CPU": 0.0, "GPU": 0.0}
    monkeypatch.setattr("raybs.launch.ray.workers.cluster_resources", lambda: there)
    monkeypatch.setattr("raybs.launch.ray.workers.time.monotonic", lambda: now[0])
    waiting = Waiting({"cpu": 1, "gpu": 0.5})

    def look_for(seconds):
        for _ in range(seconds):
            now[0] += 1
            waiting.look()
        return [record.getMessage() for record in caplog.records]

    assert look_for(30) == []
    [message] = look_for(100)
    assert "asks for 1 CPUs and 0.5 GPUs, the cluster has 0 and 0" in message
    there["CPU"], there["GPU"] = 4.0, 1.0
    look_for(1)
    there["GPU"] = 0.0
    assert len(look_for(100)) == 2


def test_nodes_that_are_lost_are_counted_apart_from_failures(store, subset, tmp_path):
    plan = plan_of([subset.config((64, 0.01, 1))], store)
    packs, searcher, hooks, trial, events = under_tune(plan, tmp_path)
    causes = [ACCOUNTS["its node is gone"]] * MAX_LOST_NODES
    causes += [ACCOUNTS["its worker died"]] * (MAX_FAILURES + 1)
    for account in causes:
        searcher.suggest("a")
        (tmp_path / "error.txt").write_text(account)
        hooks.on_trial_start(0, [], trial)
        hooks.on_trial_error(0, [], trial)
    kinds = [event.kind for event in events if event.kind != "started"]
    assert kinds == ["restarted"] * (len(causes) - 1) + ["failed"]
    assert searcher.suggest("a") == "FINISHED"


def test_a_store_that_fails_ends_the_sweep_and_gives_nothing_up(
    store, subset, tmp_path
):
    rates = (0.01, 0.02, 0.03)
    plan = plan_of([subset.config((64, rate, 1)) for rate in rates], store)
    packs, searcher, hooks, trial, events = under_tune(plan, tmp_path)
    searcher.suggest("a")
    [account] = [text for text in ACCOUNTS.values() if "StoreError" in text]
    (tmp_path / "error.txt").write_text(account)
    hooks.on_trial_start(0, [], trial)
    assert not cluster.StopWhenAsked(packs)("b", {})
    hooks.on_trial_error(0, [], trial)
    assert packs.broken == "s3://b/rows/x: 9 bytes cannot be written (full)."
    assert cluster.StopWhenAsked(packs)("b", {})
    assert searcher.suggest("b") == "FINISHED"
    assert [event.kind for event in events] == ["started"]
