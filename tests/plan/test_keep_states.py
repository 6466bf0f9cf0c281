"""Last states that are to stay: planned, written, not trained again, not pruned."""

import json
from dataclasses import replace

import pytest

from raybs import TrainSweep, grid, run
from raybs.config.keys import state_keys
from raybs.datasets.dataset import describe
from raybs.launch.resources import Resources
from raybs.plan.cost import USUAL, state_bytes
from raybs.plan.overrides import Changes
from raybs.plan.plan import plan_for
from raybs.plan.prune import find_prunable
from raybs.plan.recorded import find_replaced
from raybs.plan.resolve import ask
from raybs.plan.stretches import stretch_from_json, stretch_to_json
from raybs.runner import carry_out
from raybs.store.opening import open_store

pytestmark = pytest.mark.slow

GOAL = {"test_accuracy": 0.4}


@pytest.fixture
def sweep(subset):
    """Trials that stop on the way, at epochs that nobody knows before."""
    return grid(
        batch_size=[16],
        learning_rate=[0.02, 0.1],
        epochs=12,
        hidden=[16, 12],
        dataset=subset.name,
        until=GOAL,
    )


def asked_for(sweep, **fields):
    return replace(ask("kept", "", sweep, Changes()), **fields)


def carry(store, item, num_replicas=1):
    plan = plan_for([item], store, USUAL)
    resources = Resources(num_replicas=num_replicas)
    outcome = carry_out([item], plan, store, resources, local=True)
    assert (dict(outcome.failures), outcome.left) == ({}, 0)


def stops(store, item):
    """The keys of the states where trials have met their goal, by the rows."""
    rows = store.read_rows(["state_key", "test_accuracy"]).to_pydict()
    scores = dict(zip(rows["state_key"], rows["test_accuracy"], strict=True))
    return [
        next(key for key in request.keys if scores[key] >= GOAL["test_accuracy"])
        for request in item.requests
    ]


def lasting(store):
    return {key for key, [path, *_] in store.state_files().items() if "states" in path}


@pytest.mark.parametrize("num_replicas", [1, 2])
def test_states_at_goals_stay_and_are_not_pruned(store, sweep, num_replicas):
    item = asked_for(sweep, keep_states=True)
    carry(store, item, num_replicas)
    kept = {*stops(store, item)}
    assert len(kept) == 2
    assert kept <= lasting(store)
    assert find_prunable(store).paths == []
    assert plan_for([item], store, USUAL).pieces == ()


def test_without_it_they_do_not_stay(store, sweep):
    item = asked_for(sweep)
    carry(store, item)
    assert not {*stops(store, item)} & lasting(store)


def test_asked_afterwards_rolling_states_are_made_to_stay_untrained(store, sweep):
    carry(store, asked_for(sweep))
    rows = store.read_rows().to_pylist()
    item = asked_for(sweep, keep_states=True)
    kept = {*stops(store, item)}
    plan = plan_for([item], store, USUAL)
    assert kept <= store.state_files().keys() - lasting(store)
    assert (plan.to_train, len(plan.stretches)) == (0, 2)
    request = item.requests[0]
    one = state_bytes(request.config, request.info)
    assert plan.state_bytes == 2 * one
    carry(store, item)
    assert kept <= lasting(store)
    assert store.read_rows().to_pylist() == rows
    assert all(path.startswith("rolling") for path in find_prunable(store).paths)


def test_what_has_rows_alone_is_trained_again_to_the_same_state(store, sweep):
    item = asked_for(sweep, keep_states=True)
    carry(store, item)
    [stop, _] = stops(store, item)
    before, _ = store.read_state(stop)
    rows = store.read_rows().to_pylist()
    files = store.state_files()
    store.files.delete(path for paths in files.values() for path in paths)
    assert plan_for([asked_for(sweep)], store, USUAL).pieces == ()
    plan = plan_for([item], store, USUAL)
    assert plan.to_train == sum(
        request.keys.index(key)
        for request, key in zip(item.requests, stops(store, item), strict=True)
    )
    assert plan.row_bytes == 0
    request = item.requests[0]
    assert plan.state_bytes == 2 * state_bytes(request.config, request.info)
    values = [json.loads(json.dumps(stretch_to_json(s))) for s in plan.stretches]
    assert [*map(stretch_from_json, values)] == list(plan.stretches)
    carry(store, item)
    after, _ = store.read_state(stop)
    assert all((after[name] == tensor).all() for name, tensor in before.items())
    assert store.read_rows().to_pylist() == rows


def test_a_diverged_trial_has_no_state_and_is_not_trained_for_one(subset, tmp_path):
    sweep = TrainSweep(configs=(subset.config((8, 1e9, 3)),))
    run(sweep, results=tmp_path / "r", name="kept", local=True, keep_states=True)
    store = open_store(tmp_path / "r")
    assert store.state_files() == {}
    assert plan_for([asked_for(sweep, keep_states=True)], store, USUAL).pieces == ()


def test_a_goal_met_at_init_needs_no_state(subset, store):
    sweep = TrainSweep(
        configs=(subset.config((8, 0.01, 3)),), until={"test_accuracy": 0.001}
    )
    item = asked_for(sweep, keep_states=True)
    carry(store, item)
    assert store.state_files() == {}
    assert plan_for([item], store, USUAL).pieces == ()


def test_keys_and_records_do_not_change(subset, tmp_path):
    config = subset.config((64, 0.05, 2))
    sweep = TrainSweep(configs=(config,))
    for name, keep in (("plain", False), ("kept", True)):
        run(sweep, results=tmp_path / name, name="s", local=True, keep_states=keep)
    plain, kept = open_store(tmp_path / "plain"), open_store(tmp_path / "kept")
    keys = state_keys(config, describe(subset.name).fingerprint)
    assert plain.state_files().keys() == kept.state_files().keys() == {keys[-1]}
    record = plain.files.read("sweeps/s.json")
    assert record is not None
    assert kept.files.read("sweeps/s.json") == record


def test_a_part_of_a_recorded_sweep_leaves_its_record(store, sweep):
    carry(store, asked_for(sweep))
    record = store.files.read("sweeps/kept.json")
    item = asked_for(sweep)
    part = asked_for(sweep, requests=item.requests[:1], keep_states=True, recorded=True)
    assert find_replaced(store, [part]) == {}
    carry(store, part)
    assert store.files.read("sweeps/kept.json") == record
    [first, second] = stops(store, item)
    assert (first in lasting(store), second in lasting(store)) == (True, False)
