"""Modules on the general path, against plain loops of torch written without raybs."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import numbers
from torch import nn

from raybs.config import Phase, TrainConfig
from raybs.config.gradient_sweep import MAX_DRAWS, GradientSweep
from raybs.config.sweep import TrainSweep
from raybs.datasets.dataset import load_arrays
from raybs.datasets.tensors import to_device
from raybs.gradients.draw import draw
from raybs.gradients.references import References, sample_order
from raybs.models.module import ModuleModel
from raybs.models.seeding import (
    MODULE_DRAWS_STREAM,
    MODULE_INIT_STREAM,
    MODULE_TRAINING_STREAM,
    seeded,
)
from raybs.models.state import ORDER_STREAM, from_tensors, generator, to_tensors
from raybs.plan.overrides import Changes
from raybs.plan.plan import plan_for
from raybs.plan.resolve import ask
from raybs.plan.speeds import usual_speed
from raybs.runner import run
from raybs.store.opening import open_store
from raybs.store.tensors import from_bytes, to_bytes
from raybs.train.loop import train
from raybs.train.networks import with_networks
from raybs.train.worker import carry

LOSS = """
from torch.nn import functional

def loss(logits, labels):
    return functional.cross_entropy(logits, labels, reduction="none")
"""

NET = """
import torch
from torch import nn
from layers import Noise

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 5, stride=4, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.2)
        self.noise = Noise()
        self.into = nn.Linear(4 * 36, 12)
        self.back = nn.Linear(12, 4 * 36)
        self.back.weight = nn.Parameter(torch.empty(12, 4 * 36).normal_() / 12)
        self.tied = self.back.weight
        self.last = nn.Linear(4 * 36, num_classes)
        self.into.bias.requires_grad_(False)

    def forward(self, x):
        h = self.noise(torch.relu(self.norm(self.first(x)))).flatten(1)
        # Of a copy transposed: its gradient is not contiguous.
        h = h @ self.into.weight.t().contiguous() + self.into.bias
        h = self.drop(torch.relu(h))
        return self.last(torch.relu(h @ self.back.weight) @ self.tied.t() @ self.tied)

def make(num_classes):
    return Net(num_classes)
"""

LAYERS = """
import numpy as np
from torch import nn

class Noise(nn.Module):
    def forward(self, x):
        return x + np.random.normal() * 0.1 if self.training else x
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("loss.py").write_text(LOSS)
    Path("net.py").write_text(NET)
    Path("layers.py").write_text(LAYERS)


def twin(config, data):
    """A plain loop over (state_dict, per epoch), by torch.optim and nothing of raybs.

    But the order of samples and the seeds, which are part of what a config is.
    """
    model = ModuleModel(config, data)
    with seeded(config.seed, MODULE_INIT_STREAM):
        module = model.own(num_classes=data.num_classes)
    module.train()
    trained = [p for p in module.parameters() if p.requires_grad]
    options = {"weight_decay": config.weight_decay, "lr": 0.1}
    if config.optimizer == "sgd":
        options |= {"momentum": config.momentum, "nesterov": config.nesterov}
    classes = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    optimizer = classes.get(config.optimizer, torch.optim.AdamW)(trained, **options)
    images = data.train_images.view(-1, *data.shape)
    number = 0
    for phase in config.phases:
        optimizer.param_groups[0]["lr"] = phase.learning_rate
        for _ in range(phase.epochs):
            number += 1
            order = generator(config.seed, ORDER_STREAM, number)
            order = torch.from_numpy(order.permutation(len(images)))
            with seeded(config.seed, MODULE_TRAINING_STREAM, number):
                for part in order.split(phase.batch_size):
                    optimizer.zero_grad()
                    loss = nn.functional.cross_entropy(
                        module(images[part]), data.train_labels[part]
                    )
                    loss.backward()
                    optimizer.step()
    return module.state_dict()


OPTIMIZERS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.5, "weight_decay": 0.01},
    {"optimizer": "adam"},
    {"optimizer": "adamw", "weight_decay": 0.1},
]


