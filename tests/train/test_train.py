import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from raybs.config import Phase
from raybs.config.keys import path, resolved
from raybs.models.mlp import forward, init_state
from raybs.models.state import ORDER_STREAM, generator, select
from raybs.train.loop import train


def run(subset, *configs, stop=None, measured=frozenset(), state=None):
    """All progress, with a copy of the state after each epoch."""
    stop = configs[0].num_epochs if stop is None else stop
    steps = train(configs, subset.data, state=state, stop=stop, measured=measured)
    return [
        replace(p, state=select(p.state, range(p.state.num_replicas))) for p in steps
    ]


def tensors(state):
    moments = [t for group in state.moments.values() for t in group]
    return state.weights + state.biases + moments


def equal(a, b):
    return all(x.equal(y) for x, y in zip(tensors(a), tensors(b), strict=True))


def slow_twin(subset, config):
    """The loop one writes with torch: layers, autograd, torch.optim; the same order."""
    state = init_state([config], 784, 10, "cpu")
    sizes = [784, *config.hidden, 10]
    model = torch.nn.Sequential()
    for layer in range(len(sizes) - 1):
        linear = torch.nn.Linear(sizes[layer], sizes[layer + 1])
        linear.weight.data = state.weights[layer][0].clone()
        linear.bias.data = state.biases[layer][0, 0].clone()
        model.append(linear)
        if layer < len(sizes) - 2:
            model.append(torch.nn.ReLU())
    kind = {
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
    }
    options = {"weight_decay": config.weight_decay}
    if config.optimizer == "sgd":
        options |= {"momentum": config.momentum, "nesterov": config.nesterov}
    optimizer = kind[config.optimizer](model.parameters(), lr=1.0, **options)
    for number, epoch in enumerate(path(config), 1):
        optimizer.param_groups[0]["lr"] = epoch.learning_rate
        order = generator(config.seed, ORDER_STREAM, number).permutation(230)
        order = order[: epoch.samples or 230]
        for start in range(0, len(order), epoch.batch_size):
            picked = torch.from_numpy(order[start : start + epoch.batch_size])
            logits = model(subset.data.train_images[picked])
            loss = functional.cross_entropy(logits, subset.data.train_labels[picked])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return [parameter.data for parameter in model.parameters()]


optimizers = st.sampled_from(
    [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
        {"weight_decay": 1e-2},
        {"optimizer": "adam"},
        {"optimizer": "adam", "weight_decay": 1e-2},
        {"optimizer": "adamw", "weight_decay": 1e-1},
    ]
)


@settings(max_examples=25, deadline=None)
@given(
    fields=optimizers,
    hidden=st.lists(st.integers(2, 12), max_size=3).map(tuple),
    sizes=st.lists(st.sampled_from([1, 3, 8, 64, 230]), min_size=1, max_size=2),
    seed=st.integers(0, 9),
)
def test_training_equals_the_autograd_loop(subset, fields, hidden, sizes, seed):
    # Small: with momentum, single samples at 0.003 are beyond stability, where
    # rounding grows from step to step.
    phases = [(size, 0.0002 * (1 + i), 1) for i, size in enumerate(sizes)]
    config = subset.config(*phases, hidden=hidden, seed=seed, **fields)
    state = run(subset, config)[-1].state
    theirs = slow_twin(subset, config)
    for layer in range(len(hidden) + 1):
        pairs = (
            (state.weights[layer][0], theirs[2 * layer]),
            (state.biases[layer][0, 0], theirs[2 * layer + 1]),
        )
        for ours, twin in pairs:
            # Adam divides by small numbers: rounding grows where a gradient is near 0.
            torch.testing.assert_close(ours, twin, rtol=2e-3, atol=2e-4)


def test_zero_epochs_leave_the_init_untouched(subset):
    config = subset.config((8, 0.1, 3))
    [start] = run(subset, config, stop=0, measured={0})
    assert equal(start.state, init_state([config], 784, 10, "cpu"))
    assert start.rows[0]["weight_distance"] == 0
    assert run(subset, config, stop=0) == []


@pytest.mark.parametrize("fields", [{}, {"momentum": 0.9}, {"optimizer": "adam"}])
def test_five_epochs_are_two_and_three_to_the_last_bit(subset, fields):
    config = subset.config((8, 0.01, 3), (64, 0.02, 2), **fields)
    whole = run(subset, config)[-1].state
    half = run(subset, config, stop=2)[-1].state
    again = run(subset, config, state=half)[-1].state
    assert equal(whole, again)
    assert (again.epoch, again.step) == (5, 3 * 29 + 2 * 4)
    assert again.samples_seen == 5 * 230


def test_measuring_changes_nothing(subset):
    config = subset.config((8, 0.01, 3), optimizer="adam")
    measured = run(subset, config, measured={0, 1, 2, 3})
    silent = run(subset, config)
    assert equal(measured[-1].state, silent[-1].state)
    assert [p.rows[0]["epoch"] for p in measured] == [0, 1, 2, 3]
    assert [p.rows[0] for p in silent] == [None] * 3


