"""Grids, schedules and budgets: what they promise, counted by hand."""

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from helpers import save_subset
from hypothesis import given
from hypothesis import strategies as st

import analysis
from raybs import Phase, Resources, TrainConfig, grid, run
from raybs.config.keys import num_steps, path, resolved
from raybs.config.rules import scaled_moments, scaled_rate
from raybs.config.schedules import (
    constant,
    cosine,
    decay_rate,
    grow_batch,
    split,
    warm_up,
)
from raybs.config.trial import LENGTHS, canonical


def points(sweep):
    """(batch_size, learning_rate) of every config's first phase."""
    return [(c.phases[0].batch_size, c.phases[0].learning_rate) for c in sweep.configs]


def phase(size=64, rate=0.1, **length):
    return Phase(batch_size=size, learning_rate=rate, **(length or {"epochs": 30}))


def test_the_issues_grid_is_all_combinations_for_each_seed():
    sizes, rates = [16, 64, 256, 1024], [0.003, 0.01, 0.03, 0.1]
    sweep = grid(
        batch_size=sizes,
        learning_rate=rates,
        epochs=10,
        optimizer=["sgd", "adam"],
        hidden=[256, 256],
        dataset="fashion_mnist",
        seeds=3,
    )
    found = {
        (*point, config.optimizer, config.seed)
        for point, config in zip(points(sweep), sweep.configs, strict=True)
    }
    assert found == set(product(sizes, rates, ["sgd", "adam"], range(3)))
    assert len(sweep.configs) == 96
    assert {c.hidden for c in sweep.configs} == {(256, 256)}
    assert {c.phases[0].epochs for c in sweep.configs} == {10}
    assert {c.dataset for c in sweep.configs} == {"fashion_mnist"}


def test_zipped_lists_are_walked_together_and_multiplied_with_the_rest():
    sweep = grid(
        batch_size=[64, 1024],
        learning_rate=[0.01, 0.1],
        epochs=1,
        zipped=["batch_size", "learning_rate"],
        hidden=[[8], [16]],
    )
    assert points(sweep) == [(64, 0.01), (1024, 0.1)] * 2
    assert [c.hidden for c in sweep.configs] == [(8,), (8,), (16,), (16,)]


def test_a_function_gets_the_values_of_its_point():
    sweep = grid(
        batch_size=[16, 64],
        learning_rate=lambda point: 0.01 * point["batch_size"] / 64,
        epochs=lambda point: 2 if point["optimizer"] == "sgd" else 1,
        optimizer=["sgd", "adam"],
    )
    assert points(sweep) == [(16, 0.0025)] * 2 + [(64, 0.01)] * 2
    assert [c.num_epochs for c in sweep.configs] == [2, 1, 2, 1]


def test_explicit_points_are_an_axis():
    given = [
        {"batch_size": 64, "learning_rate": 0.01},
        {"batch_size": 8, "learning_rate": 0.1, "optimizer": "adam"},
    ]
    sweep = grid(points=given, epochs=3, seeds=[4, 5])
    assert points(sweep) == [(64, 0.01), (8, 0.1)] * 2
    assert [c.optimizer for c in sweep.configs] == ["sgd", "adam"] * 2
    assert [c.seed for c in sweep.configs] == [4, 4, 5, 5]


def test_the_linear_and_the_square_root_rule_by_hand():
    sweep = grid(
        batch_size=[16, 64, 1024],
        learning_rate=0.01,
        epochs=1,
        learning_rate_rule=["linear", "sqrt", "fixed"],
    )
    expected = {16: [0.0025, 0.005, 0.01], 64: [0.01] * 3, 1024: [0.16, 0.04, 0.01]}
    found = {size: set() for size in expected}
    for size, rate in points(sweep):
        found[size].add(rate)
    for size, rates in expected.items():
        assert sorted(found[size]) == pytest.approx(sorted(set(rates)))
    assert scaled_rate(0.1, 8192, 256, "linear") == pytest.approx(3.2)  # Goyal et al.


