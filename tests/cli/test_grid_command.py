"""python -m raybs.sweep grid: from lists on the command line to advice."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from waits import run

import analysis
from raybs.cli.grid import grid_command
from raybs.sweep import main

SMALL = ["--hidden", "16", "--batch-size", "16,64", "--learning-rate", "0.02,0.1"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments, status=0, command=grid_command):
    result = CliRunner().invoke(command, [str(a) for a in arguments])
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result.output


def test_a_grid_ends_with_a_table_charts_and_advice(here, subset):
    output = call(
        *SMALL,
        *("--dataset", subset.name, "--epochs", "3", "--seeds", "2", "--local"),
        *("--optimizer", "sgd,adam", "--learning-rate-rule", "fixed"),
    )
    assert "16 trials ask for 48 epochs" in output
    assert "grid: Grid over learning rate, optimizer" not in output
    assert "grid: Grid over batch size, learning rate, optimizer" in output
    for words in ("Advice:", "cannot tell it from", "Evidence:", "Limits:"):
        assert words in output
    names = {path.name for path in (here / "results/figures/grid").iterdir()}
    assert {"table.md", "advice.md", "heat_map.png", "accuracy.html"} <= names
    assert {"front.png", "curves.png", "distance.svg"} <= names
    trials = analysis.load("results").trials
    assert len(trials) == 16
    assert set(trials["seed"]) == {0, 1}


def test_it_is_the_python_call(here, subset):
    """The same trials under the same keys as `grid` and `run` make."""
    from raybs import grid, run

    call(*SMALL, "--dataset", subset.name, "--steps", "20", "--local")
    sweep = grid(
        batch_size=[16, 64],
        learning_rate=[0.02, 0.1],
        steps=20,
        hidden=[16],
        dataset=subset.name,
    )
    before = sorted(Path("results/rows").iterdir())
    frames = run(sweep, name="mine", local=True)
    assert sorted(Path("results/rows").iterdir()) == before  # nothing was trained
    trials = analysis.load("results").trials.set_index("sweep")["trial"]
    assert set(trials["grid"]) == set(trials["mine"]) == set(frames.trials["trial"])


def test_a_plan_starts_nothing(here, subset):
    arguments = [*SMALL, "--dataset", subset.name, "--samples", "500", "--plan"]
    assert "4 trials ask for 12 epochs" in call(*arguments)  # 230 + 230 + 40
    assert not (here / "results").exists()


def test_several_networks_and_none_at_all(here, subset):
    call(
        *("--hidden", "8,8", "--hidden", "none", "--batch-size", "64"),
        *("--learning-rate", "0.1", "--epochs", "1", "--local"),
        *("--dataset", subset.name, "--name", "two"),
    )
    assert set(analysis.load("results").trials["hidden"]) == {"8-8", ""}


RIGHT = {"--batch-size": "16,64", "--learning-rate": "0.1", "--epochs": "1"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--batch-size": ""}, "'': give whole numbers"),
        ({"--batch-size": "16,"}, "give whole numbers, with commas"),
        ({"--batch-size": "1e2"}, "give whole numbers"),
        ({"--learning-rate": "fast"}, "'fast': give numbers"),
        ({"--batch-size": "1_6"}, "'1_6': give whole numbers"),
        ({"--batch-size": "\u0661\u0666"}, "give whole numbers"),
        ({"--learning-rate": "nan"}, "'nan': give numbers"),
        ({"--learning-rate": "1_0"}, "'1_0': give numbers"),
        ({"--until": "test_accuracy=\u0661"}, "give a column and a number"),
        ({"--seeds": "1, x"}, "--seeds '1, x': give how many"),
        ({"--hidden": "9999999999"}, "use whole numbers, 1 to 1000000"),
        ({"--batch-size": "0,16"}, "batch_size=0; use a whole number of at least 1"),
        ({"--batch-size": "70000"}, "batch_size=70000 exceeds the 60000 training"),
        (
            {"--schedule": "grow_batch", "--batch-size": "4000", "--epochs": "3"},
            "batch_size=100000 exceeds the 60000 training samples",
        ),
        ({"--epochs": None}, "one of epochs, steps, samples or seconds"),
        ({"--steps": "10"}, "by epochs and steps"),
        ({"--seconds": "0"}, "0.0 is not in the range x>0"),
        ({"--until": "accuracy=1"}, "until accuracy; use test_accuracy"),
        ({"--until": "test_accuracy=97"}, "a fraction, at most 1"),
        ({"--until": "test_accuracy"}, "give a column and a number"),
        ({"--optimizer": "sgd,lion"}, "optimizer='lion'; use sgd, adam or adamw"),
        ({"--hidden": "256;256"}, "--hidden '256;256': give whole numbers"),
        ({"--zip": "batch_size,rate"}, "'rate' is not known"),
        ({"--zip": "batch_size,learning_rate"}, "batch_size 2, learning_rate 1"),
        ({"--seeds": "50001"}, "--seeds '50001'"),
        ({"--seeds": "10000", "--batch-size": "1,2,3,4,5,6,7,8,9,10,11"}, "--yes"),
        ({"--dataset": "fasion_mnist"}, "dataset 'fasion_mnist' is unknown"),
        ({"--dataset": "none.npz"}, "there is no such file"),
        ({"--name": "recovery"}, "'recovery' is a sweep of raybs"),
        ({"--name": "a/b"}, "cannot be a sweep's name"),
    ],
)
def test_bad_requests_are_refused_before_anything_starts(here, change, words):
    given = {n: v for n, v in (RIGHT | change).items() if v is not None}
    output = call(*[part for pair in given.items() for part in pair], status=2)
    assert words in output
    assert not (here / "results").exists()


def test_a_goal_is_given_once():
    given = [part for pair in RIGHT.items() for part in pair]
    goals = ("--until", "test_loss=1", "--until", "test_loss=2")
    assert "--until test_loss is given twice" in call(*given, *goals, status=2)


def test_grid_stands_alone():
    output = call("recovery", "grid", command=main, status=2)
    assert "'grid' stands alone" in output


@pytest.mark.ray
def test_the_module_knows_the_word_grid(here, subset):
    """As a user types it, on real Ray, with trials that stop at a target."""
    command = [sys.executable, "-m", "raybs.sweep", "grid", *SMALL, "--epochs", "9"]
    command += ["--dataset", subset.name, "--until", "test_accuracy=0.3"]
    done = run(command)
    assert done.returncode == 0, done.stdout
    output = " ".join(done.stdout.split())  # its lines are wrapped
    assert "reaches 30 % test accuracy soonest" in output
    assert "has reached what it trained for" in output
    trials = analysis.load("results").trials
    assert (trials["final_test_accuracy"] >= 0.3).all()
    assert (trials["final_epoch"] < 9).any()
    assert list(Path("results/speeds").iterdir())  # a worker has been measured