def test_rows_are_those_of_the_weights_after_their_epoch(subset):
    config = subset.config((8, 0.05, 3))
    every = run(subset, config, measured={1, 3})
    alone = run(subset, config, stop=1, measured={1})
    assert every[0].rows == alone[0].rows
    assert every[2].rows[0]["train_loss"] < every[0].rows[0]["train_loss"]


@pytest.mark.parametrize("fields", [{}, {"optimizer": "adam"}, {"momentum": 0.5}])
def test_a_replica_equals_the_same_trial_alone_within_rounding(subset, fields):
    configs = [
        subset.config((8, 0.01, 1), (64, rate, 1), seed=seed, **fields)
        for seed, rate in ((0, 0.01), (1, 0.02), (1, 0.005))
    ]
    pack = run(subset, *configs, measured={2})[-1]
    for r, config in enumerate(configs):
        alone = run(subset, config, measured={2})[-1]
        torch.testing.assert_close(
            pack.state.weights[0][r], alone.state.weights[0][0], rtol=1e-3, atol=1e-5
        )
        assert pack.rows[r]["train_loss"] == pytest.approx(
            alone.rows[0]["train_loss"], rel=1e-4
        )


def test_a_diverging_replica_leaves_and_the_others_go_on_as_without_it(subset):
    calm, wild = subset.config((8, 0.01, 3)), subset.config((8, 1e20, 3), seed=1)
    pack = run(subset, wild, calm, measured={3})
    assert pack[0].rows[0]["status"] == "diverged"
    assert math.isnan(pack[0].rows[0]["train_loss"])
    assert pack[0].rows[1] is None
    assert [p.configs for p in pack] == [(wild, calm), (calm,), (calm,)]
    alone = run(subset, calm, measured={3})
    assert pack[-1].rows[0]["test_loss"] == pytest.approx(
        alone[-1].rows[0]["test_loss"], rel=1e-4
    )


def test_a_diverging_trial_ends_there(subset):
    wild = subset.config((8, 1e20, 3))
    [only] = run(subset, wild)
    assert only.rows[0]["status"] == "diverged"
    assert only.rows[0]["epoch"] == 1


def test_the_order_of_samples_depends_on_seed_and_epoch_alone():
    orders = {
        (seed, epoch): tuple(generator(seed, ORDER_STREAM, epoch).permutation(20))
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(set(orders.values())) == 9


def test_a_batch_larger_than_the_data_is_refused(subset):
    with pytest.raises(ValueError, match="batch_size=231 exceeds the 230"):
        run(subset, subset.config((231, 0.1, 1)))


def test_an_epoch_ends_with_a_short_batch(subset, monkeypatch):
    """64 x 3 + 38: the last step averages over 38 samples, not over 64."""
    import raybs.models.sgd

    sizes = []

    def counting(state, images):
        sizes.append(images.shape[1])
        return forward(state, images)

    monkeypatch.setattr(raybs.models.sgd, "forward", counting)
    run(subset, subset.config((64, 0.1, 1)))
    assert sizes == [64, 64, 64, 38]


@pytest.mark.parametrize("batch_size", [4, 64])  # deferred, and not
@pytest.mark.parametrize("length", [{"steps": 70}, {"samples": 300}])
def test_a_cut_epoch_takes_its_first_samples_and_no_more(subset, batch_size, length):
    cut = Phase(batch_size=batch_size, learning_rate=0.05, **length)
    given = replace(subset.config((8, 0.05, 1)), phases=(cut,))
    config = resolved(given, 230)
    last = run(subset, config)[-1].state
    steps, samples = {
        (4, "steps"): (70, 230 + 12 * 4),  # 58 steps are an epoch
        (4, "samples"): (58 + 18, 300),
        (64, "steps"): (70, 17 * 230 + 2 * 64),  # 4 are
        (64, "samples"): (4 + 2, 300),
    }[batch_size, *length]
    assert (last.step, last.samples_seen) == (steps, samples)
    for ours, twin in zip(
        [t[0] for pair in zip(last.weights, last.biases, strict=True) for t in pair],
        slow_twin(subset, config),
        strict=True,
    ):
        torch.testing.assert_close(ours.view_as(twin), twin, rtol=1e-4, atol=1e-5)


def test_a_replica_whose_trial_ends_leaves_and_the_others_go_on(subset):
    configs = [subset.config((64, rate, 4)) for rate in (0.01, 0.1, 0.2)]

    def seen(configs, ending):
        """What is yielded, if the trial of `ending` ends at epoch 2."""
        ended = set()
        options = {"stop": 4, "measured": {1, 2}, "ends": ended.__contains__}
        for progress in train(configs, subset.data, **options):
            yield progress.configs, progress.state.epoch
            if progress.state.epoch == 2:
                ended.add(ending)

    every, rest = tuple(configs), (configs[0], configs[2])
    together = list(seen(configs, configs[1]))
    assert together == [(every, 1), (every, 2), (rest, 3), (rest, 4)]
    alone = (configs[1],)
    assert list(seen(alone, configs[1])) == [(alone, 1), (alone, 2)]