@given(st.integers(1, 4096), st.integers(1, 4096), st.floats(1e-5, 10))
def test_rules_meet_at_the_base_and_square_to_each_other(size, base, rate):
    linear, sqrt = (scaled_rate(rate, size, base, rule) for rule in ("linear", "sqrt"))
    assert sqrt**2 == pytest.approx(rate * linear)
    assert scaled_rate(rate, base, base, "linear") == rate


def test_momentum_goes_to_sgd_alone_and_equal_configs_are_one():
    sweep = grid(
        batch_size=64,
        learning_rate=0.1,
        epochs=1,
        optimizer=["sgd", "adam"],
        momentum=[0.0, 0.9],
    )
    assert [(c.optimizer, c.momentum) for c in sweep.configs] == [
        ("sgd", 0.0),
        ("sgd", 0.9),
        ("adam", 0.0),
    ]


@pytest.mark.parametrize("size", [1, 16, 64, 100, 230, 1024])
@pytest.mark.parametrize("steps", [1, 7, 1000])
def test_equal_steps_are_exactly_so_many(size, steps):
    config = resolved(TrainConfig(phases=(phase(size, steps=steps),)), num_samples=2300)
    assert sum(num_steps(epoch, 2300) for epoch in path(config)) == steps
    assert all(epoch.samples == 0 for epoch in path(config)[:-1])


@given(st.integers(1, 500), st.integers(1, 3000), st.integers(1, 700))
def test_equal_samples_are_exactly_so_many(size, samples, num_samples):
    config = resolved(TrainConfig(phases=(phase(size, samples=samples),)), num_samples)
    taken = [epoch.samples or num_samples for epoch in path(config)]
    assert sum(taken) == samples
    assert all(part == num_samples for part in taken[:-1])


def test_equal_epochs_of_mnist_are_these_steps():
    for size, steps in ((16, 37_500), (64, 9_380), (1024, 590)):
        config = TrainConfig(phases=(phase(size, epochs=10),))
        assert sum(num_steps(epoch, 60_000) for epoch in path(config)) == steps


def test_decaying_and_growing_as_smith_et_al():
    assert decay_rate(phase(epochs=30)) == (
        phase(64, 0.1, epochs=10),
        phase(64, 0.1 / 5, epochs=10),
        phase(64, 0.1 / 25, epochs=10),
    )
    assert grow_batch(phase(epochs=31)) == (
        phase(64, 0.1, epochs=11),
        phase(320, 0.1, epochs=10),
        phase(1600, 0.1, epochs=10),
    )


def test_beyond_the_largest_batch_the_rate_falls_instead():
    grown = grow_batch(phase(epochs=3), largest=320)
    assert [(p.batch_size, p.learning_rate) for p in grown] == [
        (64, 0.1),
        (320, 0.1),
        (320, pytest.approx(0.02)),
    ]
    noise = [p.learning_rate / p.batch_size for p in grown]
    decayed = [p.learning_rate / p.batch_size for p in decay_rate(phase(epochs=3))]
    assert noise == pytest.approx(decayed)


def test_a_cosine_falls_from_the_rate_to_nearly_nothing():
    rates = [p.learning_rate for p in cosine(phase(epochs=4))]
    half = math.sqrt(0.5)
    expected = [0.1, 0.05 * (1 + half), 0.05, 0.05 * (1 - half)]
    assert rates == pytest.approx(expected)


def test_a_warm_up_rises_within_the_first_epochs():
    warmed = warm_up(decay_rate(phase(epochs=6)), 3)
    rates = [p.learning_rate for p in warmed for _ in range(p.epochs)]
    assert rates == pytest.approx([0.025, 0.05, 0.015, 0.02, 0.004, 0.004])
    assert warm_up((phase(),), 0) == (phase(),)


