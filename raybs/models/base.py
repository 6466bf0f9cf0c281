"""How a config's network takes its steps."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from raybs.config.keys import is_deferred, is_plain
from raybs.config.trial import TrainConfig
from raybs.datasets.tensors import Dataset
from raybs.models.cuda_graphs import Captured, cuda_graph
from raybs.models.optimizers import optimizer_step
from raybs.models.sgd import PlainSGD
from raybs.models.state import Observe, State, Step

DEFERRED_SAMPLES = 64
"""For so many samples deferred updates wait: best of 16 to 256."""


def samples_per_call(config: TrainConfig, batch_size: int) -> int:
    """Return how many samples a Step wants at a time."""
    if is_deferred(config, batch_size):
        return DEFERRED_SAMPLES // batch_size * batch_size
    return batch_size


def make_step(
    configs: Sequence[TrainConfig],
    state: State,
    *,
    reduction: str = "mean",
    observers: Mapping[int, Observe] | None = None,
) -> Step:
    """Return the Step of these replicas, which changes the tensors of `state`.

    Plain SGD adds the gradient's matmul straight into the weights; the others hand
    closed-form gradients to torch.optim, one parameter group per replica. Shapes are
    static and nothing waits for the device, so on a GPU the step is captured as a CUDA
    graph (which has not been run: docs/performance.md).

    Plain SGD also takes the `reduction` of the loss over the batch that a step follows,
    and observers by layer, who see what the gradients are made of.
    """
    config = configs[0]
    if is_plain(config):
        step: Step = PlainSGD(config, state, reduction, observers or {})
    else:
        assert reduction == "mean"
        assert not observers
        step = optimizer_step(config, state)
    return Captured(step, cuda_graph) if state.weights[0].is_cuda else step


def take_steps(
    data: Dataset,
    order: Tensor,
    step: Step,
    batch_size: int,
    learning_rates: Sequence[float],
    at_once: int,
) -> None:
    """Step through the training samples at `order`, (R, samples)."""
    labels = data.train_labels[order]
    for start in range(0, order.shape[1], at_once):
        picked = order[:, start : start + at_once]
        images = data.train_images.index_select(0, picked.flatten())
        images = images.view(*picked.shape, -1)
        step(images, labels[:, start : start + at_once], learning_rates, batch_size)
