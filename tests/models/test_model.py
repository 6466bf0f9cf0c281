import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from raybs.config import Phase, TrainConfig
from raybs.models.mlp import forward, gradients, init_state


def config(**fields):
    phase = Phase(batch_size=1, learning_rate=0.1, epochs=1)
    return TrainConfig(phases=(phase,), **fields)


def autograd(state, images, labels):
    """The slow twin: torch's own layers and backward, one replica at a time."""
    found = []
    for r in range(state.num_replicas):
        parameters = [
            t[r].clone().requires_grad_() for t in state.weights + state.biases
        ]
        num = len(state.weights)
        h = images[r]
        for layer in range(num):
            h = functional.linear(h, parameters[layer], parameters[num + layer][0])
            h = functional.relu(h) if layer < num - 1 else h
        functional.cross_entropy(h, labels[r]).backward()
        found.append([p.grad for p in parameters])
    return [torch.stack(tensors) for tensors in zip(*found, strict=True)]


@settings(max_examples=40, deadline=None)
@given(
    hidden=st.lists(st.integers(1, 9), max_size=3).map(tuple),
    batch=st.integers(1, 9),
    replicas=st.integers(1, 3),
    seed=st.integers(0, 2**32),
    init=st.sampled_from(["glorot_uniform", "torch_default", "he_uniform"]),
)
def test_closed_form_gradients_equal_autograd(hidden, batch, replicas, seed, init):
    configs = [config(hidden=hidden, init=init, seed=seed + r) for r in range(replicas)]
    state = init_state(configs, 7, 4, "cpu")
    rng = np.random.default_rng(seed)
    shape = (replicas, batch, 7)
    images = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    labels = torch.from_numpy(rng.integers(0, 4, (replicas, batch)))
    for ours, theirs in zip(
        gradients(configs[0], state, images, labels),
        autograd(state, images, labels),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("init", "bound", "bias_bound"),
    [
        ("glorot_uniform", (6 / (50 + 40)) ** 0.5, 0),
        ("torch_default", 50**-0.5, 50**-0.5),
        ("he_uniform", (6 / 50) ** 0.5, 0),
    ],
)
def test_init_is_uniform_within_its_bound(init, bound, bias_bound):
    state = init_state([config(hidden=(40,), init=init)], 50, 10, "cpu")
    weight = state.weights[0]
    assert weight.shape == (1, 40, 50)
    assert 0.98 * bound < weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert abs(weight.mean().item()) < 0.1 * bound
    assert state.biases[0].abs().max() <= bias_bound + 1e-7
    assert (state.biases[0].abs().max() > 0) == (bias_bound > 0)


def test_torch_default_has_the_bounds_of_torch_linear():
    with torch.random.fork_rng():  # else it depends on the tests before
        torch.manual_seed(0)
        layer = torch.nn.Linear(50, 400)
    state = init_state([config(hidden=(400,), init="torch_default")], 50, 10, "cpu")
    for ours, theirs in (
        (state.weights[0], layer.weight),
        (state.biases[0], layer.bias),
    ):
        assert ours.abs().max().item() == pytest.approx(
            theirs.abs().max().item(), rel=0.02
        )


def test_init_depends_on_the_seed_alone():
    alone = init_state([config(seed=5)], 784, 10, "cpu")
    pack = init_state([config(seed=4), config(seed=5)], 784, 10, "cpu")
    for one, two in zip(alone.weights, pack.weights, strict=True):
        assert one[0].equal(two[1])
        assert not one[0].equal(two[0])


def test_forward_equals_torch_layers():
    state = init_state([config(hidden=(6, 5), init="torch_default")], 7, 4, "cpu")
    images = torch.arange(14.0).view(1, 2, 7)
    h = images[0]
    for layer in range(3):
        h = functional.linear(h, state.weights[layer][0], state.biases[layer][0, 0])
        h = h.clamp(min=0) if layer < 2 else h
    torch.testing.assert_close(forward(state, images)[-1][0], h)