@given(
    st.sampled_from(LENGTHS),
    st.integers(5, 400),
    st.sampled_from([constant, decay_rate, grow_batch, cosine]),
)
def test_schedules_keep_the_length(unit, length, schedule):
    whole = phase(2, 0.1, **{unit: length})
    if schedule is cosine and unit != "epochs":
        with pytest.raises(ValueError, match="counts epochs"):
            cosine(whole)
        return
    parts = schedule(whole)
    assert sum(getattr(part, unit) for part in parts) == length
    assert parts[0].batch_size == 2
    assert max(part.learning_rate for part in parts) == 0.1


@given(st.integers(1, 50), st.integers(1, 50))
def test_parts_differ_by_one_at_most(total, num):
    if total < num:
        with pytest.raises(ValueError, match="cannot be cut"):
            split(phase(epochs=total), num)
        return
    lengths = [part.epochs for part in split(phase(epochs=total), num)]
    assert sum(lengths) == total
    assert max(lengths) - min(lengths) <= 1


def test_a_grid_of_schedules_and_a_schedule_of_ones_own():
    sweep = grid(
        batch_size=64,
        learning_rate=0.1,
        epochs=6,
        schedule=["constant", "decay_rate", lambda p: split(p, 2)],
        warm_up=[0, 1],
    )
    # The halves of a constant are one constant: 6 combinations, 4 paths.
    assert len({canonical(c) for c in sweep.configs}) == len(sweep.configs) == 4
    assert {c.num_epochs for c in sweep.configs} == {6}


def test_a_time_budget_ends_trials_and_bounds_them():
    sweep = grid(batch_size=64, learning_rate=0.1, seconds=5, until={"test_loss": 0.1})
    assert sweep.until == {"test_loss": 0.1, "seconds": 5}
    assert sweep.configs[0].num_epochs == 1000
    shorter = grid(batch_size=64, learning_rate=0.1, seconds=5, epochs=7)
    assert shorter.configs[0].num_epochs == 7


RIGHT = {"batch_size": [8, 16], "learning_rate": 0.1, "epochs": 1}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": []}, r"batch_size=\[\]; give at least one"),
        ({"learning_rate": ()}, r"learning_rate=\(\)"),
        ({"learning_rate": None}, "learning_rate: give at least one value"),
        ({"seeds": []}, "give how many, or a list"),
        ({"seeds": 0}, "give how many, or a list"),
        ({"epochs": None}, "one of epochs, steps, samples or seconds, not by none"),
        ({"steps": 10}, "not by epochs and steps"),
        ({"steps": 10, "epochs": None, "warm_up": 1}, "a warm-up counts epochs"),
        ({"warm_up": 2}, "a trial has 1 epoch."),
        ({"schedule": "decay_rate"}, "epochs=1 cannot be cut into the 3 parts"),
        ({"schedule": "step"}, "use constant, decay_rate, grow_batch or cosine"),
        (
            {"learning_rate_rule": "cubic"},
            "use fixed, linear, sqrt, adam_sde or half_life",
        ),
        ({"zipped": ["batch_size", "learning_rate"]}, "batch_size 2, learning_rate 1"),
        ({"zipped": ["batchsize"]}, "Did you mean 'batch_size'"),
        ({"points": [{"lr": 0.1}]}, "'lr' is not known"),
        ({"points": [{"batch_size": 4}]}, "'batch_size' is in points and besides"),
        ({"points": [{"epochs": 4}]}, "'epochs' is in points and besides"),
        ({"points": [3]}, "points: 3; give mappings"),
        ({"hidden": 256}, "hidden=256; give a list of widths"),
        ({"hidden": "256,256"}, "give a list of widths"),
        ({"base_batch_size": 0}, "base_batch_size=0; use 1 or more"),
        ({"warm_up": 1.5}, "warm_up=1.5; use a whole number"),
        ({"schedule": None}, "schedule=None; use constant"),
        ({"learning_rate_rule": None}, "learning_rate_rule=None; use fixed"),
        ({"optimizer": None}, "optimizer=None; use sgd"),
        ({"seeds": 3.0}, "seeds=3.0; give how many, or a list"),
        ({"seeds": True}, "seeds=True; give how many"),
        ({"epochs": 10**9, "schedule": "cosine"}, "epochs=1000000000; use up to"),
        ({"epochs": None, "seconds": 9, "schedule": "cosine"}, "needs a length"),
        ({"seconds": 9, "until": {"seconds": 8}}, "seconds are given twice"),
        ({"learning_rate": lambda p: p["width"]}, "learning_rate asks for 'width'"),
        ({"batch_size": [0]}, "batch_size=0; use a whole number"),
        ({"batch_size": ["8"]}, "batch_size='8'"),
        ({"optimizer": "lion"}, "use sgd, adam or adamw"),
        ({"seeds": range(60_000)}, "120,000 trials, more than 100,000.*--yes"),
        ({"until": {"loss": 1}}, "until loss; use test_accuracy"),
        ({"until": {"test_accuracy": 97}}, "a fraction, at most 1"),
        ({"seconds": -1}, "seconds=-1; use a number above 0"),
    ],
)
def test_what_is_no_grid_is_refused_with_what_to_do(change, words):
    with pytest.raises(ValueError, match=words):
        grid(**(RIGHT | change))


