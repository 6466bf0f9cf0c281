"""Trials that stop at a goal: when they are planned, trained, resumed and assembled."""

from dataclasses import replace

import pytest
from helpers import numbers

import analysis
from raybs import GradientSweep, Phase, TrainConfig, TrainSweep, grid, run
from raybs.config.keys import state_keys
from raybs.launch.resources import Resources
from raybs.plan.cost import USUAL
from raybs.plan.overrides import Changes
from raybs.plan.plan import plan_for
from raybs.plan.resolve import ask
from raybs.runner import carry_out
from raybs.store.opening import open_store


@pytest.fixture
def sweep(subset):
    """Four trials that learn the subset's 230 samples at different speeds."""
    return grid(
        batch_size=[16, 64],
        learning_rate=[0.02, 0.1],
        epochs=12,
        hidden=[16, 12],
        dataset=subset.name,
    )


def carry(store, *sweeps, num_replicas=1):
    asked = [ask(f"s{i}", "", sweep, Changes()) for i, sweep in enumerate(sweeps)]
    resources = Resources(num_replicas=num_replicas)
    plan = plan_for(asked, store, USUAL)
    outcome = carry_out(asked, plan, store, resources, local=True, replace=True)
    assert outcome.failures == {}
    return outcome.left


def history(store, name="s0"):
    found = analysis.only(analysis.load(store), name)
    return found.trials, found.history


def whole(sweep, tmp_path):
    store = open_store(str(tmp_path / "whole"), create=True)
    assert carry(store, sweep) == 0
    return store


def first_above(rows, value):
    above = rows[rows["test_accuracy"] >= value]
    return int(above["epoch"].min()) if len(above) else 12


@pytest.mark.parametrize("num_replicas", [1, 2])
def test_a_trial_ends_at_its_first_measured_row_that_is_there(
    store, sweep, tmp_path, num_replicas
):
    _, expected = history(whole(sweep, tmp_path))
    goal = 0.6
    assert (
        carry(
            store,
            replace(sweep, until={"test_accuracy": goal}),
            num_replicas=num_replicas,
        )
        == 0
    )
    trials, rows = history(store)
    assert set(trials["status"]) == {"complete"}
    stops = {n: first_above(g, goal) for n, g in expected.groupby("label")}
    assert len(set(stops.values())) > 2  # of which some differ
    assert rows.groupby("label")["epoch"].max().to_dict() == stops
    assert trials.set_index("label")["final_epoch"].astype(int).to_dict() == stops
    if num_replicas == 1:
        both = rows.merge(expected, on=["label", "epoch"], suffixes=("", "_whole"))
        assert (both["test_loss"] == both["test_loss_whole"]).all()


def test_asked_again_it_has_nothing_to_do_and_a_higher_goal_goes_on(
    store, sweep, tmp_path
):
    low = replace(sweep, until={"test_accuracy": 0.4})
    carry(store, low)
    before = numbers(store)
    carry(store, low)
    assert numbers(store) == before
    carry(store, sweep)  # no goal at all
    assert numbers(store) == numbers(whole(sweep, tmp_path))


def test_beside_a_sweep_without_a_goal_all_is_trained(store, sweep, tmp_path):
    goal = replace(sweep, until={"test_accuracy": 0.4})
    assert carry(store, goal, sweep) == 0
    assert numbers(store) == numbers(whole(sweep, tmp_path))
    short, long = history(store, "s0")[1], history(store, "s1")[1]
    assert len(short) < len(long) == 4 * 13


def test_two_goals_that_share_paths_are_both_reached(store, sweep, tmp_path):
    goals = [replace(sweep, until={"test_accuracy": goal}) for goal in (0.3, 0.6)]
    assert carry(store, *goals) == 0
    _, expected = history(whole(sweep, tmp_path))
    for name, goal in (("s0", 0.3), ("s1", 0.6)):
        trials, rows = history(store, name)
        assert set(trials["status"]) == {"complete"}
        for label, group in rows.groupby("label"):
            of_label = expected[expected["label"] == label]
            assert group["epoch"].max() == first_above(of_label, goal)


def test_a_goal_counts_only_where_it_is_measured(store, sweep):
    rare = replace(sweep, until={"test_loss": 2.0}, evaluate_every=5)
    carry(store, rare)
    trials, _ = history(store)
    assert set(trials["final_epoch"]) <= {5, 10, 12}


