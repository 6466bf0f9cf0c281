"""Any torch.nn.Module as a model: by autograd, replicas side by side if they can be.

A module's random numbers are those of (seed, epoch), and its buffers are part of the
state: so the state after an epoch is a function of the path here, too.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from raybs.code.loading import load
from raybs.config.keys import Epoch
from raybs.config.own import is_own
from raybs.config.trial import TrainConfig
from raybs.datasets.tensors import Dataset
from raybs.models.cnn import make_cnn
from raybs.models.cuda_graphs import Captured, cuda_graph
from raybs.models.mlp import make_sequential
from raybs.models.optimizers import Update, make_update
from raybs.models.seeding import (
    MODULE_INIT_STREAM,
    MODULE_MEASURING_STREAM,
    MODULE_TRAINING_STREAM,
    seeded,
)
from raybs.models.side_by_side import Replicas, steps_together, why_alone
from raybs.models.state import (
    Names,
    Observer,
    Score,
    State,
    Step,
    Steps,
    from_tensors,
    moment_names,
    select,
)
from raybs.store.tensors import Tensors

Loss = Callable[[Tensor, Tensor], Tensor]
"""From logits (B, C) and labels (B,) to one value per sample."""

SCORED_AT_ONCE = 512
"""Samples of one forward pass in eval mode: feature maps are large."""


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
        self.own = load(config.model) if is_own(config.model) else None
        self.loss: Loss = _cross_entropy
        if is_own(config.loss):
            self.loss = load(config.loss)
        # One per replica; bound to the tensors of one state after the other.
        self.pool: list[nn.Module] = []
        self.why_alone = ""

    def build(self, config: TrainConfig) -> nn.Module:
        """Make the module of the seed of `config`, on the device.

        Raises:
            ValueError: What makes it is not as it must be.
        """
        shape, num_classes = self.data.shape, self.data.num_classes
        with seeded(config.seed, MODULE_INIT_STREAM), torch.enable_grad():
            if self.own:
                module = _call(self.own, config.model, num_classes)
                _check_module(config.model, module)
                _materialize(module, shape)
            elif config.model == "cnn":
                module = make_cnn(shape, num_classes)
            else:
                module = make_sequential(config, self.data.num_features, num_classes)
        placed: nn.Module = module.to(self.device)
        return placed

    def init(self, configs: Sequence[TrainConfig]) -> State:
        """Make one replica per config; they share all but seed and phases."""
        modules = [self.build(config) for config in configs]
        names = _names(modules[0])

        def stack(name: str) -> Tensor:
            # In one order of memory, which stored states have, too.
            tensors = [_tensor(m, name).detach().contiguous() for m in modules]
            return torch.stack(tensors)

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
            places = [_parameter_names(state).index(name) for name in packed.taught]
            return steps_together(packed, _update(configs[0], state, places), self.data)
        replicas = [self.step(config, state, r) for r, config in enumerate(configs)]

        def train_epoch(
            order: Tensor, epoch: Epoch, learning_rates: Sequence[float], number: int
        ) -> None:
            for r, (config, step) in enumerate(zip(configs, replicas, strict=True)):
                self.bound(state, r).train()
                with seeded(config.seed, MODULE_TRAINING_STREAM, number):
                    self.walk(order[r], step, epoch.batch_size, learning_rates[r])

        return train_epoch

    def _replicas(self, configs: Sequence[TrainConfig], state: State) -> Replicas:
        """Make modules anew, in train mode, bound to the replicas of `state`."""
        # Each of its own seed: not all that is drawn at init need be in the state.
        self.pool = [self.build(config) for config in configs]
        modules = [self.bound(state, r).train() for r in range(len(configs))]
        names = _parameter_names(state)
        assert state.names is not None
        parameters = zip(names, state.weights + state.biases, strict=True)
        buffers = zip(state.names.buffers, state.buffers, strict=True)
        half = configs[0].precision == "bfloat16"
        return Replicas(
            modules=modules,
            tensors=dict([*parameters, *buffers]),
            taught=[names[index] for index in _taught(modules[0], state)],
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

        def step(
            images: Tensor,
            labels: Tensor,
            learning_rates: Sequence[float],
            batch_size: int,
        ) -> None:
            module = self.bound(state, 0)
            own = [_tensor(module, names.weights[layer]) for layer in observer.layers]
            for number, start in enumerate(range(0, labels.shape[1], batch_size)):
                part = slice(start, start + batch_size)
                some, theirs = images[0, part], labels[0, part]
                with _at_rest(module), torch.enable_grad():
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
        taught = _taught(module, state)
        update = _update(config, state, taught, slice(replica, replica + 1))
        own = [_tensor(module, _parameter_names(state)[index]) for index in taught]
        names = _parameter_names(state)
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
                found = torch.autograd.grad(loss, own, materialize_grads=True)
            if observer:
                num = labels.shape[1]
                for layer, place in places.items():
                    total = found[place] * num if reduction == "mean" else found[place]
                    observer.observe_gradient(layer, total, num, 0)
            # torch's fused updates read gradients as if they were contiguous.
            update([gradient.contiguous()[None] for gradient in found], learning_rates)
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

    def walk(self, order: Tensor, step: Step, batch_size: int, rate: float) -> None:
        """Step through the training samples at `order`, (samples,)."""
        data = self.data
        for start in range(0, len(order), batch_size):
            picked = order[start : start + batch_size]
            images = data.train_images.index_select(0, picked)
            step(images[None], data.train_labels[picked][None], [rate], batch_size)

    def scorer(self, state: State, at_once: int) -> Score:
        """Return what scores samples in eval mode, and leaves all else as it was."""

        def score(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            scored = [
                self._score(state, replica, images, labels)
                for replica in range(state.num_replicas)
            ]
            losses, num_right = zip(*scored, strict=True)
            return torch.stack(losses), torch.stack(num_right)

        return score

    def _score(
        self, state: State, replica: int, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        module = self.bound(state, replica)
        loss = torch.zeros((), device=self.device)
        num_right = torch.zeros((), dtype=torch.int64, device=self.device)
        with _at_rest(module), seeded(0, MODULE_MEASURING_STREAM, state.epoch):
            for start in range(0, len(labels), SCORED_AT_ONCE):
                part = slice(start, start + SCORED_AT_ONCE)
                logits = module(self.samples(images[part])).float()
                loss += self.loss(logits, labels[part]).sum()
                num_right += (logits.argmax(1) == labels[part]).sum()
        return loss, num_right

    def samples(self, images: Tensor) -> Tensor:
        """Return stored samples (B, features) in the shape that a module gets."""
        if not self.data.channels_last:
            return images.view(len(images), *self.data.shape)
        channels, height, width = self.data.shape
        images = images.view(len(images), height, width, channels)
        return images.permute(0, 3, 1, 2).contiguous()

    def bound(self, state: State, replica: int) -> nn.Module:
        """Return a module whose tensors are those of a replica of `state`."""
        module, names = self._pooled(replica), state.names
        assert names is not None
        for name, tensor in zip(
            _parameter_names(state), state.weights + state.biases, strict=True
        ):
            _tensor(module, name).data = tensor[replica]
        for name, tensor in zip(names.buffers, state.buffers, strict=True):
            _set_buffer(module, name, tensor[replica])
        return module

    def _pooled(self, replica: int) -> nn.Module:
        while len(self.pool) <= replica:
            self.pool.append(self.build(self.config))
        return self.pool[replica]


def write_back(module: nn.Module, state: State, replica: int) -> None:
    """Copy to `state` buffers that the module has replaced, and did not change."""
    assert state.names is not None
    for name, tensor in zip(state.names.buffers, state.buffers, strict=True):
        buffer = _tensor(module, name)
        if buffer.data_ptr() != tensor[replica].data_ptr():
            tensor[replica].copy_(buffer)
            _set_buffer(module, name, tensor[replica])


@contextlib.contextmanager
def _at_rest(module: nn.Module) -> Iterator[None]:
    """Put a module into eval mode; afterwards modes and buffers are as before."""
    modes = [(one, one.training) for one in module.modules()]
    buffers = [(name, buffer, buffer.clone()) for name, buffer in _buffers(module)]
    module.eval()
    try:
        yield
    finally:
        for one, mode in modes:
            one.training = mode
        for name, buffer, value in buffers:
            buffer.copy_(value)
            _set_buffer(module, name, buffer)


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, labels, reduction="none")


def _call(make: Callable[..., Any], name: str, num_classes: int) -> Any:
    """Call what makes a network, with the number of classes if it takes it.

    Raises:
        ValueError: It cannot be called so, or raises.
    """
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        parameters = ()  # type: ignore[assignment]
    takes = any(
        p.kind is p.VAR_KEYWORD
        or (p.name == "num_classes" and p.kind is not p.POSITIONAL_ONLY)
        for p in parameters
    )
    needed = [
        p.name
        for p in parameters
        if p.default is p.empty
        and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        and p.name != "num_classes"
    ]
    if needed:
        raise ValueError(
            f"{name} needs {', '.join(needed)}; it is called with num_classes alone, "
            "or with nothing: give the others defaults."
        )
    try:
        return make(num_classes=num_classes) if takes else make()
    except Exception as error:
        raise ValueError(f"{name} raised {type(error).__name__}: {error}") from error


def _check_module(name: str, module: Any) -> None:
    """Refuse what cannot be trained.

    Raises:
        ValueError: It cannot.
    """
    if not isinstance(module, nn.Module):
        raise ValueError(
            f"{name} returned {type(module).__name__}, not a torch.nn.Module."
        )
    parameters = dict(module.named_parameters())
    if not parameters:
        raise ValueError(f"{name}: the module has no parameters to train.")
    for own, parameter in [*parameters.items(), *module.named_buffers()]:
        if parameter.layout is not torch.strided:
            raise ValueError(f"{name}: {own} is sparse; only dense tensors are stored.")
        if parameter.device.type != "cpu":
            raise ValueError(
                f"{name}: {own} is on {parameter.device}; make the module on the CPU, "
                "raybs moves it."
            )
    for own, parameter in parameters.items():
        if parameter.dtype != torch.float32:
            raise ValueError(
                f"{name}: {own} is {parameter.dtype}; parameters must be float32 "
                "(--precision bfloat16 computes in it)."
            )


def _materialize(module: nn.Module, shape: Sequence[int]) -> None:
    """Let lazy layers see the shape of a sample."""
    if any(isinstance(p, nn.UninitializedParameter) for p in module.parameters()):
        with _at_rest(module), torch.no_grad():
            module(torch.zeros(2, *shape))


def _names(module: nn.Module) -> Names:
    """Return the names of weights, of biases and of buffers, tied ones once."""
    parameters = list(module.named_parameters())
    return Names(
        weights=tuple(name for name, p in parameters if p.dim() >= 2),
        biases=tuple(name for name, p in parameters if p.dim() < 2),
        buffers=tuple(name for name, _ in _buffers(module)),
    )


def _buffers(module: nn.Module) -> list[tuple[str, Tensor]]:
    return list(module.named_buffers())


def _parameter_names(state: State) -> tuple[str, ...]:
    assert state.names is not None
    return (*state.names.weights, *state.names.biases)


def _taught(module: nn.Module, state: State) -> list[int]:
    """Return which parameters training changes: all but frozen ones."""
    return [
        index
        for index, name in enumerate(_parameter_names(state))
        if _tensor(module, name).requires_grad
    ]


def _update(
    config: TrainConfig,
    state: State,
    taught: Sequence[int],
    replicas: slice = slice(None),
) -> Update:
    """Return the update of some parameters of some replicas of `state`."""
    tensors = state.weights + state.biases
    return make_update(
        config,
        [tensors[index][replicas] for index in taught],
        {n: [ts[i][replicas] for i in taught] for n, ts in state.moments.items()},
        state.step,
    )


def _tensor(module: nn.Module, name: str) -> Tensor:
    """Return a parameter or buffer by its name."""
    owner, _, last = name.rpartition(".")
    tensor: Tensor = getattr(module.get_submodule(owner), last)
    return tensor


def _set_buffer(module: nn.Module, name: str, tensor: Tensor) -> None:
    owner, _, last = name.rpartition(".")
    module.get_submodule(owner)._buffers[last] = tensor
