import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybs.config.keys import path, state_keys
from raybs.config.sweep import TrainSweep, truncated, with_seeds
from raybs.config.trial import Phase, TrainConfig, canonical, label
from raybs.store.records import from_json, sweep_from_json

phases = st.builds(
    Phase,
    batch_size=st.sampled_from([1, 2]),
    learning_rate=st.sampled_from([0.1, 0.01]),
    epochs=st.integers(1, 3),
)
configs = st.builds(
    TrainConfig,
    phases=st.lists(phases, min_size=1, max_size=3).map(tuple),
    seed=st.integers(0, 1),
    hidden=st.sampled_from([(1024, 1024), (8,), ()]),
)


def phase(batch_size: int, learning_rate: float, epochs: int) -> Phase:
    return Phase(batch_size=batch_size, learning_rate=learning_rate, epochs=epochs)


@given(configs, configs)
def test_keys_are_shared_exactly_along_a_shared_beginning(a, b):
    keys_a, keys_b = state_keys(a, "data"), state_keys(b, "data")
    same_setup = (a.seed, a.hidden) == (b.seed, b.hidden)
    for k in range(max(len(keys_a), len(keys_b))):
        shared = same_setup and path(a)[:k] == path(b)[:k]
        shared = shared and k < len(keys_a) and k < len(keys_b)
        assert (keys_a[k : k + 1] == keys_b[k : k + 1]) == shared
        assert not set(keys_a[k : k + 1]) & set(keys_b[:k] + keys_b[k + 1 :])


def test_epochs_of_deferred_updates_have_names_of_their_own(monkeypatch):
    config = TrainConfig(phases=(phase(64, 0.1, 1), phase(8, 0.1, 1)))
    keys = state_keys(config, "data")
    momentum = replace(config, momentum=0.9)
    with_momentum = state_keys(momentum, "data")
    monkeypatch.setattr("raybs.config.keys.DEFERRED_BATCH_SIZE", 0)
    before = state_keys(config, "data")
    assert before[:2] == keys[:2]  # of before there was deferring, and valid
    assert before[2] != keys[2]
    assert state_keys(momentum, "data") == with_momentum


def test_keys_depend_on_data_and_trainer_but_not_on_the_name_of_the_data():
    config = TrainConfig(phases=(phase(1, 0.1, 1),))
    keys = state_keys(config, "data")
    assert keys != state_keys(config, "other")
    assert keys != state_keys(config, "data", trainer_version=0)
    assert keys != state_keys(replace(config, precision="bfloat16"), "data")
    assert keys == state_keys(replace(config, dataset="copy.npz"), "data")


def test_a_key_never_changes_by_itself():
    """Stored results are found by these names: a change here orphans them all."""
    config = TrainConfig(phases=(phase(64, 0.01, 1),), seed=3)
    assert state_keys(config, "data", trainer_version=1) == [
        "16ec233aa7a804d8b32253a1",
        "144192eb0960d6d3d4119032",
    ]


@given(configs)
def test_json_gives_the_config_back(config):
    assert from_json(json.loads(json.dumps(asdict(config)))) == config


def test_sweep_json_gives_the_sweep_back():
    config = TrainConfig(phases=(phase(1, 0.1, 1),))
    sweep = TrainSweep(configs=(config,), evaluate_every=2, last_epochs=3)
    assert sweep_from_json(json.loads(json.dumps(asdict(sweep)))) == sweep


def test_label_is_the_path_and_what_is_no_default():
    large = phase(1024, 0.01, 30)
    config = TrainConfig(phases=(large, large, phase(64, 1e-5, 1)))
    assert label(config) == "1024 @ 0.01 x 60 -> 64 @ 1e-05 x 1"
    other = replace(
        config, phases=(large,), optimizer="adam", hidden=(8, 4), init="he_uniform"
    )
    assert label(other) == "1024 @ 0.01 x 30, hidden 8-4, he_uniform init, adam"
    momentum = replace(config, phases=(large,), momentum=0.9, nesterov=True, seed=5)
    assert label(momentum) == "1024 @ 0.01 x 30, momentum 0.9, nesterov"
    half = replace(config, phases=(large,), precision="bfloat16")
    assert label(half) == "1024 @ 0.01 x 30, bfloat16"


