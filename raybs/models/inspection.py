"""Tries a network before anything trains: is it one, how large, how fast, which one."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from raybs.config.trial import TrainConfig, label
from raybs.datasets.dataset import Arrays
from raybs.datasets.tensors import Dataset, to_device
from raybs.models.module import ModuleModel
from raybs.models.seeding import MODULE_TRAINING_STREAM, seeded
from raybs.models.state import State, select
from raybs.store.networks import Network

NUM_SAMPLES = 64
"""Of the probe batch: the first training samples."""

BATCH_SIZES = (1, 16, 64)
"""Whose steps are timed, until one takes `LONG` seconds."""

LONG = 0.25


def inspect_network(configs: Sequence[TrainConfig], arrays: Arrays) -> Network:
    """Try the network that `configs` share, equal but for seed, phases and optimizer.

    Raises:
        ValueError: It cannot be trained on this dataset; nothing was started.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a trial has them by default
    try:
        return _inspect(configs, arrays)
    finally:
        torch.set_num_threads(threads)


def _inspect(configs: Sequence[TrainConfig], arrays: Arrays) -> Network:
    config = configs[0]
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
    for one in configs:
        _check_batches(one, model, state, len(arrays.y_train))
    probe = _probe(config, model, state)
    if probe != _probe(config, model, state):
        raise ValueError(
            f"{config.model}: in eval mode it gives two results for one batch and one "
            "seed; it must depend on nothing but its inputs, parameters and buffers."
        )
    names = state.names
    assert names is not None
    shapes = [tuple(weight.shape[1:]) for weight in state.weights]
    parameters = state.weights + state.biases
    return Network(
        weights=tuple(zip(names.weights, shapes, strict=True)),
        num_parameters=sum(p[0].numel() for p in parameters),
        num_buffers=sum(buffer[0].numel() for buffer in state.buffers),
        step_seconds=_step_seconds(config, model, state),
        sample_seconds=_sample_seconds(model, state),
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
    """Refuse a network, or a loss, whose outputs are no logits, or no losses."""
    data, module = model.data, model.bound(state, 0)
    images, labels = data.train_images, data.train_labels
    shape, name = data.shape, config.model
    module.eval()
    samples = model.samples(images)
    try:
        with torch.no_grad(), seeded(0, MODULE_TRAINING_STREAM):
            logits = module(samples)
    except Exception as error:
        raise ValueError(
            f"{name} fails on a batch of shape {tuple(samples.shape)}, samples of "
            f"{shape}: {type(error).__name__}: {error}"
        ) from error
    wanted = (len(images), data.num_classes)
    if not isinstance(logits, Tensor) or tuple(logits.shape) != wanted:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits)
        raise ValueError(
            f"{name} gives {got} for a batch of {len(images)}; {wanted} is needed: one "
            f"logit for each of {data.num_classes} classes."
        )
    try:
        values = model.loss(logits.float(), labels)
    except Exception as error:
        raise ValueError(
            f"{config.loss} raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(values, Tensor) or tuple(values.shape) != (len(images),):
        got = tuple(values.shape) if isinstance(values, Tensor) else type(values)
        raise ValueError(
            f"{config.loss} gives {got} for a batch of {len(images)}; "
            f"({len(images)},) is needed: one value per sample (reduction='none')."
        )
    if not torch.isfinite(values).all():
        raise ValueError(
            f"{config.loss} of {name} at init is not finite on the first {len(images)} "
            "training samples."
        )


def _check_batches(
    config: TrainConfig, model: ModuleModel, state: State, num_samples: int
) -> None:
    """Refuse batches that the network cannot be trained on: batch norm needs two."""
    for size in sorted({phase.batch_size for phase in config.phases}):
        last = num_samples % size or size
        module = model.bound(select(state, [0]), 0).train()
        part = model.samples(model.data.train_images[: min(last, NUM_SAMPLES)])
        try:
            with torch.no_grad(), seeded(0, MODULE_TRAINING_STREAM):
                module(part)
        except Exception as error:
            which = (
                "batches" if last == size else f"the last batch of batch size {size}"
            )
            raise ValueError(
                f"'{label(config)}': {config.model} cannot be trained on {which}, of "
                f"{last} of {num_samples} training samples: {error}"
            ) from error


def _probe(config: TrainConfig, model: ModuleModel, state: State) -> tuple[float, ...]:
    """Return the loss at init on a fixed batch, and its gradient norms by weight."""
    module = model.bound(select(state, [0]), 0).eval()
    data: Dataset = model.data
    assert state.names is not None
    own = dict(module.named_parameters())
    weights = [own[name] for name in state.names.weights]
    taught = [weight for weight in weights if weight.requires_grad]
    with torch.enable_grad(), seeded(0, MODULE_TRAINING_STREAM):
        logits = module(model.samples(data.train_images)).float()
        loss = model.loss(logits, data.train_labels).mean()
        if not loss.requires_grad:
            raise ValueError(
                f"{config.model}: nothing of it can be trained; its loss has no "
                "gradient by any parameter."
            )
        gradients = torch.autograd.grad(loss, taught, materialize_grads=True)
    norms = {id(w): float(g.norm()) for w, g in zip(taught, gradients, strict=True)}
    return (float(loss.detach()), *(norms.get(id(weight), 0.0) for weight in weights))


def _step_seconds(
    config: TrainConfig, model: ModuleModel, state: State
) -> tuple[tuple[int, float], ...]:
    seconds: list[tuple[int, float]] = []
    plain = TrainConfig(phases=config.phases, model=config.model, loss=config.loss)
    for size in BATCH_SIZES:
        copied = select(state, [0])
        step = model.step(plain, copied, 0)
        module: nn.Module = model.bound(copied, 0).train()
        images = model.data.train_images[:size][None]
        labels = model.data.train_labels[:size][None]

        def take() -> None:
            step(images, labels, [1e-6], size)  # noqa: B023  # called at once

        try:
            with seeded(0, MODULE_TRAINING_STREAM):
                seconds.append((size, _seconds(take)))
        except (ValueError, RuntimeError):  # batch norm of one sample
            continue
        if seconds[-1][1] > LONG:
            break
        del module
    return tuple(seconds)


def _sample_seconds(model: ModuleModel, state: State) -> float:
    score = model.scorer(state, NUM_SAMPLES)
    data = model.data

    def take() -> None:
        with torch.no_grad():
            score(data.train_images, data.train_labels)

    return _seconds(take) / len(data.train_labels)


def _seconds(call: Callable[[], None]) -> float:
    """Return the least seconds of three calls, or of as many as there is time for."""
    call()
    best, start = float("inf"), time.perf_counter()
    for _ in range(3):
        before = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - before)
        if time.perf_counter() - start > LONG:
            break
    return max(best, 1e-7)