@pytest.mark.parametrize("fields", OPTIMIZERS, ids=str)
def test_the_mlp_as_a_module_has_the_rows_of_the_closed_form(files, subset, fields):
    rate = 0.003 if "optimizer" in fields else 0.05
    closed = subset.config((64, rate, 2), (4, rate / 10, 1), **fields)
    general = replace(closed, loss="loss.py:loss")
    rows = []
    for config in (closed, general):
        steps = train([config], subset.data, stop=3, measured={0, 1, 2, 3})
        rows.append([progress.rows[0] for progress in steps])
    for ours, theirs in zip(*rows, strict=True):
        for name in ours.keys() - {"status", "weight_names"}:
            assert ours[name] == pytest.approx(theirs[name], rel=2e-3, abs=1e-5), name


@pytest.mark.parametrize("fields", OPTIMIZERS, ids=str)
def test_a_module_equals_a_plain_loop(files, subset, fields):
    """Batch norm, dropout, NumPy's random numbers, a tied and a frozen parameter."""
    rate = 0.003 if "optimizer" in fields else 0.05
    config = subset.config(
        (64, rate, 2),
        (20, rate / 2, 1),
        model="net.py:make",
        hidden=(1024, 1024),
        seed=3,
        **fields,
    )
    *_, last = train([config], subset.data, stop=3, measured=frozenset())
    tensors, _ = to_tensors(last.state, 0)
    wanted = twin(config, subset.data)
    stored = {name for name in tensors if not name.startswith(("exp_avg", "momentum"))}
    assert stored == wanted.keys() - {"back.weight"}  # tied, and stored once
    for name in stored:
        ours = torch.from_numpy(tensors[name])
        torch.testing.assert_close(ours, wanted[name], rtol=1e-3, atol=1e-5)
    assert tensors["norm.num_batches_tracked"] == 2 * 4 + 12


def planned(configs, store):
    asked = ask("mine", "Mine", TrainSweep(configs=tuple(configs)), Changes())
    [asked] = with_networks([asked], store)
    return plan_for([asked], store, usual_speed(store, "cpu", 1, is_here=True))


def finish(plan, store, data):
    for stretch in plan.stretches:
        for _ in carry([stretch], store, data):
            pass


def bits(store):
    return {
        key: {name: t.tobytes() for name, t in store.read_state(key)[0].items()}
        for key in store.state_files()
    }


def test_interrupted_or_forked_it_has_the_same_bits(files, subset, tmp_path):
    fields = {"model": "net.py:make", "hidden": (1024, 1024), "momentum": 0.9}
    start = (64, 0.05, 2)
    configs = [
        subset.config(start, (8, 0.01, 2), **fields),
        subset.config(start, (64, 0.1, 2), **fields),
    ]
    stores = {
        name: open_store(str(tmp_path / name), create=True)
        for name in ("whole", "alone", "closed")
    }
    plan = planned(configs, stores["whole"])
    assert sorted(stretch.start for stretch in plan.stretches) == [0, 2, 2]
    finish(plan, stores["whole"], subset.data)
    for number, config in enumerate(configs):  # alone, from init
        nothing = open_store(str(tmp_path / f"nothing {number}"), create=True)
        plan = planned([config], nothing)
        assert [stretch.start for stretch in plan.stretches] == [0]
        finish(plan, stores["alone"], subset.data)
    for stretch in planned(configs, stores["closed"]).stretches:
        reports = carry([stretch], stores["closed"], subset.data)
        list(islice(reports, 2))
        reports.close()
        finish(planned(configs, stores["closed"]), stores["closed"], subset.data)
    whole, alone, closed = stores.values()
    assert numbers(whole) == numbers(alone) == numbers(closed)
    assert bits(closed) == bits(whole)
    assert bits(whole).items() >= bits(alone).items()


def test_a_state_comes_back_from_a_file_to_the_bit(files, subset):
    config = subset.config(
        (64, 0.05, 1), model="net.py:make", hidden=(1024, 1024), optimizer="adam"
    )
    model = ModuleModel(config, subset.data)
    *_, last = train([config], subset.data, model=model, stop=1, measured=frozenset())
    stored = from_bytes(to_bytes(*to_tensors(last.state, 0)))
    assert stored[0]["norm.num_batches_tracked"].dtype == np.int64
    again, _ = to_tensors(model.load([config], [stored]), 0)
    assert {n: t.tobytes() for n, t in again.items()} == {
        n: t.tobytes() for n, t in stored[0].items()
    }
    with pytest.raises(ValueError, match="the stored state lacks"):
        from_tensors(last.state, [({}, stored[1])], "cpu")


