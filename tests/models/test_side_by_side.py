"""Replicas of modules: side by side as alone within rounding, else one at a time."""

from itertools import product

import pytest
import torch
from helpers import numbers
from torch.nn import functional

import raybs
from raybs.config import Phase, TrainConfig, TrainSweep
from raybs.launch.resources import Resources
from raybs.models.module import ModuleModel
from raybs.models.state import ORDER_STREAM, generator, select
from raybs.store.opening import open_store
from raybs.train.loop import train

NETS = '''
import numpy as np
import random
import torch
from torch import nn


class Own(nn.Module):
    """A layer held twice, a tied weight, a frozen and an unused parameter, a buffer."""

    def __init__(self, num_classes):
        super().__init__()
        self.inner = nn.Linear(784, 8)
        self.tied = nn.Linear(8, 8)
        self.again = self.tied
        self.third = nn.Linear(8, 8)
        self.third.weight = self.tied.weight
        self.frozen = nn.Parameter(torch.rand(8), requires_grad=False)
        self.unused = nn.Parameter(torch.rand(3))
        self.register_buffer("place", torch.randperm(8))
        self.out = nn.Parameter(torch.randn(num_classes, 8) / 3)
        self.shift = nn.Parameter(torch.zeros(num_classes))

    def forward(self, images):
        hidden = torch.tanh(self.inner(images.flatten(1)))[:, self.place]
        hidden = self.again(torch.relu(self.tied(hidden))) * self.frozen
        hidden = hidden + self.third(hidden)
        logits = torch.einsum("bi,oi->bo", hidden, self.out)
        return logits * (1 + self.shift.sum() / 10)


class Strided(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.inner = nn.Parameter(torch.randn(8, 784) / 28)
        self.outer = nn.Parameter(torch.randn(8, num_classes) / 3)
        self.shift = nn.Parameter(torch.zeros(64))

    def forward(self, images):
        hidden = torch.tanh(self.inner @ images.flatten(1).T)
        logits = (self.outer.T @ hidden).T
        return torch.cat([logits[:, :1] + self.shift.sum(), logits[:, 1:]], 1)


class Wrapped(nn.Module):
    def __init__(self, *between):
        super().__init__()
        self.all = nn.Sequential(
            nn.Flatten(), nn.Linear(784, 8), *between, nn.Linear(8, 10)
        )

    def forward(self, images):
        return self.all(images)


class Branching(Wrapped):
    def forward(self, images):
        logits = self.all(images)
        return 2 * logits if logits.sum() > 0 else logits


class Drawing(Wrapped):
    """By the generator of Python, or of NumPy, which no tensor shows."""

    def __init__(self, draw):
        super().__init__()
        self.draw = draw

    def forward(self, images):
        return self.all(images) * (1 + (self.draw() if self.training else 0))


class Constant(Wrapped):
    """A number drawn at init that is no parameter, and no buffer."""

    def __init__(self):
        super().__init__()
        self.scale = 1 + float(torch.rand(()))

    def forward(self, images):
        return self.all(images) * self.scale


class Unbatched(Wrapped):
    def forward(self, images):
        logits = self.all(images)
        return logits + 0 * torch.histc(logits.detach()).sum()


class Counting(Wrapped):
    """A buffer that is replaced, not changed."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images):
        if self.training:
            self.calls = self.calls + 1
        return self.all(images) / (1 + self.calls)


def dropout(): return Wrapped(nn.Dropout(0.5))
def normed(): return Wrapped(nn.BatchNorm1d(8))
def unrecorded(): return Wrapped(nn.BatchNorm1d(8, track_running_stats=False))
def python(): return Drawing(random.random)
def numpy(): return Drawing(np.random.random)
'''


@pytest.fixture
def named(tmp_path):
    """The name of what makes one of these networks."""
    path = tmp_path / "nets.py"
    path.write_text(NETS)
    return lambda name: name if name == "cnn" else f"{path}:{name}"


def config(subset, model, learning_rate, epochs, batch_size=64, **fields):
    """230 samples: three batches of 64, and one of 38."""
    phase = Phase(batch_size=batch_size, learning_rate=learning_rate, epochs=epochs)
    return TrainConfig(phases=(phase,), dataset=subset.name, model=model, **fields)


def trained(subset, *configs):
    """The model, the last state and the last rows of a pack."""
    model = ModuleModel(configs[0], subset.data)
    stop = configs[0].num_epochs
    options = {"model": model, "stop": stop, "measured": {stop}}
    *_, progress = train(configs, subset.data, **options)
    return model, progress.state, progress.rows


def flat(state):
    moments = [t for group in state.moments.values() for t in group]
    return [*state.weights, *state.biases, *moments, *state.buffers]


OPTIMIZERS = {
    "sgd": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "adam": {"optimizer": "adam"},
}


