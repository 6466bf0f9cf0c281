"""The only training loop: a state, the epochs of a path, rows after each epoch."""

import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

import torch

from raybs.config.keys import Epoch, num_steps, path
from raybs.config.trial import ResolvedConfig
from raybs.datasets.tensors import Dataset
from raybs.models.base import make_step, samples_per_call, take_steps
from raybs.models.mlp import init_state
from raybs.models.state import ORDER_STREAM, State, Step, generator, select
from raybs.train.measure import measure


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One epoch done: the state, and a row per replica, None where not measured.

    `configs` are those of the replicas that `rows` is about. A replica whose row says
    "diverged", or ends its trial, is gone from the next epoch on. `seconds` are of
    training and measuring, `training_seconds` of training alone.
    """

    configs: tuple[ResolvedConfig, ...]
    state: State
    rows: list[dict[str, Any] | None]
    seconds: float
    training_seconds: float


@torch.no_grad()
def train(
    configs: Sequence[ResolvedConfig],
    data: Dataset,
    *,
    state: State | None = None,
    stop: int,
    measured: AbstractSet[int],
    ends: Callable[[ResolvedConfig, dict[str, Any]], bool] = lambda config, row: False,
) -> Iterator[Progress]:
    """Carry `state` along the paths of `configs` to epoch `stop`.

    Trains R replicas on the device of `data`, one per config: equal but for seed and
    learning rates. `state` (None: init) holds R replicas after some epoch; it is
    changed in place; all configs are resolved. Yields after every epoch, and once
    before the first if the start is in `measured`. `ends` tells, after the row was
    yielded, whether its trial goes no further.

    Raises:
        ValueError: A batch size exceeds the number of training samples.

    Units: loss in nats per sample (mean), accuracy a fraction, distances L2. The short
    last batch is kept: an epoch takes ceil(N / batch_size) steps. A replica whose loss
    or weights stop being finite is "diverged" at that epoch and leaves; the others go
    on. Source: article, "Problem statement".
    """
    configs = tuple(configs)
    device = data.train_images.device.type
    num_features = data.train_images.shape[1]
    init = init_state(configs, num_features, data.num_classes, device)
    # Training changes its tensors in place; the init stays for the distances.
    state = state or select(init, range(len(configs)))
    step = make_step(configs, state)
    paths = [path(config) for config in configs]
    last = time.perf_counter()
    alive = list(range(len(configs)))
    if state.epoch in measured:
        rows: list[dict[str, Any] | None] = list(measure(state, init, data))
        yield _progress(configs, state, rows, last, 0.0)
        alive = _alive(configs, rows, ends)
    while state.epoch < stop:
        if not alive:
            return
        if len(alive) < len(configs):
            configs = tuple(configs[i] for i in alive)
            paths = [paths[i] for i in alive]
            state, init = select(state, alive), select(init, alive)
            step = make_step(configs, state)
        last = time.perf_counter()
        epoch = paths[0][state.epoch]
        if epoch.batch_size > data.num_samples:
            raise ValueError(
                f"batch_size={epoch.batch_size} exceeds the {data.num_samples} samples."
            )
        rates = [epochs[state.epoch].learning_rate for epochs in paths]
        seeds = [config.seed for config in configs]
        at_once = samples_per_call(configs[0], epoch.batch_size)
        state = train_epoch(state, data, step, epoch, rates, seeds, at_once)
        finite = _finite(state)
        training_seconds = time.perf_counter() - last
        if state.epoch in measured or not all(finite):
            rows = list(measure(state, init, data))
            for row, good in zip(rows, finite, strict=True):
                if row and not good:
                    row["status"] = "diverged"
            if state.epoch not in measured:
                pairs = zip(rows, finite, strict=True)
                rows = [None if good else row for row, good in pairs]
        else:
            rows = [None] * len(configs)
        yield _progress(configs, state, rows, last, training_seconds)
        alive = _alive(configs, rows, ends)


def train_epoch(
    state: State,
    data: Dataset,
    step: Step,
    epoch: Epoch,
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    at_once: int,
) -> State:
    """Step once through the training samples, in the order of (seed, its number).

    The order does not depend on the batch size, so that configs compare as pairs; it
    comes from no generator carried along, so that any epoch can be trained again alone.
    `step` gets `at_once` samples at a time.
    """
    number, num_samples = state.epoch + 1, epoch.samples or data.num_samples
    orders = [
        torch.from_numpy(
            generator(seed, ORDER_STREAM, number).permutation(data.num_samples)
        )
        for seed in seeds
    ]
    order = torch.stack(orders)[:, :num_samples].to(data.train_images.device)
    take_steps(data, order, step, epoch.batch_size, learning_rates, at_once)
    return replace(
        state,
        epoch=number,
        step=state.step + num_steps(epoch, data.num_samples),
        samples_seen=state.samples_seen + num_samples,
    )


def _finite(state: State) -> list[bool]:
    """Tell of each replica whether all weights are finite: one look per epoch."""
    sums = torch.stack([weight.sum((1, 2)) for weight in state.weights])
    return torch.isfinite(sums).all(0).tolist()


def _progress(
    configs: tuple[ResolvedConfig, ...],
    state: State,
    rows: list[dict[str, Any] | None],
    since: float,
    training_seconds: float,
) -> Progress:
    return Progress(
        configs=configs,
        state=state,
        rows=rows,
        seconds=time.perf_counter() - since,
        training_seconds=training_seconds,
    )


def _alive(
    configs: Sequence[ResolvedConfig],
    rows: Sequence[dict[str, Any] | None],
    ends: Callable[[ResolvedConfig, dict[str, Any]], bool],
) -> list[int]:
    """Return the replicas that go on."""
    return [
        i
        for i, (config, row) in enumerate(zip(configs, rows, strict=True))
        if not row or not (row["status"] == "diverged" or ends(config, row))
    ]