@given(configs)
def test_canonical_keeps_the_path_and_is_one_per_path(config):
    joined = canonical(config)
    assert path(joined) == path(config)
    assert state_keys(joined, "") == state_keys(config, "")
    assert canonical(joined) == joined


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": -1}, "batch_size=-1"),
        ({"batch_size": 1.5}, "batch_size=1.5"),
        ({"batch_size": True}, "batch_size=True"),
        ({"learning_rate": 0}, "learning_rate=0"),
        ({"learning_rate": -0.1}, "learning_rate=-0.1"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"learning_rate": float("inf")}, "learning_rate=inf"),
        ({"learning_rate": "0.1"}, "learning_rate='0.1'"),
        ({"epochs": 0}, "epochs=0"),
    ],
)
def test_a_wrong_phase_is_refused_by_name_and_value(fields, words):
    right = {"batch_size": 1, "learning_rate": 0.1, "epochs": 1}
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        Phase(**right | fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"phases": ()},
        {"phases": ("64 @ 0.01",)},
        {"phases": phase(1, 0.1, 1)},
        {"phases": (phase(1, 0.1, 10**6), phase(2, 0.1, 1))},
        {"hidden": 8},
        {"dataset": Path("data.npz")},
        {"hidden": (0,)},
        {"optimizer": "sdg"},
        {"init": "zeros"},
        {"momentum": 1.0},
        {"momentum": 0.9, "optimizer": "adam"},
        {"nesterov": True},
        {"nesterov": 1, "momentum": 0.9},
        {"weight_decay": -1.0},
        {"seed": -1},
        {"seed": 0.5},
    ],
)
def test_a_wrong_config_is_refused_by_the_field_that_is_wrong(fields):
    right = {"phases": (phase(1, 0.1, 1),)}
    with pytest.raises(ValueError, match=next(iter(fields))):
        TrainConfig(**right | fields)


def test_numbers_of_numpy_are_numbers():
    ours = Phase(
        batch_size=np.int64(8), learning_rate=np.float32(0.5), epochs=np.int8(2)
    )
    assert ours == phase(8, 0.5, 2)
    config = TrainConfig(phases=(ours,))
    assert from_json(json.loads(json.dumps(asdict(config)))) == config


def test_all_wrong_fields_are_in_one_error():
    with pytest.raises(ValueError, match=r"batch_size=0.*epochs=-2.*learning_rate=0"):
        Phase(batch_size=0, learning_rate=0, epochs=-2)


def test_equal_trials_in_one_sweep_are_refused_however_spelt():
    once = TrainConfig(phases=(phase(1, 0.1, 4),))
    twice = TrainConfig(phases=(phase(1, 0.1, 2), phase(1, 0.1, 2)))
    with pytest.raises(ValueError, match=r"'1 @ 0\.1 x 4' .* 2 times"):
        TrainSweep(configs=(once, twice))
    with pytest.raises(ValueError, match="at least one"):
        TrainSweep(configs=())
    with pytest.raises(ValueError, match="use a tuple or a list"):
        TrainSweep(configs=once)
    data = [replace(once, dataset=f"{folder}/x.npz") for folder in "ab"]
    with pytest.raises(ValueError, match="two configs have one label"):
        TrainSweep(configs=data)


def test_seeds_repeat_every_config_and_none_twice():
    sweep = TrainSweep(configs=(TrainConfig(phases=(phase(1, 0.1, 1),)),))
    seeded = with_seeds(sweep, [0, 3])
    assert [config.seed for config in seeded.configs] == [0, 3]
    assert with_seeds(seeded, [7]).configs == with_seeds(sweep, [7]).configs
    with pytest.raises(ValueError, match="3 is given twice"):
        with_seeds(sweep, [3, 0, 3])


def test_truncating_cuts_every_phase_and_joins_what_becomes_equal():
    short, long = phase(64, 0.1, 30), phase(64, 0.1, 480)
    sweep = TrainSweep(
        configs=(
            TrainConfig(phases=(short,)),
            TrainConfig(phases=(long,)),
            TrainConfig(phases=(long, short)),
        )
    )
    cut = truncated(sweep, 2)
    assert [path(config) for config in cut.configs] == [
        [(64, 0.1, 0)] * 2,
        [(64, 0.1, 0)] * 4,
    ]


def test_measured_epochs_hold_the_first_and_the_last():
    config = TrainConfig(phases=(phase(1, 0.1, 7),))
    sweep = TrainSweep(configs=(config,), evaluate_every=3)
    assert sweep.measured(config) == [0, 3, 6, 7]
