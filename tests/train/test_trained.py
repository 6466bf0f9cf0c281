"""The network that a trial ended with comes back, and scores as its row says."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import raybs
from raybs import TrainSweep, grid, run
from raybs.launch.events import LaunchError
from raybs.models import mlp
from raybs.models.base import MLP
from raybs.store.opening import open_store

pytestmark = pytest.mark.slow

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 5, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2)
        )
        self.middle = nn.Linear(144, 144)
        self.tied = nn.Linear(144, 144)
        self.tied.weight = self.middle.weight
        self.last = nn.Linear(144, num_classes)

    def forward(self, x):
        x = self.features(x).flatten(1)
        return self.last(self.tied(self.middle(x)).relu())

def make(num_classes):
    return Net(num_classes)
"""

LOSS = """
from torch.nn import functional

def smooth(logits, labels):
    return functional.cross_entropy(
        logits, labels, reduction="none", label_smoothing=0.1
    )
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory, subset):
    """Results of a user's network, the cnn and MLPs, in a folder with net.py."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "net.py").write_text(NET)
    steps = ((16, 0.05, 2), (8, 0.02, 1))
    (folder / "loss.py").write_text(LOSS)
    default = {"hidden": (1024, 1024)}
    configs = [
        subset.config(*steps, model=f"{folder / 'net.py'}:make", **default),
        subset.config(*steps, model="cnn", optimizer="adam", **default),
        subset.config(*steps),
        subset.config(*steps, seed=1),
        subset.config(*steps, optimizer="adam", precision="bfloat16"),
        subset.config(*steps, loss=f"{folder / 'loss.py'}:smooth"),
        subset.config((8, 1e9, 3)),
    ]
    sweep = TrainSweep(configs=tuple(configs))
    # Confirmed: where the machine has other work, bfloat16 may measure as slow.
    options = {"local": True, "confirmed": True}
    frames = run(sweep, results=folder / "results", name="nets", **options)
    return folder / "results", frames.trials


def delete_states(results):
    store = open_store(results)
    for paths in store.state_files().values():
        store.files.delete(paths)


def accuracy(module, arrays):
    with torch.no_grad():
        logits = module(module.standardization.apply(arrays.x_test))
    return float(np.mean(logits.argmax(1).numpy() == arrays.y_test)), logits


def test_every_network_scores_on_the_test_set_what_its_row_says(trained, subset):
    results, trials = trained
    complete = trials[trials["status"] == "complete"]
    assert len(complete) == 6
    for trial in complete.itertuples():
        module = raybs.load_model(results, trial.trial, train=False)
        assert not any(part.training for part in module.modules())
        right, logits = accuracy(module, subset.arrays)
        assert right == trial.final_test_accuracy, trial.label
        labels = torch.from_numpy(subset.arrays.y_test)
        smoothing = 0.1 if "smooth" in trial.loss else 0.0
        loss = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
        assert float(loss) == pytest.approx(trial.final_test_loss, rel=1e-5)


def test_the_mlp_has_the_stored_weights_and_the_logits_of_its_forward(trained, subset):
    results, trials = trained
    key = trials["trial"][2]
    module = raybs.load_model(results, key)
    config = subset.config((16, 0.05, 2), (8, 0.02, 1))
    stored = open_store(results).read_state(key)
    state = MLP(subset.data).load([config], [stored])
    assert torch.equal(module[1].weight, state.weights[0][0])
    logits = module(module.standardization.apply(subset.arrays.x_test))
    expected = mlp.forward(state, subset.data.test_images[None])[-1][0]
    torch.testing.assert_close(logits, expected)


def test_a_beginning_of_a_key_and_a_label_name_a_trial(trained):
    results, trials = trained
    label, key = trials["label"][2], trials["trial"][2]
    wanted = raybs.load_model(results, key).state_dict()
    for name in (key[:10], f"{label}, seed 0"):
        same = raybs.load_model(results, name).state_dict()
        assert all(torch.equal(same[n], tensor) for n, tensor in wanted.items())
    with pytest.raises(
        ValueError, match="2 trials in .* match .*; give one's key"
    ) as e:
        raybs.load_model(results, label)
    assert key in str(e.value)
    assert trials["trial"][3] in str(e.value)
    assert trials["trial"][1] not in str(e.value)
    # The near ones first.
    with pytest.raises(ValueError, match="No trial .* The nearest of 7") as e:
        raybs.load_model(results, key[:-1] + "x")
    assert str(e.value).splitlines()[1].startswith(f"  {key}  {label}, seed 0")
    with pytest.raises(ValueError, match="No trial ''"):
        raybs.load_model(results, "")


def test_a_diverged_trial_has_no_network(trained):
    results, trials = trained
    [diverged] = trials["trial"][trials["status"] == "diverged"]
    with pytest.raises(ValueError, match="diverged in epoch"):
        raybs.load_model(results, diverged)