def test_seconds_add_up_over_an_interruption(store, subset, tmp_path):
    phase = Phase(batch_size=8, learning_rate=0.01, epochs=6)
    short = TrainConfig(phases=(replace(phase, epochs=3),), dataset=subset.name)
    short = replace(short, hidden=(16,))
    carry(store, TrainSweep(configs=(short,)))
    carry(store, TrainSweep(configs=(replace(short, phases=(phase,)),)))
    _, rows = history(store)
    seconds = rows["training_seconds"].tolist()
    assert seconds[0] == 0
    assert seconds == sorted(seconds)
    assert len(set(seconds)) == 7
    assert rows["seconds"].sum() > seconds[-1]  # measuring comes besides


def test_equal_time_ends_after_so_many_seconds_of_training(store, subset):
    sweep = grid(
        batch_size=[8, 64],
        learning_rate=0.01,
        seconds=0.05,
        hidden=[16],
        dataset=subset.name,
    )
    carry(store, sweep)
    trials, rows = history(store)
    assert set(trials["status"]) == {"complete"}
    assert set(trials["budget"]) == {"0.05 s, at most 1000 epochs"}
    for _, group in rows.groupby("label"):
        *before, last = group["training_seconds"]
        assert max(before) < 0.05 <= last


def test_equal_steps_are_equal_in_the_frames(tmp_path, monkeypatch, subset):
    monkeypatch.chdir(tmp_path)
    sweep = grid(
        batch_size=[4, 16, 100, 230],
        learning_rate=0.02,
        steps=37,
        hidden=[16],
        dataset=subset.name,
        seeds=2,
    )
    found = run(sweep, name="steps", title="Equal steps", local=True)
    assert set(found.trials["final_step"]) == {37}
    assert set(found.trials["budget"]) == {"37 steps"}
    samples = found.trials.groupby("batch_size")["final_samples_seen"].first()
    # 58, 15, 3 and 1 steps an epoch; the short last batch is kept.
    assert samples.to_dict() == {
        4: 37 * 4,
        16: 2 * 230 + 7 * 16,
        100: 12 * 230 + 100,
        230: 37 * 230,
    }
    assert set(found.trials["label"].str.split(",").str[0]) == {
        f"{size} @ 0.02 x 37 steps" for size in (4, 16, 100, 230)
    }
    again = run(sweep, name="steps", title="Equal steps", local=True)
    assert again.history.equals(found.history)


def test_steps_that_are_whole_epochs_are_the_epochs_path(subset):
    config = TrainConfig(phases=(Phase(batch_size=64, learning_rate=0.1, epochs=5),))
    steps = TrainConfig(phases=(Phase(batch_size=64, learning_rate=0.1, steps=20),))
    from raybs.config.keys import resolved

    assert state_keys(resolved(steps, 230), "f") == state_keys(config, "f")
    less = replace(steps, phases=(replace(steps.phases[0], steps=19),))
    keys = state_keys(resolved(less, 230), "f")
    assert keys[:-1] == state_keys(config, "f")[:-1]
    assert keys[-1] != state_keys(config, "f")[-1]


def test_max_epochs_cuts_what_counts_steps(subset):
    sweep = grid(batch_size=[16], learning_rate=0.1, steps=100, dataset=subset.name)
    asked = ask("s", "", sweep, Changes(max_epochs=2))
    assert [c.num_epochs for c in asked.sweep.configs] == [2]


@pytest.mark.parametrize("name", ["", "../up", "a b", ".hidden", "x" * 101])
def test_a_name_that_would_be_no_file_is_refused(sweep, name, tmp_path):
    with pytest.raises(ValueError, match="cannot be a sweep's name"):
        run(sweep, name=name, results=str(tmp_path / "results"), local=True)
    assert not (tmp_path / "results").exists()


def test_nothing_starts_where_a_dataset_is_wrong(sweep, tmp_path):
    missing = replace(sweep.configs[0], dataset=str(tmp_path / "none.npz"))
    with pytest.raises(ValueError, match="there is no such file"):
        run(TrainSweep(configs=(missing,)), results=str(tmp_path / "results"))
    assert not (tmp_path / "results").exists()


def test_pruning_keeps_what_a_budget_of_steps_ends_in(store, subset):
    from raybs.plan.prune import find_prunable

    sweep = grid(
        batch_size=[16, 64],
        learning_rate=0.1,
        steps=37,
        hidden=[16],
        dataset=subset.name,
    )
    carry(store, sweep)
    assert len(store.state_files()) == 2
    assert find_prunable(store).paths == []


def test_draws_start_from_a_state_after_so_many_steps(store, subset):
    phase = Phase(batch_size=64, learning_rate=0.05, steps=9)
    start = TrainConfig(phases=(phase,), hidden=(16,), dataset=subset.name)
    sweep = GradientSweep(
        regimes={"late": start}, batch_sizes=(8,), num_draws=3, num_samples=100
    )
    assert carry(store, sweep) == 0
    assert len(analysis.load_draws(store, "s0").draws) == 3
