"""Sweeps as results folders record them: none is lost from sight unasked."""

from dataclasses import replace

import pytest
from helpers import Subset

from raybs.config.gradient_sweep import GradientSweep, Sweep
from raybs.config.sweep import TrainSweep
from raybs.plan.overrides import Changes
from raybs.plan.recorded import find_replaced, write_sweeps
from raybs.plan.resolve import Asked, ask


def asked_for(sweep: Sweep) -> Asked:
    return ask("mine", "Mine", sweep, Changes())


def lost(store, recorded: Sweep, asked: Sweep) -> str:
    """What is said of `recorded` when another of its name is asked for; or ""."""
    write_sweeps(store, [asked_for(recorded)], failed={})
    return find_replaced(store, [asked_for(asked)]).get("mine", "")


@pytest.fixture
def training(subset: Subset) -> TrainSweep:
    return TrainSweep(configs=(subset.config((64, 0.05, 2)),))


@pytest.fixture
def draws(subset: Subset) -> GradientSweep:
    regimes = {n: subset.config((64, 0.05, n)) for n in (1, 2)}
    return GradientSweep(
        regimes={"early": regimes[1], "late": regimes[2]},
        batch_sizes=(8, 32),
        num_draws=4,
        num_samples=64,
    )


def test_what_asks_for_the_same_or_more_loses_nothing(store, training, draws, subset):
    more = replace(training, configs=(*training.configs, subset.config((8, 0.05, 1))))
    assert lost(store, training, training) == ""
    assert lost(store, training, more) == ""
    assert lost(store, draws, draws) == ""
    assert (
        lost(store, draws, replace(draws, num_draws=9, batch_sizes=(8, 16, 32))) == ""
    )


def test_what_trials_would_lose_is_named(store, training, draws, subset):
    other = replace(training, configs=(subset.config((64, 0.1, 2)),))
    assert "leaves out 1 trial ('64 @ 0.05 x 2" in lost(store, training, other)
    goal = replace(training, until={"test_accuracy": 0.5})
    assert "leaves out where its trials stop" in lost(store, training, goal)
    rare = replace(training, evaluate_every=2)
    assert "leaves out epochs that it measured, every 1" in lost(store, training, rare)
    assert "leaves out all of it" in lost(store, training, draws)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_sizes": (8,)}, "batch sizes"),
        ({"num_draws": 3}, "draws"),
        ({"num_samples": 32}, "all draws"),
        ({"learning_rate": 0.02}, "all draws"),
        ({"layers": (0,)}, "all draws"),
        ({"seed": 1}, "all draws"),
    ],
)
def test_what_draws_would_lose_is_named(store, draws, change, said):
    assert f"leaves out {said}. " in lost(store, draws, replace(draws, **change))


def test_a_regime_under_another_name_is_lost(store, draws):
    renamed = {"early": draws.regimes["early"], "end": draws.regimes["late"]}
    asked = replace(draws, regimes=renamed)
    assert "leaves out regimes. " in lost(store, draws, asked)
