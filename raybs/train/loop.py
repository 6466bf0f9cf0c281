"""The only training loop: a state, the epochs of a path, rows after each epoch."""

import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import torch

from raybs.config.keys import Epoch, num_steps, path
from raybs.config.status import Status
from raybs.config.trial import ResolvedConfig
from raybs.datasets.tensors import Dataset
from raybs.models.base import Model, make_model
from raybs.models.state import ORDER_STREAM, State, Steps, generator, select
from raybs.store.rows import Measurement
from raybs.train.measure import measure


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One epoch done: the state, and a row per replica, None where not measured.

    `configs` are those of the replicas that `rows` is about. A replica whose row says
    "diverged", or whose trial ends, is gone from the next epoch on. `seconds` are of
    training and measuring, `training_seconds` of training alone.
    """

    configs: tuple[ResolvedConfig, ...]
    state: State
    rows: Sequence[Measurement | None]
    seconds: float
    training_seconds: float


@torch.no_grad()
def train(
    configs: Sequence[ResolvedConfig],
    data: Dataset,
    *,
    model: Model | None = None,
    state: State | None = None,
    stop: int,
    measured: AbstractSet[int],
    ends: Callable[[ResolvedConfig], bool] = lambda config: False,
) -> Iterator[Progress]:
    """Carry `state` along the paths of `configs` to epoch `stop`.

    Trains R replicas on the device of `data`, one per config: equal but for seed and
    learning rates. `model` is theirs, if it is made already. `state` (None: init) holds
    R replicas after some epoch; it is changed in place; all configs are resolved.
    Yields after every epoch, and once before the first if the start is in `measured`.
    `ends` tells, after an epoch was yielded, whether the trial of a config goes no
    further.

    Raises:
        ValueError: A batch size exceeds the number of training samples.

    Units: loss in nats per sample (mean), accuracy a fraction, distances L2. The short
    last batch is kept: an epoch takes ceil(N / batch_size) steps. A replica whose loss
    or weights stop being finite is "diverged" at that epoch and leaves; the others go
    on. Source: article, "Problem statement".
    """
    configs = tuple(configs)
    paths = {config: path(config) for config in configs}
    model = model or make_model(configs[0], data)
    init = model.init(configs)
    # Training changes its tensors in place; the init stays for the distances.
    state = state or select(init, range(len(configs)))
    steps = model.steps(configs, state)
    alive = list(range(len(configs)))
    since = time.perf_counter()
    if state.epoch in measured:
        rows: Sequence[Measurement | None] = measure(state, init, data, model.scorer)
        yield _progress(configs, state, rows, since, training_seconds=0.0)
        alive = _alive(configs, rows, ends)
    while alive and state.epoch < stop:
        if len(alive) < len(configs):
            configs = tuple(configs[replica] for replica in alive)
            state, init = select(state, alive), select(init, alive)
            steps = model.steps(configs, state)
        since = time.perf_counter()
        epochs = [paths[config][state.epoch] for config in configs]
        state = train_epoch(state, data, steps, configs, epochs)
        finite = _finite(state)
        training_seconds = time.perf_counter() - since
        is_measured = state.epoch in measured
        rows = _rows(model, state, init, data, finite, is_measured=is_measured)
        yield _progress(configs, state, rows, since, training_seconds)
        alive = _alive(configs, rows, ends)


def train_epoch(
    state: State,
    data: Dataset,
    steps: Steps,
    configs: Sequence[ResolvedConfig],
    epochs: Sequence[Epoch],
) -> State:
    """Step once through the training samples, in the order of (seed, its number).

    `epochs` are those of the replicas, equal but for their learning rates. The order
    does not depend on the batch size, so that configs compare as pairs; it comes from
    no generator carried along, so that any epoch can be trained again alone.

    Raises:
        ValueError: The batch size exceeds the number of training samples.
    """
    epoch, number = epochs[0], state.epoch + 1
    if epoch.batch_size > data.num_samples:
        raise ValueError(
            f"batch_size={epoch.batch_size} exceeds the {data.num_samples} samples."
        )
    num_samples = epoch.samples or data.num_samples
    orders = [
        torch.from_numpy(
            generator(config.seed, ORDER_STREAM, number).permutation(data.num_samples)
        )
        for config in configs
    ]
    order = torch.stack(orders)[:, :num_samples].to(data.train_images.device)
    rates = [epoch.learning_rate for epoch in epochs]
    steps(order, epoch, rates, number)
    return replace(
        state,
        epoch=number,
        step=state.step + num_steps(epoch, data.num_samples),
        samples_seen=state.samples_seen + num_samples,
    )


def _finite(state: State) -> list[bool]:
    """Tell of each replica whether all weights are finite: one look per epoch."""
    sums = torch.stack([weight.flatten(1).sum(1) for weight in state.weights])
    return torch.isfinite(sums).all(0).tolist()


def _rows(
    model: Model,
    state: State,
    init: State,
    data: Dataset,
    finite: Sequence[bool],
    *,
    is_measured: bool,
) -> list[Measurement | None]:
    """Measure all replicas, or only those whose weights are not `finite`."""
    if all(finite) and not is_measured:
        return [None] * len(finite)
    rows: list[Measurement | None] = []
    measured = measure(state, init, data, model.scorer)
    for row, is_finite in zip(measured, finite, strict=True):
        if not is_finite:
            row["status"] = Status.DIVERGED
        rows.append(row if is_measured or not is_finite else None)
    return rows


def _progress(
    configs: tuple[ResolvedConfig, ...],
    state: State,
    rows: Sequence[Measurement | None],
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
    rows: Sequence[Measurement | None],
    ends: Callable[[ResolvedConfig], bool],
) -> list[int]:
    """Return the replicas that go on."""
    return [
        replica
        for replica, (config, row) in enumerate(zip(configs, rows, strict=True))
        if not (is_diverged(row) or ends(config))
    ]


def is_diverged(row: Measurement | None) -> bool:
    """Tell whether a replica's row, if it was measured, says that it diverged."""
    return row is not None and row["status"] == Status.DIVERGED
