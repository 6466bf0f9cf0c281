"""A stored state as a module gives the logits that it was measured by."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from raybs.config import Phase, TrainConfig
from raybs.datasets.dataset import Arrays
from raybs.datasets.tensors import to_device
from raybs.models import mlp
from raybs.models.module import ModuleModel
from raybs.models.restore import restore
from raybs.models.state import to_tensors

PHASES = (Phase(batch_size=8, learning_rate=0.1, epochs=1),)


def colored(stored: tuple[int, ...]) -> Arrays:
    """Random samples of a shape, as a dataset has them."""
    drawn = np.random.default_rng(0).integers(0, 256, (50, *stored), dtype=np.uint8)
    labels = np.arange(50) % 3
    return Arrays(
        x_train=drawn,
        y_train=labels,
        x_test=drawn[:20],
        y_test=labels[:20],
        mean=float(drawn.mean()),
        deviation=float(drawn.std()),
    )


@pytest.mark.parametrize("stored", [(6, 5), (8, 6, 3), (3, 8, 6), (7,)])
@pytest.mark.parametrize("seed", [0, 1])
def test_logits_of_the_mlp_are_those_of_its_own_forward(stored, seed):
    arrays = colored(stored)
    data = to_device(arrays, "cpu")
    config = TrainConfig(phases=PHASES, hidden=(9, 7), init="torch_default", seed=seed)
    state = mlp.init_state([config], data.num_features, data.num_classes, "cpu")
    # The weights are those of the state, not those of the seed.
    for tensor in state.weights + state.biases:
        tensor.mul_(1.5)
    module = restore(config, arrays, to_tensors(state, 0))
    logits = module(module.standardization.apply(arrays.x_test))
    expected = mlp.forward(state, data.test_images[None])[-1][0]
    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize("stored", [(8, 6), (8, 6, 3), (3, 8, 6)])
def test_the_cnn_scores_as_it_was_measured(stored):
    arrays = colored(stored)
    data = to_device(arrays, "cpu")
    config = TrainConfig(phases=PHASES, model="cnn", seed=3)
    model = ModuleModel(config, data)
    state = model.init([config])
    loss, num_right = model.scorer(state, 20)(data.test_images, data.test_labels)
    named = to_tensors(state, 0)
    module = restore(replace(config, seed=4), arrays, named)  # whose init is another
    assert not any(part.training for part in module.modules())
    logits = module(module.standardization.apply(arrays.x_test))
    labels = data.test_labels
    assert (logits.argmax(1) == labels).sum() == num_right[0]
    total = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    torch.testing.assert_close(total, loss[0])
    assert set(module.state_dict()) == set(named[0])


def test_without_a_state_it_is_the_network_at_init():
    arrays = colored((6, 5))
    config = TrainConfig(phases=PHASES, hidden=(9,))
    module = restore(config, arrays, None)
    state = mlp.init_state([config], 30, 3, "cpu")
    torch.testing.assert_close(module[1].weight, state.weights[0][0], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("stored", "model", "shape", "said"),
    [
        ((8, 6), "cnn", (1, 8, 6), "(channels, height, width)"),
        ((8, 6, 3), "cnn", (3, 8, 6), "(channels, height, width)"),
        ((8, 6, 3), "mlp", (8, 6, 3), "(as in the dataset)"),
        ((7,), "mlp", (7,), "a sample of shape (7,)"),
    ],
)
def test_what_a_sample_is_like_is_said(stored, model, shape, said):
    arrays = colored(stored)
    module = restore(TrainConfig(phases=PHASES, model=model), arrays, None)
    how = module.standardization
    samples = how.apply(arrays.x_train)
    assert tuple(samples.shape[1:]) == how.shape == shape
    assert said in str(how)
    assert f"{arrays.mean:.9g}" in str(how)
    torch.testing.assert_close(samples.mean(), torch.tensor(0.0), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        samples.std(correction=0), torch.tensor(1.0), rtol=0, atol=1e-5
    )


def test_samples_of_another_shape_are_refused():
    module = restore(TrainConfig(phases=PHASES), colored((6, 5)), None)
    with pytest.raises(ValueError, match=r"trained on \(6, 5\), give \(N, 6, 5\)"):
        module.standardization.apply(np.zeros((2, 5, 6)))


class Named(torch.nn.Sequential):
    """A module that has an attribute of the name by which inputs are described."""

    def __init__(self, num_classes):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(30, num_classes))
        self.standardization = torch.nn.BatchNorm1d(3)


def test_a_module_with_a_standardization_of_its_own_is_refused():
    config = TrainConfig(phases=PHASES, model=f"{__file__}:Named")
    with pytest.raises(ValueError, match="has a 'standardization' of its own"):
        restore(config, colored((6, 5)), None)