def test_measuring_leaves_all_else_alone(files, subset):
    config = subset.config((64, 0.05, 2), model="net.py:make", hidden=(1024, 1024))
    ends = []
    for measured in ({0, 1, 2}, set()):
        torch.manual_seed(7)
        *_, last = train([config], subset.data, stop=2, measured=measured)
        ends.append((to_tensors(last.state, 0)[0], torch.rand(1)))
    for name, tensor in ends[0][0].items():
        assert tensor.tobytes() == ends[1][0][name].tobytes()
    assert torch.equal(ends[0][1], ends[1][1])


SMALL = """
from torch import nn

def make(num_classes):
    return nn.Sequential({layers})
"""


@pytest.mark.parametrize(
    ("shape", "layers", "seen"),
    [
        (
            (8, 8),
            "nn.Conv2d(1, 2, 3), nn.Flatten(), nn.LazyLinear(num_classes)",
            (1, 8, 8),
        ),
        (
            (8, 6, 3),
            "nn.LazyConv2d(2, 3), nn.LazyBatchNorm2d(), nn.Flatten(), "
            "nn.LazyLinear(num_classes)",
            (3, 8, 6),
        ),
        (
            (3, 8, 6),
            "nn.Conv2d(3, 2, 3, bias=False), nn.Flatten(), "
            "nn.LazyLinear(num_classes, bias=False)",
            (3, 8, 6),
        ),
        ((12,), "nn.Linear(12, num_classes, bias=False)", (12,)),
    ],
)
def test_samples_have_their_own_shape(tmp_path, monkeypatch, shape, layers, seen):
    """Also without any bias, and with layers that learn their sizes."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(SMALL.format(layers=layers))
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (30, *shape)).astype(np.uint8)
    labels = np.arange(30) % 3
    np.savez("data.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    arrays = load_arrays("data.npz")
    data = to_device(arrays, "cpu")
    phase = Phase(batch_size=8, learning_rate=0.1, epochs=1)
    config = TrainConfig(phases=(phase,), dataset="data.npz", model="net.py:make")
    sweep = TrainSweep(configs=(config,))
    model = ModuleModel(config, data)
    sample = model.samples(data.train_images)[4]
    assert tuple(sample.shape) == seen
    standard = (images[4] - arrays.mean) / arrays.deviation
    if len(shape) == 3 and seen != shape:
        standard = standard.transpose(2, 0, 1)
    torch.testing.assert_close(
        sample, torch.tensor(standard.reshape(seen), dtype=torch.float32)
    )
    frames = run(sweep, local=True)
    assert list(frames.trials["status"]) == ["complete"]


def test_draws_of_a_module_do_not_depend_on_those_before(files, subset):
    start = subset.config((64, 0.05, 1), model="net.py:make", hidden=(1024, 1024))
    sweep = GradientSweep(
        regimes={"early": start},
        batch_sizes=(8,),
        num_draws=4,
        num_samples=40,
        learning_rate=0.1,
    )
    run(replace(sweep, num_draws=1), local=True, results="drawn")
    [wanted] = ask("mine", "Mine", sweep, Changes()).wanted
    model = ModuleModel(start, subset.data)
    stored = open_store("drawn").read_state(wanted.cell.state_key)

    def drawn(pairs):
        references = References(
            start=model.load([start], [stored]),
            data=subset.data,
            cell=wanted.cell,
            model=model,
        )
        return [row for row, _ in draw(references, wanted.cell, pairs)]

    alone = [row for pair in wanted.pairs for row in drawn([pair])]
    assert drawn(wanted.pairs) == alone
    assert len({row["summed_gradient_norm"] for row in alone}) == 4


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_draws_of_a_module_equal_autograd(files, subset, frozen, reduction):
    start = subset.config((64, 0.05, 1), model="net.py:make", hidden=(1024, 1024))
    sweep = GradientSweep(
        regimes={"early": start},
        batch_sizes=(7, 32),
        num_draws=2,
        num_samples=40,
        learning_rate=0.001,
        reduction=reduction,
        layers=(0, -1),
        frozen=frozen,
    )
    drawn = run(sweep, local=True, results="drawn").draws
    store = open_store("drawn")
    asked = ask("mine", "Mine", sweep, Changes())
    model = ModuleModel(start, subset.data)
    for wanted in asked.wanted:
        cell = wanted.cell
        for pair in wanted.pairs:
            state = model.load([start], [store.read_state(cell.state_key)])
            module = model.bound(state, 0).train(not frozen)
            weights = [module.tied, module.last.weight]  # as they are named
            order = sample_order(cell, pair, subset.data.num_samples)
            total, steps, before = 0.0, 0, [w.detach().clone() for w in state.weights]
            with seeded(0, MODULE_DRAWS_STREAM, pair[0] * MAX_DRAWS + pair[1]):
                for part in torch.from_numpy(order).split(cell.batch_size):
                    images = subset.data.train_images[part].view(-1, 1, 28, 28)
                    loss = nn.functional.cross_entropy(
                        module(images), subset.data.train_labels[part]
                    )
                    module.zero_grad()
                    loss.backward()
                    one = torch.cat([w.grad.flatten() for w in weights])
                    total, steps = total + len(part) * one, steps + 1
                    scale = len(part) if reduction == "sum" else 1
                    with torch.no_grad():
                        for p in module.parameters():
                            if not frozen and p.grad is not None:
                                p -= 0.001 * scale * p.grad
            moved = torch.cat(
                [(a - b).flatten() for a, b in zip(state.weights, before, strict=True)]
            ).norm()
            [row] = drawn[
                (drawn["batch_size"] == cell.batch_size)
                & (drawn["sample_set"] == pair[0])
            ].to_dict("records")
            assert row["sample_weighted_norm"] == pytest.approx(
                float(total.norm()), rel=1e-3
            )
            assert row["distance_moved"] == pytest.approx(float(moved), rel=1e-3)
            assert row["num_steps"] == steps


DIGITS = """
from torch import nn

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.last = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x):
        return self.last(self.hidden(x).relu())
