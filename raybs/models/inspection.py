"""Checks a network before training: is it valid, how large, and which one is it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from raybs.config.gradient_sweep import Cell
from raybs.config.trial import TrainConfig, label
from raybs.datasets.dataset import Arrays
from raybs.datasets.tensors import Dataset, to_device
from raybs.models.making import fails_on
from raybs.models.module import ModuleModel
from raybs.models.seeding import MODULE_TRAINING_STREAM, seeded
from raybs.models.state import State, select
from raybs.models.timing import time_samples, time_steps
from raybs.store.networks import Network

NUM_SAMPLES = 64
"""Of the probe batch: the first training samples."""


def inspect_network(
    configs: Sequence[TrainConfig], arrays: Arrays, cells: Sequence[Cell] = ()
) -> Network:
    """Try the network that `configs` share, equal but for seed, phases and optimizer.

    Its probe is taken at seed 0, whatever the seeds of the configs. `cells` are of the
    draws from its states.

    Raises:
        ValueError: It cannot be trained on this dataset; nothing was started.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a trial has them by default
    try:
        return _inspect(configs, arrays, cells)
    finally:
        torch.set_num_threads(threads)


def _inspect(
    configs: Sequence[TrainConfig], arrays: Arrays, cells: Sequence[Cell]
) -> Network:
    config = replace(configs[0], seed=0)
    data = to_device(arrays, "cpu", first=NUM_SAMPLES)
    model = ModuleModel(config, data)
    state, again = model.init([config]), model.init([config])
    if not state.weights:
        raise ValueError(
            f"{config.model}: no parameter has two dimensions or more, so that there "
            "is no weight to measure."
        )
    if not _equal(state, again):
        raise ValueError(
            f"{config.model}: two calls with one seed give different parameters; draw "
            "them by torch, NumPy or random, whose generators raybs seeds."
        )
    _check_output(config, model, state)
    last = _last_batches(configs, cells, len(arrays.y_train))
    _check_batches(config, model, state, last)
    names = state.names
    assert names is not None
    for cell in cells:
        _check_layers(model.bound(state, 0), names.weights, cell)
    probe = _probe(config, model, state)
    if not all(map(math.isfinite, probe.values())):
        raise ValueError(
            f"{config.model}: its gradients at init are not finite on the first "
            f"{len(model.data.train_labels)} training samples."
        )
    if probe != _probe(config, model, state):
        raise ValueError(
            f"{config.model}: in eval mode it gives two results for one batch and one "
            "seed; it must depend on nothing but its inputs, parameters and buffers."
        )
    shapes = [tuple(weight.shape[1:]) for weight in state.weights]
    parameters = state.weights + state.biases
    return Network(
        weights=tuple(zip(names.weights, shapes, strict=True)),
        num_parameters=sum(p[0].numel() for p in parameters),
        num_buffers=sum(buffer[0].numel() for buffer in state.buffers),
        step_seconds=time_steps(config, model, state),
        sample_seconds=time_samples(model, state),
        probe=probe,
    )


def _equal(one: State, other: State) -> bool:
    tensors = (
        [*state.weights, *state.biases, *state.buffers] for state in (one, other)
    )
    return all(
        a.shape == b.shape and torch.equal(a, b) for a, b in zip(*tensors, strict=True)
    )


def _check_output(config: TrainConfig, model: ModuleModel, state: State) -> None:
    """Refuse a network that gives no logits, or a loss that gives no losses."""
    data, module = model.data, model.bound(state, 0)
    images, labels = data.train_images, data.train_labels
    name = config.model
    module.eval()
    samples = model.samples(images)
    try:
        with torch.no_grad(), seeded(0, MODULE_TRAINING_STREAM):
            logits = module(samples.clone())
    except Exception as error:
        raise fails_on(samples.shape, name, error) from error
    _check_logits(config, logits, len(images), data.num_classes)
    try:
        values = model.loss(logits.float(), labels)
    except Exception as error:
        raise ValueError(
            f"{config.loss} raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(values, Tensor) or tuple(values.shape) != (len(images),):
        raise ValueError(
            f"{config.loss} gives {_shape(values)} for a batch of {len(images)}; "
            f"({len(images)},) is needed: one value per sample (reduction='none')."
        )
    if not values.is_floating_point():
        raise ValueError(f"{config.loss} gives {values.dtype}, not float32.")
    if not torch.isfinite(values).all():
        raise ValueError(
            f"{config.loss} of {name} at init is not finite on the first {len(images)} "
            "training samples."
        )


def _check_logits(
    config: TrainConfig, logits: Any, num_samples: int, num_classes: int
) -> None:
    wanted = (num_samples, num_classes)
    if not isinstance(logits, Tensor) or tuple(logits.shape) != wanted:
        raise ValueError(
            f"{config.model} gives {_shape(logits)} for a batch of {num_samples}; "
            f"{wanted} is needed: one logit for each of {num_classes} classes."
        )


def _shape(value: Any) -> str:
    return str(tuple(value.shape) if isinstance(value, Tensor) else type(value))


def _check_batches(
    config: TrainConfig, model: ModuleModel, state: State, last: Mapping[int, str]
) -> None:
    """Refuse batches that the network cannot be trained on: batch norm needs two.

    `last` are the sizes of the last batches of all epochs, and of draws, with a name.

    Raises:
        ValueError: It fails on one, or gives no logits in train mode, or others for the
            same seed and state.
    """
    for size, name in last.items():
        samples = model.samples(model.data.train_images[:size])
        try:
            logits = _trained(model, state, samples)
        except Exception as error:
            raise ValueError(
                f"{name}: {config.model} cannot be trained on a batch of {size} "
                f"training samples: {error}"
            ) from error
        _check_logits(config, logits, len(samples), model.data.num_classes)
        if not _alike(logits, _trained(model, state, samples)):
            raise ValueError(
                f"{config.model}: in train mode it gives two results for one batch, "
                "one seed and one state; it must depend on nothing but its inputs, "
                "parameters and buffers, and draw by torch, NumPy or random, whose "
                "generators raybs seeds."
            )


def _trained(model: ModuleModel, state: State, samples: Tensor) -> Any:
    """Return what the network gives in train mode, at a copy of `state`."""
    module = model.bound(select(state, [0]), 0).train()
    with torch.no_grad(), seeded(0, MODULE_TRAINING_STREAM):
        return module(samples.clone())


def _alike(one: Tensor, other: Tensor) -> bool:
    """Tell whether they are equal but for rounding."""
    one, other = one.float(), other.float()
    largest = float(one.abs().nan_to_num().max())
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5 * largest, equal_nan=True)


