"""What trials ask of their paths: epochs, rows, states that stay."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from raybs.code.source import read_source
from raybs.config.keys import fingerprint_of, resolved, state_keys
from raybs.config.sweep import TrainSweep, first_met
from raybs.config.trial import ResolvedConfig, label, own_code
from raybs.datasets.dataset import DatasetInfo
from raybs.store.networks import Network


@dataclass(frozen=True, kw_only=True)
class Request:
    """One trial as asked for: its config, its keys, and the rows wanted.

    It may end before its last epoch, at the first row that meets `until`; `stop` is the
    epoch of that row, where it is stored. `fingerprints` are those of the dataset and
    of a user's code, by name. Of a network that is not the built-in MLP planning needs
    to know what it is like (`raybs.models.inspection`). With `keep` the state where it
    ends stays stored, and is trained again where only its row is there.
    """

    config: ResolvedConfig
    info: DatasetInfo
    keys: list[str]
    measured: list[int]
    until: Mapping[str, float] = field(default_factory=dict)
    stop: int | None = None
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    network: Network | None = None
    keep: bool = False

    @property
    def fingerprint(self) -> str:
        """What identifies the content of its dataset and of its code."""
        return fingerprint_of(self.config, self.fingerprints)


def requests(
    sweep: TrainSweep, describe: Callable[[str], DatasetInfo]
) -> list[Request]:
    """Resolve the configs of `sweep` against their datasets.

    Raises:
        ValueError: A dataset is unknown, or a user's code, or a batch size exceeds the
            training samples.
    """
    code = {name for config in sweep.configs for name in own_code(config)}
    code_fingerprints = {name: read_source(name).fingerprint for name in code}
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
        names = own_code(config)
        fingerprints = {name: code_fingerprints[name] for name in names}
        fingerprints[config.dataset] = info.fingerprint
        keys = state_keys(config, fingerprint_of(config, fingerprints))
        resolved_requests.append(
            Request(
                config=config,
                info=info,
                keys=keys,
                measured=sweep.measured(config),
                until=sweep.until,
                fingerprints=fingerprints,
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
