"""A model: what training, measuring and drawing need to know of a network."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from torch import Tensor

from raybs.config.keys import Epoch, is_closed_form, is_deferred, is_plain
from raybs.config.trial import TrainConfig
from raybs.datasets.tensors import Dataset
from raybs.models import mlp
from raybs.models.cuda_graphs import Captured, cuda_graph
from raybs.models.optimizers import optimizer_step
from raybs.models.sgd import PlainSGD
from raybs.models.state import (
    Observe,
    Observer,
    Score,
    State,
    Step,
    Steps,
    from_tensors,
    take_steps,
)
from raybs.store.tensors import Tensors


class Model(Protocol):
    """A network for samples of one dataset, on its device.

    `side_by_side` tells whether draws are taken at once by replicas; `why_alone` says,
    after `steps`, why replicas are trained one at a time, where a user asked for more.
    """

    side_by_side: bool
    why_alone: str

    def init(self, configs: Sequence[TrainConfig]) -> State:
        """Make one replica per config; they share all but seed and phases."""
        ...

    def load(
        self,
        configs: Sequence[TrainConfig],
        stored: Sequence[tuple[Tensors, Mapping[str, Any]]],
    ) -> State:
        """Read stored states, one replica per config."""
        ...

    def steps(self, configs: Sequence[TrainConfig], state: State) -> Steps:
        """Return what trains epochs, and changes the tensors of `state`."""
        ...

    def scorer(self, state: State, at_once: int) -> Score:
        """Return what scores up to `at_once` samples at a time."""
        ...

    def samples_per_call(self, config: TrainConfig, batch_size: int) -> int:
        """Return how many samples a Step wants at a time."""
        ...

    def still_step(self, state: State, observer: Observer) -> Step:
        """Return a Step that changes nothing, whose gradients are observed."""
        ...

    def observed_step(
        self, config: TrainConfig, state: State, reduction: str, observer: Observer
    ) -> Step:
        """Return a Step of plain SGD whose gradients are observed."""
        ...


def make_model(config: TrainConfig, data: Dataset) -> Model:
    """Return the model that `config` names, for `data`.

    Raises:
        ValueError: It is a user's, and cannot be imported.
    """
    if is_closed_form(config):
        return MLP(data)
    from raybs.models.module import ModuleModel

    return ModuleModel(config, data)


class MLP:
    """The built-in multilayer perceptron, with gradients in closed form."""

    side_by_side = True
    why_alone = ""

    def __init__(self, data: Dataset) -> None:
        """Train on `data`."""
        self.data = data
        self.device = data.train_images.device.type

    def init(self, configs: Sequence[TrainConfig]) -> State:
        """Draw the weights of one replica per config."""
        num_features, num_classes = self.data.num_features, self.data.num_classes
        return mlp.init_state(configs, num_features, num_classes, self.device)

    def load(
        self,
        configs: Sequence[TrainConfig],
        stored: Sequence[tuple[Tensors, Mapping[str, Any]]],
    ) -> State:
        """Read stored states, one replica per config."""
        return from_tensors(mlp.empty_state(configs[0]), stored, self.device)

    def steps(self, configs: Sequence[TrainConfig], state: State) -> Steps:
        """Return what trains epochs, all replicas side by side."""
        step = make_step(configs, state)

        def train_epoch(
            order: Tensor, epoch: Epoch, learning_rates: Sequence[float], number: int
        ) -> None:
            at_once = samples_per_call(configs[0], epoch.batch_size)
            take_steps(
                self.data, order, step, epoch.batch_size, learning_rates, at_once
            )

        return train_epoch

    def scorer(self, state: State, at_once: int) -> Score:
        """Return what scores up to `at_once` samples at a time."""
        return mlp.scorer(state, at_once)

    def samples_per_call(self, config: TrainConfig, batch_size: int) -> int:
        """Return how many samples a Step wants at a time."""
        return samples_per_call(config, batch_size)

    def still_step(self, state: State, observer: Observer) -> Step:
        """Return a Step that changes nothing, whose gradients are observed."""
        return mlp.still_step(state, observer)

    def observed_step(
        self, config: TrainConfig, state: State, reduction: str, observer: Observer
    ) -> Step:
        """Return a Step of plain SGD whose gradients are observed."""
        observers = {n: partial(observer.observe, n) for n in observer.layers}
        configs = [config] * state.num_replicas
        return make_step(configs, state, reduction=reduction, observers=observers)


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