"""


@pytest.mark.slow
def test_a_table_of_digits_goes_from_npz_to_advice(tmp_path, monkeypatch, mnist):
    """8 x 8 as in scikit-learn, from MNIST's by pooling; features without a shape."""
    import analysis

    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(DIGITS)

    def pooled(images, num):
        small = torch.from_numpy(images[:num]).float()[:, None]
        return nn.functional.adaptive_avg_pool2d(small, 8).flatten(1).numpy()

    arrays = mnist.arrays
    np.savez(
        "digits.npz",
        x_train=pooled(arrays.x_train, 1400),
        y_train=arrays.y_train[:1400],
        x_test=pooled(arrays.x_test, 400),
        y_test=arrays.y_test[:400],
    )
    configs = [
        TrainConfig(
            phases=(Phase(batch_size=size, learning_rate=rate, epochs=4),),
            dataset="digits.npz",
            model="net.py:Two",
            seed=seed,
        )
        for size in (16, 64)
        for rate in (0.01, 0.1)
        for seed in (0, 1)
    ]
    sweep = TrainSweep(configs=tuple(configs))
    frames = run(sweep, name="digits", local=True)
    assert (frames.trials["final_test_accuracy"] > 0.5).any()
    assert analysis.advise(frames)


@pytest.mark.slow
def test_torchvision_s_resnet18_trains_on_images_of_cifar(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    labels = np.arange(512) % 10
    images = draw.integers(0, 256, (512, 32, 32, 3)).astype(np.uint8)
    np.savez(
        "c.npz", x_train=images, y_train=labels, x_test=images[:64], y_test=labels[:64]
    )
    config = TrainConfig(
        phases=(Phase(batch_size=64, learning_rate=0.05, epochs=1),),
        dataset="c.npz",
        model="torchvision.models:resnet18",
    )
    sweep = TrainSweep(configs=(config,))
    frames = run(sweep, local=True)
    assert list(frames.trials["status"]) == ["complete"]
    assert frames.history["samples_seen"].max() == 512