def test_a_huge_grid_is_counted_before_it_is_made_and_may_be_confirmed():
    huge = {"batch_size": range(1, 400), "learning_rate": 0.1, "epochs": 1}
    with pytest.raises(ValueError, match="1,197 trials"):
        grid(**huge, seeds=3, max_trials=1000)
    assert len(grid(**huge, seeds=3, max_trials=None).configs) == 1197


def test_widths_may_be_of_numpy():
    given = {"batch_size": 64, "learning_rate": 0.1, "epochs": 1}
    expected = grid(**given, hidden=[64, 32])
    assert grid(**given, hidden=np.array([64, 32])) == expected
    assert grid(**given, hidden=[np.array([64, 32])]) == expected
    two = grid(**given, hidden=np.array([[64, 32], [16, 8]]))
    assert [config.hidden for config in two.configs] == [(64, 32), (16, 8)]
    phase = Phase(batch_size=64, learning_rate=0.1, epochs=1)
    config = TrainConfig(phases=(phase,), hidden=np.array([64]))
    assert config.hidden == (64,)
    assert type(config.hidden[0]) is int


@pytest.mark.parametrize("wrong", [[1, 2], None, 5])
def test_what_is_no_sweep_is_not_run(tmp_path, wrong):
    with pytest.raises(ValueError, match="give a sweep's name, what grid"):
        run(wrong, results=str(tmp_path / "results"))
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("wrong", [["a", "b"], None, 5])
def test_what_is_no_results_folder_is_not_loaded(wrong):
    for load in (analysis.load, analysis.load_draws, analysis.verdicts):
        with pytest.raises(ValueError, match="is no results folder: give a path"):
            load(wrong)


def test_a_results_folder_may_be_a_path_object(tmp_path):
    with pytest.raises(ValueError, match="No results in"):
        analysis.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "fields",
    [
        {"num_workers": 10**6},
        {"num_threads": 0},
        {"num_threads": None},
        {"num_gpus": -1},
        {"gpus_per_trial": math.nan},
        {"gpus_per_trial": 2},
        {"num_replicas": 1.5},
        {"device": "tpu"},
        {"trial_timeout": math.nan},
    ],
)
def test_impossible_resources_are_refused(fields):
    [name] = fields
    with pytest.raises(ValueError, match=f"resources: {name}="):
        Resources(**fields)


