import threading
from pathlib import Path

from helpers import datasets, numbers, plan_of

import raybs
from raybs.config import TrainSweep
from raybs.datasets.dataset import describe
from raybs.launch import local
from raybs.launch.events import Event, EventKind
from raybs.launch.local import run_local
from raybs.launch.resources import Resources
from raybs.plan.requests import requests


def run(plan, store, **options):
    events: list[Event] = []
    options = {"on_event": events.append, "stop": threading.Event()} | options
    run_local(plan, store, datasets(plan), Resources(), **options)
    return events


def test_events_tell_the_story_of_every_stretch(store, subset):
    plan = plan_of([subset.config((64, 0.05, 2))], store)
    assert [(e.kind, e.epoch) for e in run(plan, store)] == [
        ("started", 0),
        ("epoch", 0),
        ("epoch", 1),
        ("epoch", 2),
        ("finished", 0),
    ]


def test_events_hold_the_rows_that_are_stored(store, subset):
    events = run(plan_of([subset.config((64, 0.05, 2))], store), store)
    rows = sorted(store.read_rows().to_pylist(), key=lambda row: row["epoch"])
    assert [e.row for e in events if e.kind == EventKind.EPOCH] == rows


def test_behind_a_diverged_stretch_nothing_is_trained_and_nothing_fails(store, subset):
    wild = (64, 1e20, 2)
    configs = [subset.config(wild, (8, 0.1, 1)), subset.config(wild, (64, 0.1, 1))]
    kinds = [event.kind for event in run(plan_of(configs, store), store)]
    assert kinds == ["started", "epoch", "epoch", "diverged", "skipped", "skipped"]
    assert plan_of(configs, store).stretches == ()


def test_a_failing_stretch_fails_what_is_behind_it_and_no_other(
    store, subset, monkeypatch
):
    first = (64, 0.05, 1)
    configs = [
        subset.config(first, (8, 0.1, 1)),
        subset.config(first, (64, 0.1, 1)),
        subset.config((32, 0.1, 1)),
    ]
    real = local.carry

    def failing(stretches, *args):
        if stretches[0].config.phases[0].batch_size == 64:
            raise OSError(28, "No space left on device")
        return real(stretches, *args)

    monkeypatch.setattr(local, "carry", failing)
    events = run(plan_of(configs, store), store)
    failed = [event.message for event in events if event.kind == EventKind.FAILED]
    assert len(failed) == 3
    assert "No space left on device" in failed[0]
    monkeypatch.undo()
    run(plan_of(configs, store), store)
    assert plan_of(configs, store).stretches == ()


def test_stopped_it_saves_the_epoch_it_is_in_and_goes_on_from_there(
    store, subset, tmp_path
):
    config = subset.config((64, 0.05, 5))
    stop = threading.Event()

    def stopping(event):
        if event.epoch == 2:
            stop.set()

    run(plan_of([config], store), store, on_event=stopping, stop=stop)
    assert [row["epoch"] for row in numbers(store)].count(2) == 1
    [rest] = plan_of([config], store).stretches
    assert (rest.start, rest.stop) == (2, 5)
    run(plan_of([config], store), store)
    assert plan_of([config], store).stretches == ()


def test_replicas_of_equal_shape_run_side_by_side(store, subset):
    configs = [subset.config((64, 0.05, 1), seed=seed) for seed in range(3)]
    other = subset.config((32, 0.05, 1))
    plan = plan_of([*configs, other], store)
    run_local(
        plan,
        store,
        datasets(plan),
        Resources(num_replicas=2),
        on_event=lambda event: None,
        stop=threading.Event(),
    )
    sizes = sorted(
        row["num_replicas"]
        for row in store.read_rows().to_pylist()
        if row["epoch"] == 1
    )
    assert sizes == [1, 1, 2, 2]
    assert plan_of([*configs, other], store).stretches == ()


NET = """
from torch import nn

def make(num_classes):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))
"""


def test_an_edit_of_a_network_changes_the_next_plan_not_the_one_under_way(
    tmp_path, monkeypatch, subset
):
    monkeypatch.chdir(tmp_path)
    net, train = Path("net.py"), local._train
    net.write_text(NET)

    def edit_and_train(*arguments):
        net.write_text(net.read_text() + "edited = True\n")
        train(*arguments)

    monkeypatch.setattr(local, "_train", edit_and_train)
    rates = (0.01, 0.1)
    fields = {"hidden": (1024, 1024), "model": "net.py:make"}
    configs = tuple(subset.config((64, rate, 1), **fields) for rate in rates)
    frames = raybs.run(TrainSweep(configs=configs), results="results", local=True)
    assert set(frames.trials["status"]) == {"complete"}
    asked = requests(TrainSweep(configs=configs), describe)
    assert not {*frames.trials["trial"]} & {request.keys[-1] for request in asked}