def test_a_kept_state_is_not_trained_again_and_a_missing_one_is(
    tmp_path, subset, caplog
):
    caplog.set_level(logging.WARNING, "raybs")
    config = subset.config((16, 0.05, 3), optimizer="adam")
    sweep = TrainSweep(configs=(config, subset.config((16, 0.05, 3))))
    frames = run(sweep, results=tmp_path, name="s", local=True)
    key = frames.trials["trial"][0]
    first = raybs.load_model(tmp_path, key).state_dict()
    assert caplog.messages == []
    delete_states(tmp_path)
    with pytest.raises(ValueError, match="holds no state of .*: 3 epochs to train"):
        raybs.load_model(tmp_path, key, train=False)
    store = open_store(tmp_path)
    rows, record = store.read_rows().to_pylist(), store.files.read("sweeps/s.json")
    threads = torch.get_num_threads()
    again = raybs.load_model(tmp_path, key).state_dict()
    assert torch.get_num_threads() == threads
    assert [m for m in caplog.messages if "3 epochs to train, about" in m]
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())
    assert store.read_rows().to_pylist() == rows
    assert store.files.read("sweeps/s.json") == record
    assert store.state_files().keys() == {key}  # that trial's alone


def test_a_trial_that_was_not_trained_to_its_end_goes_on(tmp_path, subset):
    short = TrainSweep(configs=(subset.config((16, 0.05, 1)),))
    run(short, results=tmp_path, name="s", local=True)
    store = open_store(tmp_path)
    long = TrainSweep(configs=(subset.config((16, 0.05, 3)),))
    whole = run(long, results=tmp_path / "whole", name="s", local=True)
    record = open_store(tmp_path / "whole").files.read("sweeps/s.json")
    store.files.write("sweeps/s.json", record)  # as after kill -9
    module = raybs.load_model(tmp_path, whole.trials["trial"][0])
    right, _ = accuracy(module, subset.arrays)
    assert right == whole.trials["final_test_accuracy"][0]


def test_the_state_at_a_goal_comes_back(tmp_path, subset):
    sweep = grid(
        batch_size=16,
        learning_rate=0.1,
        epochs=12,
        hidden=[16, 12],
        dataset=subset.name,
        until={"test_accuracy": 0.4},
    )
    trials = run(sweep, results=tmp_path, local=True, keep_states=True).trials
    assert trials["final_epoch"][0] < 12
    module = raybs.load_model(tmp_path, trials["trial"][0], train=False)
    assert accuracy(module, subset.arrays)[0] == trials["final_test_accuracy"][0]
    delete_states(tmp_path)
    module = raybs.load_model(tmp_path, trials["trial"][0])
    assert accuracy(module, subset.arrays)[0] == trials["final_test_accuracy"][0]


def test_a_corrupt_state_counts_as_missing(tmp_path, subset):
    sweep = TrainSweep(configs=(subset.config((16, 0.05, 1)),))
    trials = run(sweep, results=tmp_path, name="s", local=True).trials
    [path] = (tmp_path / "states").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    module = raybs.load_model(tmp_path, trials["trial"][0])
    assert accuracy(module, subset.arrays)[0] == trials["final_test_accuracy"][0]


def test_code_that_has_changed_is_refused_and_a_comment_is_not(tmp_path, subset):
    net = tmp_path / "net.py"
    net.write_text(NET)
    config = subset.config((16, 0.05, 1), model=f"{net}:make", hidden=(1024, 1024))
    sweep = TrainSweep(configs=(config,))
    key = run(sweep, results=tmp_path / "r", name="s", local=True).trials["trial"][0]
    net.write_text(f"# The same.\n{NET}")
    raybs.load_model(tmp_path / "r", key, train=False)
    net.write_text(NET.replace("Dropout(0.2)", "Dropout(0.3)"))
    with pytest.raises(
        ValueError, match=r"net\.py:make, or a package .* has changed since"
    ):
        raybs.load_model(tmp_path / "r", key)
    net.unlink()
    with pytest.raises(ValueError, match="there is no file"):
        raybs.load_model(tmp_path / "r", key)


def test_a_dataset_that_has_changed_is_refused(tmp_path, subset):
    data = tmp_path / "data.npz"
    data.write_bytes(Path(subset.name).read_bytes())
    sweep = TrainSweep(configs=(subset.config((16, 0.05, 1), dataset=str(data)),))
    key = run(sweep, results=tmp_path / "r", name="s", local=True).trials["trial"][0]
    arrays = dict(np.load(data))
    arrays["x_train"][0, 0, 0] += 1
    np.savez(data, **arrays)
    with pytest.raises(ValueError, match=r"data\.npz has changed since"):
        raybs.load_model(tmp_path / "r", key)


def test_results_without_trials_and_no_results_are_named(tmp_path):
    with pytest.raises(ValueError, match="No results in"):
        raybs.load_model(tmp_path / "none", "abc")
    open_store(tmp_path, create=True)
    with pytest.raises(ValueError, match="holds no trials yet"):
        raybs.load_model(tmp_path, "abc")


def test_what_fails_in_training_says_why(tmp_path, subset, monkeypatch):
    sweep = TrainSweep(configs=(subset.config((16, 0.05, 1)),))
    key = run(sweep, results=tmp_path, name="s", local=True).trials["trial"][0]
    delete_states(tmp_path)

    def fail(*arguments, **options):
        raise RuntimeError("out of memory")

    monkeypatch.setattr("raybs.launch.local.carry", fail)
    with pytest.raises(LaunchError, match="could not be trained: .*out of memory"):
        raybs.load_model(tmp_path, key)
