"""What trials ask of their paths: epochs, rows, states that stay."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from raybs.config.keys import resolved, state_keys
from raybs.config.sweep import TrainSweep, first_met
from raybs.config.trial import ResolvedConfig, label
from raybs.datasets.dataset import DatasetInfo


@dataclass(frozen=True, kw_only=True)
class Request:
    """One trial as asked for: its config, its keys, and the rows wanted.

    It may end before its last epoch, at the first row that meets `until`; `stop` is the
    epoch of that row, where it is stored.
    """

    config: ResolvedConfig
    info: DatasetInfo
    keys: list[str]
    measured: list[int]
    until: Mapping[str, float] = field(default_factory=dict)
    stop: int | None = None


def requests(
    sweep: TrainSweep, describe: Callable[[str], DatasetInfo]
) -> list[Request]:
    """Resolve the configs of `sweep` against their datasets.

    Raises:
        ValueError: A dataset is unknown, or a batch size exceeds its training samples.
    """
    resolved_requests = []
    for given in sweep.configs:
        info = describe(given.dataset)
        config = resolved(given, info.num_samples)
        for i, phase in enumerate(config.phases):
            if phase.batch_size > info.num_samples:
                raise ValueError(
                    f"'{label(config)}', phase {i}: batch_size={phase.batch_size} "
                    f"exceeds the {info.num_samples} training samples; use 1 to "
                    f"{info.num_samples}."
                )
        keys = state_keys(config, info.fingerprint)
        resolved_requests.append(
            Request(
                config=config,
                info=info,
                keys=keys,
                measured=sweep.measured(config),
                until=sweep.until,
            )
        )
    return resolved_requests


def with_stops(asked: Sequence[Request], rows: pa.Table) -> list[Request]:
    """Return `asked`, with where stored rows say that trials have ended.

    `rows` are all there are, with state_key and GOAL_COLUMNS.
    """
    by_key = {row["state_key"]: row for row in rows.to_pylist()}

    def stop(request: Request) -> int | None:
        keys = request.keys
        stored = [(k, by_key[keys[k]]) for k in request.measured if keys[k] in by_key]
        return first_met(request.until, stored)

    return [replace(r, stop=stop(r)) if r.until else r for r in asked]
