"""raybs export-model: weights in a file, and what is asked, said and refused."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import load_file

import raybs
from raybs import TrainSweep, export, run, sweep
from raybs.cli.main import main
from raybs.store.opening import open_store

pytestmark = pytest.mark.slow

TOP = Path(__file__).parents[2]

NET = """
from torch import nn

class Strange(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(784, 10)

    def forward(self, x):
        return self.last(x.flatten(1))

    def get_extra_state(self):
        return "words"

    def set_extra_state(self, state):
        pass

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(784, 784)
        self.second = nn.Linear(784, 784)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(784)
        self.last = nn.Linear(784, 10)

    def forward(self, x):
        return self.last(self.norm(self.second(self.first(x.flatten(1)))))
"""


@pytest.fixture
def here(tmp_path, monkeypatch, subset):
    """A folder whose results hold two trials and one that diverged."""
    monkeypatch.chdir(tmp_path)
    configs = (
        subset.config((16, 0.05, 2)),
        subset.config((16, 0.05, 2), seed=1),
        subset.config((8, 1e9, 3)),
    )
    return run(TrainSweep(configs=configs), name="mine", local=True).trials


def call(*words, status=0, of=export.main):
    result = CliRunner().invoke(of, [str(word) for word in words])
    assert result.exit_code == status, result.output
    return result.output


def test_the_file_is_a_state_dict_that_says_what_inputs_are_like(here, subset):
    key = here["trial"][0]
    said = call(key[:12], "--output", "model.safetensors")
    network = torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(784, 16),
        torch.nn.ReLU(),
        torch.nn.Linear(16, 12),
        torch.nn.ReLU(),
        torch.nn.Linear(12, 10),
    )
    network.load_state_dict(load_file("model.safetensors"))
    arrays = subset.arrays
    pixels = torch.from_numpy(arrays.x_test).float()
    logits = network((pixels - arrays.mean) / arrays.deviation)
    right = (logits.argmax(1).numpy() == arrays.y_test).mean()
    assert right == here["final_test_accuracy"][0]
    with safe_open("model.safetensors", "pt") as file:
        metadata = json.loads(file.metadata()["raybs"])
    assert metadata["trial"] == key
    assert metadata["label"] == f"{here['label'][0]}, seed 0"
    assert (metadata["epoch"], metadata["test_accuracy"]) == (2, right)
    standardization = metadata["standardization"]
    assert standardization["mean"] == arrays.mean
    assert standardization["deviation"] == arrays.deviation
    assert standardization["shape"] == [1, 28, 28]
    assert f"test accuracy {100 * right:.2f} %" in said
    assert f"(x - {arrays.mean:.9g}) / {arrays.deviation:.9g}" in said
    assert "of shape (1, 28, 28) (channels, height, width)" in said
    assert "6 tensors, 12,894 parameters" in said
    # What is equal is one file, also by the console's command; another's is replaced.
    before = Path("model.safetensors").read_bytes()
    call(here["trial"][1], "--output", "model.safetensors")
    assert Path("model.safetensors").read_bytes() != before
    call("export-model", key, "--output", "model.safetensors", of=main)
    assert Path("model.safetensors").read_bytes() == before


def test_what_is_missing_is_trained_once_it_is_confirmed(here):
    key = here["trial"][0]
    call(key, "--output", "before.safetensors")
    store = open_store("results")
    assert "is stored: nothing to train" in call(key, "--output", "x", "--plan")
    store.files.delete(path for [path] in store.state_files().values())
    needed = "seed 0' is stored: 2 epochs to train, about 0 s."
    assert needed in call(key, "--output", "x", "--plan")
    said = call(key, "--output", "x", status=2)
    assert needed in said
    assert "(2 epochs to train, about 0 s), confirm it with --yes" in said
    assert store.state_files() == {}
    assert not Path("x").exists()
    said = call(key, "--output", "after.safetensors", "--yes")
    assert needed in said
    before = Path("before.safetensors").read_bytes()
    assert Path("after.safetensors").read_bytes() == before
    assert store.state_files().keys() == {key}


@pytest.mark.parametrize(("answer", "trains"), [("n\n", 0), ("", 0), ("y\n", 1)])
def test_a_terminal_is_asked(here, monkeypatch, answer, trains):
    key = here["trial"][0]
    store = open_store("results")
    store.files.delete(path for [path] in store.state_files().values())
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda self: True)
    words = [key, "--output", "x"]
    result = CliRunner().invoke(export.main, words, input=answer)
    assert result.exit_code == 0, result.output
    assert "Train it now, in this process?" in result.output
    assert ("Nothing was trained." in result.output) == (not trains)
    assert len(store.state_files()) == trains


def test_bad_inputs_are_named_with_status_2(here, subset):
    key = here["trial"][0]
    diverged = here["trial"][2]
    label = here["label"][0]
    Path("folder").mkdir()
    for words, said in [
        ([key, "--output", "none/x.safetensors"], "there is no folder none"),
        ([key, "--output", "folder"], "this is not a regular file"),
        ([key, "--output", "x", "--results", "none"], "No results in 'none'"),
        (["zzz", "--output", "x"], "No trial 'zzz' in"),
        ([label, "--output", "x"], f"2 trials in {Path('results').resolve()} match"),
        ([diverged, "--output", "x"], "diverged in epoch"),
        ([key], "Missing option '--output'"),
    ]:
        assert said in call(*words, status=2)
    assert not Path("x").exists()


@pytest.mark.parametrize(
    ("name", "said"), [("Tied", ""), ("Strange", "keeps _extra_state, str")]
)
def test_a_users_module_takes_its_file_back(tmp_path, monkeypatch, subset, name, said):
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    wide = (1024, 1024)  # the default: it belongs to the MLP
    config = subset.config((16, 0.05, 1), model=f"net.py:{name}", hidden=wide)
    trials = run(TrainSweep(configs=(config,)), name="mine", local=True).trials
    key = trials["trial"][0]
    if said:
        assert said in call(key, "--output", "x", status=2)
        assert not Path("x").exists()
        return
    assert f"what net.py:{name} returns" in call(key, "--output", "x")
    names: dict[str, object] = {}
    exec(NET, names)
    module = names[name]()
    module.load_state_dict(load_file("x"))
    trained = raybs.load_model("results", key)
    images = torch.from_numpy(subset.arrays.x_test).float()
    samples = trained.standardization.apply(subset.arrays.x_test)
    assert samples.shape == (len(images), 1, 28, 28)
    assert torch.equal(module.eval()(samples), trained(samples))


def test_a_sweep_keeps_states_where_asked(sweep_file):
    sweep_file()
    said = call("mine.py", "--local", "--plan", of=sweep.main)
    call("mine.py", "--local", of=sweep.main)
    assert "to train" in said
    store = open_store("results")
    store.files.delete(path for [path] in store.state_files().values())
    assert "all stored" in call("mine.py", "--local", "--plan", of=sweep.main)
    words = ["mine.py", "--local", "--keep-states"]
    said = call(*words, "--plan", of=sweep.main)
    assert "to train" in said
    assert "to write" in said
    call(*words, of=sweep.main)
    assert len(store.state_files()) >= 3
    assert "all stored" in call(*words, "--plan", of=sweep.main)


def test_examples_of_help_can_be_parsed():
    lines = [line.strip() for line in export.EXAMPLES.splitlines()]
    lines = [line for line in lines if line.startswith("python -m raybs.export ")]
    assert len(lines) > 2
    for line in lines:
        export.main.make_context("export", shlex.split(line, comments=True)[3:])


def test_it_is_a_command_of_its_own(here):
    done = subprocess.run(
        [sys.executable, "-m", "raybs.export", here["trial"][0], "--output", "x"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(TOP)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("x: 6 tensors")