def test_a_batch_of_k_times_the_size_moves_the_moments_of_adam():
    """Malladi et al. 2022, definition of the square root rule; Marek et al. 2025."""
    moments = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    sde = scaled_moments(moments, 4, "adam_sde")
    assert sde == pytest.approx({"beta1": 0.6, "beta2": 0.996, "epsilon": 5e-9})
    assert scaled_rate(0.001, 256, 64, "adam_sde") == pytest.approx(0.002)
    # As many samples until the second moment has forgotten half.
    for times in (0.25, 1, 8):
        [beta2] = scaled_moments(moments, times, "half_life").values()
        steps = np.log(0.5) / np.log(beta2)
        assert steps * times == pytest.approx(np.log(0.5) / np.log(0.999))
    assert scaled_rate(0.001, 256, 64, "half_life") == 0.001
    with pytest.raises(ValueError, match=r"at 10 times .* beta1=0.9 would be .*0"):
        scaled_moments(moments, 10, "adam_sde")


@given(st.floats(0.1, 3), st.floats(0.1, 3))
def test_rules_of_adam_add_up(one, other):
    """Twice as large, then three times: six times as large."""
    moments = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    for rule in ("adam_sde", "half_life"):
        first = moments | scaled_moments(moments, one, rule)
        both = first | scaled_moments(first, other, rule)
        assert both == pytest.approx(
            moments | scaled_moments(moments, one * other, rule)
        )


def test_rules_of_adam_are_in_its_configs_and_for_no_sgd():
    options = {"batch_size": [64, 256], "learning_rate": 0.001, "epochs": 1}
    sweep = grid(**options, optimizer="adamw", learning_rate_rule="adam_sde")
    assert [(c.beta1, c.phases[0].learning_rate) for c in sweep.configs] == [
        (pytest.approx(0.9), 0.001),
        (pytest.approx(0.6), 0.002),
    ]
    with pytest.raises(ValueError, match="is for adam and adamw"):
        grid(**options, learning_rate_rule="half_life")


def test_what_belongs_to_one_network_or_optimizer_goes_there_alone():
    options = {"batch_size": 64, "learning_rate": 0.1, "epochs": 1}
    sweep = grid(**options, model=["mlp", "cnn"], hidden=[[16], [32]])
    assert [(c.model, c.hidden) for c in sweep.configs] == [
        ("mlp", (16,)),
        ("mlp", (32,)),
        ("cnn", (1024, 1024)),
    ]
    with pytest.raises(ValueError, match="hidden with model='cnn'"):
        grid(**options, model="cnn", hidden=[16])
    sweep = grid(**options, optimizer=["sgd", "adam"], beta2=[0.99, 0.999])
    assert [(c.optimizer, c.beta2) for c in sweep.configs] == [
        ("sgd", 0.999),
        ("adam", 0.99),
        ("adam", 0.999),
    ]


def made_here(num_classes):
    raise NotImplementedError


def test_a_function_is_named_after_its_file():
    options = {"batch_size": 64, "learning_rate": 0.1, "epochs": 1}
    [config] = grid(**options, model=made_here, loss=[made_here]).configs
    assert config.model == config.loss == f"{Path(__file__)}:made_here"
    for nowhere in (lambda num_classes: None, print):
        with pytest.raises(ValueError, match="put it into a file"):
            grid(**options, model=nowhere)


def test_what_belongs_to_adam_is_not_dropped_in_silence():
    with pytest.raises(ValueError, match="beta1 belongs to adam and adamw"):
        grid(batch_size=8, learning_rate=0.1, epochs=1, beta1=0.5)
    both = grid(
        batch_size=8, learning_rate=0.1, epochs=1, beta1=0.5, optimizer=["sgd", "adam"]
    )
    assert [config.beta1 for config in both.configs] == [0.9, 0.5]


def test_a_point_may_name_a_network_by_its_function():
    sweep = grid(
        batch_size=8, learning_rate=0.1, epochs=1, points=[{"model": save_subset}]
    )
    [config] = sweep.configs
    assert config.model.endswith("helpers.py:save_subset")
