"""Any torch.nn.Module as a model: by autograd, replicas side by side if they can be.

A module's random numbers are those of (seed, epoch), and its buffers are part of the
state: so the state after an epoch is a function of the path here, too.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from raybs.config.keys import Epoch
from raybs.config.own import is_own
from raybs.config.trial import TrainConfig
from raybs.datasets.tensors import Dataset
from raybs.models.binding import (
    at_rest,
    bind,
    names_of,
    parameter_names,
    taught_of,
    tensor_of,
    write_back,
)
from raybs.models.cuda_graphs import Captured, cuda_graph
from raybs.models.making import load_code, make_module
from raybs.models.optimizers import update_of
from raybs.models.scoring import module_scorer
from raybs.models.seeding import (
    MODULE_INIT_STREAM,
    MODULE_TRAINING_STREAM,
    seeded,
)
from raybs.models.side_by_side import Replicas, steps_together, why_alone
from raybs.models.state import (
    Observer,
    Score,
    State,
    Step,
    Steps,
    from_tensors,
    moment_names,
    select,
    take_steps,
)
from raybs.store.tensors import Tensors

Loss = Callable[[Tensor, Tensor], Tensor]
"""From logits (B, C) and labels (B,) to one value per sample."""


class ModuleModel:
    """The network that a config names, for samples of one dataset."""

    side_by_side = False

    def __init__(self, config: TrainConfig, data: Dataset) -> None:
        """Import what the config names.

        Raises:
            ValueError: It cannot be imported.
        """
        self.config = config
        self.data = data
        self.device = data.train_images.device
        self.own = load_code(config.model) if is_own(config.model) else None
        self.loss: Loss = _cross_entropy
        if is_own(config.loss):
            self.loss = load_code(config.loss)
        # One per replica; bound to the tensors of one state after the other.
        self.pool: list[nn.Module] = []
        self.why_alone = ""

    def build(self, config: TrainConfig) -> nn.Module:
        """Make the module of the seed of `config`, on the device.

        Raises:
            ValueError: What makes it is not as it must be.
        """
        data = self.data
        with seeded(config.seed, MODULE_INIT_STREAM), torch.enable_grad():
            module = make_module(config, self.own, data.shape, data.num_classes)
        return module.to(self.device)

    def init(self, configs: Sequence[TrainConfig]) -> State:
        """Make one replica per config; they share all but seed and phases."""
        modules = [self.build(config) for config in configs]
        names = names_of(modules[0])

        def stack(name: str) -> Tensor:
            # Contiguous: the fused optimizers of torch do not look at strides.
            tensors = [tensor_of(m, name).detach() for m in modules]
            return torch.stack(tensors).contiguous()

        weights = [stack(name) for name in names.weights]
        biases = [stack(name) for name in names.biases]
        return State(
            weights=weights,
            biases=biases,
            moments={
                name: [torch.zeros_like(t) for t in weights + biases]
                for name in moment_names(configs[0])
            },
            buffers=[stack(name) for name in names.buffers],
            names=names,
        )

    def load(
        self,
        configs: Sequence[TrainConfig],
        stored: Sequence[tuple[Tensors, Mapping[str, Any]]],
    ) -> State:
        """Read stored states, one replica per config."""
        return from_tensors(self.init(configs[:1]), stored, str(self.device))

    def steps(self, configs: Sequence[TrainConfig], state: State) -> Steps:
        """Return what trains epochs, and changes the tensors of `state`.

        Side by side where that is the same training; else `why_alone` says why not.
        """
        self.why_alone = ""
        if len(configs) > 1:
            tried = self._replicas(configs, select(state, range(len(configs))))
            self.why_alone = why_alone(tried, configs, self.data, state.epoch)
        # Made anew: trying may have left its marks on them.
        packed = self._replicas(configs, state)
        if len(configs) > 1 and not self.why_alone:
            places = [parameter_names(state).index(name) for name in packed.taught]
            return steps_together(
                packed, update_of(configs[0], state, places), self.data
            )
        replicas = [self.step(config, state, r) for r, config in enumerate(configs)]

        def train_epoch(
            order: Tensor, epoch: Epoch, learning_rates: Sequence[float], number: int
        ) -> None:
            for r, (config, step) in enumerate(zip(configs, replicas, strict=True)):
                self.bound(state, r).train()
                own, rate, size = order[r : r + 1], learning_rates[r], epoch.batch_size
                with seeded(config.seed, MODULE_TRAINING_STREAM, number):
                    take_steps(self.data, own, step, size, [rate], size)

        return train_epoch

    def _replicas(self, configs: Sequence[TrainConfig], state: State) -> Replicas:
        """Make modules anew, in train mode, bound to the replicas of `state`."""
        # Each of its own seed: not all that is drawn at init need be in the state.
        self.pool = [self.build(config) for config in configs]
        modules = [self.bound(state, r).train() for r in range(len(configs))]
        names = parameter_names(state)
        assert state.names is not None
        parameters = zip(names, state.weights + state.biases, strict=True)
        buffers = zip(state.names.buffers, state.buffers, strict=True)
        half = configs[0].precision == "bfloat16"
        return Replicas(
            modules=modules,
            tensors=dict([*parameters, *buffers]),
            taught=[names[index] for index in taught_of(modules[0], state)],
            losses=partial(self._losses, half=half),
            half=half,
        )

    def samples_per_call(self, config: TrainConfig, batch_size: int) -> int:
        """Return how many samples a Step wants at a time: those of one step."""
        return batch_size

    def observed_step(
        self, config: TrainConfig, state: State, reduction: str, observer: Observer
    ) -> Step:
        """Return a Step of plain SGD, in train mode, whose gradients are observed."""
        self.bound(state, 0).train()
        return self.step(config, state, 0, reduction, observer)

    def still_step(self, state: State, observer: Observer) -> Step:
        """Return a Step in eval mode that changes nothing, and is observed."""
        names = state.names
        assert names is not None
        # Its own: that of the pool may be bound to a state that moves.
        module = self.build(self.config)

        def step(
            images: Tensor,
            labels: Tensor,
            learning_rates: Sequence[float],
            batch_size: int,
        ) -> None:
            bind(module, state, 0)
            own = [tensor_of(module, names.weights[layer]) for layer in observer.layers]
            for number, start in enumerate(range(0, labels.shape[1], batch_size)):
                part = slice(start, start + batch_size)
                some, theirs = images[0, part], labels[0, part]
                with at_rest(module), torch.enable_grad():
                    loss = self._losses(module, some, theirs).sum()
                    found = torch.autograd.grad(loss, own, materialize_grads=True)
                for layer, gradient in zip(observer.layers, found, strict=True):
                    observer.observe_gradient(layer, gradient, len(theirs), number)

        return step

    def step(
        self,
        config: TrainConfig,
        state: State,
        replica: int,
        reduction: str = "mean",
        observer: Observer | None = None,
    ) -> Step:
        """Return the Step of one replica, whose module must be bound to `state`."""
        module = self._pooled(replica)
        taught = taught_of(module, state)
        update = update_of(config, state, taught, slice(replica, replica + 1))
        own = [tensor_of(module, parameter_names(state)[index]) for index in taught]
        names = parameter_names(state)
        layers = observer.layers if observer else ()
        weights = names[: len(state.weights)]
        places = {n: taught.index(names.index(weights[n])) for n in layers}
        half = config.precision == "bfloat16"

        def step(
            images: Tensor,
            labels: Tensor,
            learning_rates: Sequence[float],
            batch_size: int,
        ) -> None:
            with torch.enable_grad():
                values = self._losses(module, images[0], labels[0], half=half)
                loss = values.mean() if reduction == "mean" else values.sum()
                found = torch.autograd.grad(loss, own, allow_unused=True)
            if observer:
                num = labels.shape[1]
                scale = num if reduction == "mean" else 1
                for layer, place in places.items():
                    gradient = found[place]
                    if gradient is None:
                        gradient = torch.zeros_like(own[place])
                    observer.observe_gradient(layer, gradient * scale, num, 0)
            # Contiguous: the fused optimizers of torch do not look at strides.
            gradients = [None if g is None else g.contiguous()[None] for g in found]
            update(gradients, learning_rates)
            write_back(module, state, replica)

        if self.device.type == "cuda":
            return Captured(step, cuda_graph)
        return step

    def _losses(
        self,
        module: Callable[[Tensor], Tensor],
        images: Tensor,
        labels: Tensor,
        *,
        half: bool = False,
    ) -> Tensor:
        """Return one value per sample."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            logits = module(self.samples(images))
        return self.loss(logits.float(), labels)

    def scorer(self, state: State, at_once: int) -> Score:
        """Return what scores samples in eval mode, and leaves all else as it was."""
        return module_scorer(self, state)

    def samples(self, images: Tensor) -> Tensor:
        """Return stored samples (B, features) in the shape that a module gets."""
        if not self.data.channels_last:
            return images.view(len(images), *self.data.shape)
        channels, height, width = self.data.shape
        images = images.view(len(images), height, width, channels)
        return images.permute(0, 3, 1, 2).contiguous()

    def bound(self, state: State, replica: int) -> nn.Module:
        """Return a module whose tensors are those of a replica of `state`."""
        module = self._pooled(replica)
        bind(module, state, replica)
        return module

    def _pooled(self, replica: int) -> nn.Module:
        while len(self.pool) <= replica:
            self.pool.append(self.build(self.config))
        return self.pool[replica]


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, labels, reduction="none")
