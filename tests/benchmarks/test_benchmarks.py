"""The benchmarks' parts that do not depend on a clock."""

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import contenders, report, step
from benchmarks.epochs import list_schedule, speed_of, trial_seconds
from benchmarks.schedule import GPU, TRAINING_SWEEPS, makespan
from raybs.config.catalog import find_sweep
from raybs.config.gradient_sweep import cells
from raybs.gradients.references import References
from raybs.models.base import make_model
from raybs.models.mlp import init_state
from raybs.plan.cost import USUAL
from raybs.plan.plan import make_plan
from raybs.plan.resolve import find


@pytest.mark.parametrize("num_workers", [2, 8, 32])
@pytest.mark.parametrize("speed", [USUAL, GPU])
def test_every_sweep_of_the_article_ends_within_5_percent_of_the_bound(
    num_workers, speed
):
    for names in [*([name] for name in TRAINING_SWEEPS), TRAINING_SWEEPS]:
        requests = [r for item in find(names) for r in item.requests]
        plan = make_plan(requests, {}, set(), speed)
        bound = plan.bound(num_workers)
        assert bound <= makespan(plan, num_workers) * (1 + 1e-9) <= 1.05 * bound


def test_one_worker_takes_the_sum_of_all():
    requests = find(["recovery"])[0].requests
    plan = make_plan(requests, {}, set())
    assert makespan(plan, 1) == pytest.approx(plan.seconds)


def test_trials_start_in_their_order_on_the_first_free_worker():
    assert list_schedule([3, 1, 1, 4]) == 6  # 3 + ..., and 1 + 1 + 4


def test_a_speed_from_measured_epochs_gives_these_epochs_back():
    kinds = [(2, "sgd"), (64, "sgd"), (256, "sgd"), (1024, "sgd"), (64, "adam")]
    epochs = pd.Series([30.0, 10.0, 9.0, 8.0, 14.0], pd.MultiIndex.from_tuples(kinds))
    speed = speed_of(epochs, measuring=3.0)
    for name in ("batch_size", "adam_vs_sgd"):
        _, _, sweep = find_sweep(name)
        plan = make_plan(find([name])[0].requests, {}, set(), speed)
        by_hand = sum(trial_seconds(config, epochs) for config in sweep.configs)
        extra = 3.0 * len(sweep.configs)  # epoch 0 is measured as well
        shared = 30 * 8.0 + 3.0 if name == "adam_vs_sgd" else 0.0  # 30 of 480 epochs
        expected = by_hand + extra - shared
        assert plan.seconds == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("batch_size", [2, 64])
def test_contenders_train(subset, tmp_path, batch_size, monkeypatch):
    weights = []  # of the first layer of each
    init_state, make_model = contenders.init_state, contenders.make_model

    def recorded_state(*arguments):
        state = init_state(*arguments)
        weights.append(state.weights[0])
        return state

    def recorded_model(*arguments):
        made = make_model(*arguments)
        weights.append(next(made[0].parameters()))
        return made

    class RecordedModule(contenders.ModuleModel):
        def init(self, configs):
            state = super().init(configs)
            weights.append(state.weights[0])
            return state

    monkeypatch.setattr(contenders, "init_state", recorded_state)
    monkeypatch.setattr(contenders, "make_model", recorded_model)
    monkeypatch.setattr(contenders, "ModuleModel", RecordedModule)
    contenders.write_idx(subset.arrays, tmp_path)
    runs = [
        contenders.raybs_steps(subset.data, batch_size, 2),
        contenders.raybs_steps(subset.data, batch_size, 2, replicas=2),
        contenders.autograd_steps(subset.data, batch_size, 2),
        contenders.loader_steps(subset.data, tmp_path, batch_size, 2),
        contenders.autograd_steps(subset.data, batch_size, 2, "cnn"),
        contenders.loader_steps(subset.data, tmp_path, batch_size, 2, "cnn"),
        contenders.module_steps(subset.data, batch_size, 2, "mlp"),
        contenders.module_steps(subset.data, batch_size, 2, "cnn"),
        contenders.module_steps(subset.data, batch_size, 2, "cnn", replicas=2),
    ]
    before = [weight.detach().clone() for weight in weights]
    for run in runs:
        run()
    for weight, old in zip(weights, before, strict=True):
        assert weight.isfinite().all()
        assert not weight.equal(old)
    assert len(weights) == len(runs)


@pytest.mark.slow
def test_both_loops_take_the_same_draw(mnist):
    article = cells(find_sweep("gradient_competition")[2], {"mnist": "f"})
    cell = next(cell for cell in article if cell.batch_size == 256)
    start = init_state([cell.config], 784, 10, "cpu")
    model = make_model(cell.config, mnist.data)
    references = References(start=start, data=mnist.data, cell=cell, model=model)
    loops = (contenders.raybs_draws, contenders.autograd_draws)
    ours, theirs = (loop(references, cell, 2)() for loop in loops)
    assert np.array(ours) == pytest.approx(np.array(theirs), rel=1e-4)


def test_torchvision_reads_the_same_images(subset, tmp_path):
    from torchvision import datasets

    contenders.write_idx(subset.arrays, tmp_path)
    read = datasets.MNIST(str(tmp_path), train=True)
    assert read.data.equal(torch.from_numpy(subset.arrays.x_train))
    assert read.targets.tolist() == subset.arrays.y_train.tolist()


def test_rounds_are_paired_and_the_first_only_warms_up():
    calls = []
    runs = {name: (lambda name=name: calls.append(name), 2) for name in "ab"}
    frame = report.paired(runs, rounds=2)
    assert calls == ["a", "b"] * 3
    assert frame["round"].tolist() == [1, 1, 2, 2]


def test_ratios_are_taken_within_a_round():
    """A machine that is ten times as slow in one round; autograd is not, in another.

    Medians of 3, 3 and 1; a ratio of medians would say 1.2.
    """
    slow = {1: 1.0, 2: 10.0, 3: 4.0}
    rows = [
        {
            "batch_size": 64,
            "round": r,
            "contender": name,
            "seconds": seconds * (slow[r] if name != step.AUTOGRAD or r < 3 else 1.6),
        }
        for r in (1, 2, 3)
        for name, seconds in (
            (step.OURS, 1.0),
            (step.AUTOGRAD, 3.0),
            (step.LOADER, 4.0),
            (step.BFLOAT16, 0.5),
            (step.MATMUL, 0.02),
            (step.READ, 0.001),
            (step.READ_NUMPY, 0.001),
            (step.MEMORY, 0.1),
            (step.LAYER, 0.002),
            (step.MODULE, 2.0),
            (step.CNN, 0.5),
            (step.CNN_AUTOGRAD, 0.505),
            (step.CNN_LOADER, 0.8),
            (step.CNN_PACK, 0.4),
            *((f"{n} replicas", 1.0) for n in step.REPLICAS),
        )
    ]
    said = step.text(pd.DataFrame(rows))
    assert "3.00 (2.10-3.00)" in said
    of_module = "1.50 (1.05-1.50) | 2.00 (2.00-2.00)"
    of_cnn = "1.01 (1.01-1.01) | 1.60 (1.60-1.60) | 1.25 (1.25-1.25)"
    assert of_module in said
    assert of_cnn in said