@pytest.mark.parametrize(
    ("network", "optimizer"),
    # Not batch norm by Adam, which magnifies gradients that are all rounding.
    [*product(["cnn", "Own"], OPTIMIZERS), ("unrecorded", "sgd")],
)
def test_side_by_side_equals_alone_within_rounding(subset, named, network, optimizer):
    rates = (0.001, 0.003, 0.001) if optimizer == "adam" else (0.01, 0.05, 0.01)
    configs = [
        config(subset, named(network), rate, 2, seed=seed, **OPTIMIZERS[optimizer])
        for rate, seed in zip(rates, (3, 4, 4), strict=True)
    ]
    model, packed, rows = trained(subset, *configs)
    assert model.why_alone == ""
    for replica, one in enumerate(configs):
        _, alone, [row] = trained(subset, one)
        ours, theirs = flat(select(packed, [replica])), flat(alone)
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-5)
        assert rows[replica]["train_loss"] == pytest.approx(row["train_loss"], rel=1e-4)


REASONS = {
    "dropout": "it draws random numbers in training",
    "python": "it draws random numbers in training",
    "numpy": "it draws random numbers in training",
    "normed": "training changes its buffer all.2.running_mean",
    "Counting": "training changes its buffer calls",
    "Branching": "torch.func refuses it (RuntimeError: vmap: It looks like",
    "Unbatched": "torch.func does not batch aten::histc",
    "Constant": "its gradients by torch.func differ from those of a replica alone",
}


@pytest.mark.parametrize("network", REASONS)
def test_what_must_not_be_side_by_side_is_trained_bit_for_bit_as_alone(
    subset, named, network
):
    fields = {"momentum": 0.9}
    configs = [
        config(subset, named(network), 0.05, 2, seed=seed, **fields)
        for seed in (3, 3, 5)
    ]
    model, packed, rows = trained(subset, *configs)
    name = configs[0].model
    said = f"Replicas of {name} are trained one at a time: {REASONS[network]}"
    assert model.why_alone.startswith(said)
    for replica, one in enumerate(configs):
        _, alone, [row] = trained(subset, one)
        for ours, theirs in zip(flat(packed), flat(alone), strict=True):
            assert ours[replica].equal(theirs[0])
        assert rows[replica] == row


def test_one_that_diverges_leaves_and_the_others_go_on(subset, named):
    configs = [
        config(subset, named("Own"), rate, 3, seed=seed)
        for seed, rate in enumerate((0.05, 1e20, 0.01))
    ]
    model, sizes = ModuleModel(configs[0], subset.data), []
    for progress in train(configs, subset.data, model=model, stop=3, measured=set()):
        sizes.append((progress.state.epoch, len(progress.configs), model.why_alone))
    assert sizes == [(1, 3, ""), (2, 2, ""), (3, 2, "")]
    _, expected, _ = trained(subset, *configs[::2])
    ours = flat(progress.state)
    torch.testing.assert_close(ours, flat(expected), rtol=1e-3, atol=2e-5)


def test_a_pack_that_shrinks_to_one_goes_on_with_the_module_of_its_seed(subset, named):
    rates = ((3, 1e30), (5, 0.05))
    configs = [config(subset, named("Constant"), r, 3, seed=s) for s, r in rates]
    _, packed, [row] = trained(subset, *configs)
    _, alone, [expected] = trained(subset, configs[1])
    assert all(map(torch.equal, flat(packed), flat(alone)))
    assert row == expected


def test_gradients_that_are_not_contiguous_are_followed_as_by_torch(subset, named):
    """That of a sum is one number, expanded; that of a transposed weight transposed."""
    one = config(subset, named("Strided"), 0.05, 1, momentum=0.9)
    model, state, _ = trained(subset, one)
    module = model.build(one)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9, fused=False)
    order = generator(one.seed, ORDER_STREAM, 1).permutation(subset.data.num_samples)
    for picked in torch.from_numpy(order).split(64):
        logits = module(model.samples(subset.data.train_images[picked]))
        functional.cross_entropy(logits, subset.data.train_labels[picked]).backward()
        optimizer.step()
        optimizer.zero_grad()
    names = (*state.names.weights, *state.names.biases)
    ours = dict(zip(names, state.weights + state.biases, strict=True))
    for name, parameter in module.named_parameters():
        expected = parameter.detach()[None]
        torch.testing.assert_close(ours[name], expected, rtol=1e-4, atol=1e-5)


def test_bfloat16_is_side_by_side(subset, named):
    fields = {"precision": "bfloat16"}
    configs = [config(subset, named("Own"), 0.05, 1, seed=s, **fields) for s in (3, 4)]
    model, packed, _ = trained(subset, *configs)
    assert model.why_alone == ""
    _, alone, _ = trained(subset, configs[1])
    ours = flat(select(packed, [1]))
    torch.testing.assert_close(ours, flat(alone), rtol=0.1, atol=0.02)


def test_a_sweep_says_once_why_its_replicas_are_not_side_by_side(
    subset, named, tmp_path, caplog
):
    configs = [config(subset, named("dropout"), 0.05, 1, seed=s) for s in range(4)]
    stores = [tmp_path / "alone", tmp_path / "packed"]
    for results, replicas in zip(stores, (1, 2), strict=True):
        resources = Resources(num_replicas=replicas)
        sweep = TrainSweep(configs=tuple(configs))
        raybs.run(sweep, results=results, resources=resources, local=True)
    said = [record.getMessage() for record in caplog.records]
    assert sum("are trained one at a time: it draws" in words for words in said) == 1
    alone, packed = (numbers(open_store(results)) for results in stores)
    assert packed == alone