def _last_batches(
    configs: Sequence[TrainConfig], cells: Sequence[Cell], num_samples: int
) -> dict[int, str]:
    """Return the sizes of last batches, up to `NUM_SAMPLES`, each with what has it."""
    last: dict[int, str] = {}
    for config in configs:
        for phase in config.phases:
            ends = [num_samples] if phase.epochs or phase.steps else []
            for end in [*ends, *([phase.samples] if phase.samples else [])]:
                name = f"'{label(config)}', the last batch of {end} samples"
                size = end % phase.batch_size or phase.batch_size
                last.setdefault(min(size, NUM_SAMPLES), name)
    for cell in cells:
        if not cell.frozen:  # in eval mode
            size = cell.num_samples % cell.batch_size or cell.batch_size
            name = f"regime '{cell.regime}', draws at batch size {cell.batch_size}"
            last.setdefault(min(size, NUM_SAMPLES), name)
    return last


def _check_layers(module: nn.Module, weights: Sequence[str], cell: Cell) -> None:
    """Refuse layers of draws that the network does not have, or does not train.

    Raises:
        ValueError: One is such.
    """
    num, layers = len(weights), cell.layers
    if not all(layer in range(-num, num) for layer in layers):
        known = f"{-num} to {num - 1}, of {', '.join(weights)}"
        raise ValueError(f"layers={layers} of {cell.config.model}; use {known}.")
    if len({layer % num for layer in layers}) < len(layers):
        raise ValueError(f"layers={layers} of {cell.config.model}; give each once.")
    own = dict(module.named_parameters())
    for layer in layers:
        if not own[weights[layer]].requires_grad:
            raise ValueError(
                f"layers={layers} of {cell.config.model}: {weights[layer]} is frozen, "
                "so that it has no gradient; draw others."
            )


def _probe(config: TrainConfig, model: ModuleModel, state: State) -> dict[str, float]:
    """Return what tells the network from another one, by what it is.

    At init and on a fixed batch: the loss in train mode, the norm of its gradient by
    each parameter, and then the loss in eval mode, by buffers that have seen the batch.

    Raises:
        ValueError: It has no gradient.
    """
    copied = select(state, [0])
    module = model.bound(copied, 0).train()
    data: Dataset = model.data
    own = dict(module.named_parameters())
    taught = [name for name, parameter in own.items() if parameter.requires_grad]
    with torch.enable_grad(), seeded(0, MODULE_TRAINING_STREAM):
        loss = _loss(model, module)
        if not loss.requires_grad:
            raise ValueError(
                f"{config.model}: nothing of it can be trained; its loss has no "
                "gradient by any parameter."
            )
        try:
            gradients = torch.autograd.grad(
                loss, [own[name] for name in taught], materialize_grads=True
            )
        except RuntimeError as error:
            raise ValueError(
                f"{config.model} has no gradient on its first "
                f"{len(data.train_labels)} training samples: {error}"
            ) from error
    probe = {"the loss on a fixed batch": float(loss.detach())}
    for name, gradient in zip(taught, gradients, strict=True):
        probe[f"the gradient of {name} on a fixed batch"] = float(gradient.norm())
    with torch.no_grad(), seeded(0, MODULE_TRAINING_STREAM):
        loss = _loss(model, module.eval())
    return probe | {"the loss on a fixed batch in eval mode": float(loss)}


def _loss(model: ModuleModel, module: nn.Module) -> Tensor:
    data = model.data
    logits = module(model.samples(data.train_images.clone())).float()
    return model.loss(logits, data.train_labels).mean()
