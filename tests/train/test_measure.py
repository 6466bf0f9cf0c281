import math
from typing import get_type_hints

import torch
from torch.nn import functional

from raybs.models.mlp import forward, init_state
from raybs.models.state import select
from raybs.store.rows import Measurement
from raybs.train import measure


def states(subset, num=1):
    configs = [subset.config((8, 0.1, 1), seed=seed) for seed in range(num)]
    return init_state(configs, 784, 10, "cpu")


def test_evaluate_equals_torch_on_all_samples_at_once(subset, monkeypatch):
    monkeypatch.setattr(measure, "CHUNK", 7)  # 230 and 100 leave short last chunks
    state = states(subset, num=2)
    data = subset.data
    loss, accuracy = measure.evaluate(state, data.train_images, data.train_labels)
    for r in range(2):
        one = select(state, [r])
        logits = forward(one, data.train_images[None])[-1][0]
        slow = functional.cross_entropy(logits.double(), data.train_labels)
        torch.testing.assert_close(loss[r], slow, rtol=1e-5, atol=0)
        hits = (logits.argmax(1) == data.train_labels).sum().item()
        assert accuracy[r].item() == hits / 230


def test_distances_are_those_of_a_known_move(subset):
    init = states(subset)
    state = select(init, [0])
    state.weights[0][0, 0, 0] += 3
    state.weights[2][0, 1, 1] += 4
    state.biases[1][0, 0, 2] += 2
    far = measure.distances(state, init)
    torch.testing.assert_close(far["weight_distance"].item(), 5.0)
    torch.testing.assert_close(far["layer_distance"].tolist(), [[3.0, 0.0, 4.0]])
    assert far["bias_distance"].item() == 2.0
    assert far["bias_norm"].item() == 2.0
    squares = sum(w.double().square().sum().item() for w in state.weights)
    torch.testing.assert_close(far["weight_norm"].item(), math.sqrt(squares))


def test_cosine_is_1_at_init_and_minus_1_at_its_opposite(subset):
    init = states(subset)
    torch.testing.assert_close(
        measure.distances(init, init)["cosine_to_init"],
        torch.ones(1, 3, dtype=torch.float64),
    )
    opposite = select(init, [0])
    for weight in opposite.weights:
        weight.mul_(-2)
    torch.testing.assert_close(
        measure.distances(opposite, init)["cosine_to_init"],
        -torch.ones(1, 3, dtype=torch.float64),
    )


def test_a_replica_without_finite_loss_is_diverged_and_has_no_other_numbers(subset):
    init = states(subset, num=2)
    state = select(init, [0, 1])
    state.weights[1][1, 0, 0] = math.inf
    good, bad = measure.measure(state, init, subset.data)
    assert good.keys() == bad.keys() == get_type_hints(Measurement).keys()
    assert good["status"] == "complete"
    assert good["test_accuracy"] >= 0
    assert bad["status"] == "diverged"
    assert math.isnan(bad["test_accuracy"])
    assert all(math.isnan(value) for value in bad["cosine_to_init"])
