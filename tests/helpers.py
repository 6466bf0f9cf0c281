"""Real data, small, and what many tests ask of rows, records and charts."""

import functools
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest

import raybs
from raybs.config import Phase, TrainConfig, TrainSweep
from raybs.config.catalog import find_sweep
from raybs.config.keys import TRAINER_VERSION
from raybs.datasets.dataset import Arrays, describe, load_arrays
from raybs.datasets.tensors import Dataset
from raybs.plan.plan import Plan, make_plan
from raybs.plan.requests import requests
from raybs.store.opening import open_store
from raybs.store.store import Store


@dataclass(frozen=True, kw_only=True)
class Subset:
    """230 training and 100 test samples of MNIST; 230 leaves short last batches."""

    name: str
    arrays: Arrays
    data: Dataset

    def config(self, *phases: tuple[int, float, int], **fields: object) -> TrainConfig:
        """A small MLP through phases of (batch_size, learning_rate, epochs)."""
        named = [
            Phase(batch_size=size, learning_rate=rate, epochs=epochs)
            for size, rate, epochs in phases
        ]
        fields = {"hidden": (16, 12), "dataset": self.name} | fields
        return TrainConfig(phases=tuple(named), **fields)  # type: ignore[arg-type]


def save_subset(path: Path) -> None:
    mnist = load_arrays("mnist")
    np.savez(
        path,
        x_train=mnist.x_train[:230],
        y_train=mnist.y_train[:230].astype(np.uint8),
        x_test=mnist.x_test[:100],
        y_test=mnist.y_test[:100].astype(np.uint8),
    )


SWEEP = '''"""A small net on a subset, with a fork."""
from raybs import Phase, TrainConfig, TrainSweep

def config(*phases, **fields):
    named = [Phase(batch_size=b, learning_rate=r, epochs=n) for b, r, n in phases]
    return TrainConfig(
        phases=tuple(named), dataset={dataset!r}, hidden=(16, 12), **fields
    )

start = (64, 0.05, 2)
SWEEP = TrainSweep(
    configs=(
        config(start, (8, 0.01, {epochs})),
        config(start, (64, 0.1, 3)),
        config((8, 1e9, 3), (8, 0.1, 1)),
        config((32, 0.01, 3), optimizer="adam"),
    ),
)
'''


def undisturbed(file: str) -> list[dict[str, object]]:
    """The rows of a sweep file, trained without Ray; once for all that ask the same."""
    return _trained(file, Path(file).read_text())


@functools.cache
def _trained(file: str, text: str) -> list[dict[str, object]]:
    raybs.run(find_sweep(file)[2], results="undisturbed", local=True)
    return numbers(open_store("undisturbed"))


def _can_mount() -> bool:
    if not shutil.which("unshare"):
        return False
    words = "unshare --mount mount -t tmpfs none /mnt".split()
    return subprocess.run(words, capture_output=True).returncode == 0


mounts = pytest.mark.skipif(not _can_mount(), reason="nothing can be mounted here")
"""For what is seen by one process alone, or is full: as root, on Linux."""


def plan_of(configs: list[TrainConfig], store: Store, **fields: int) -> Plan:
    """Plan `configs` against what `store` holds."""
    found = requests(TrainSweep(configs=tuple(configs), **fields), describe)
    return make_plan(found, store.read_statuses(), store.state_files().keys())


def datasets(plan: Plan) -> dict[str, Arrays]:
    """Read the datasets of `plan`, as a launcher takes them."""
    names = {stretch.config.dataset for stretch in plan.stretches}
    return {name: load_arrays(name) for name in names}


def numbers(store: Store) -> list[dict[str, object]]:
    """All rows without what may differ between equal runs: time and pack size.

    NaN, which equals nothing, becomes "nan": everything else must be equal to the bit.
    """
    timed = ["seconds", "training_seconds", "num_replicas"]
    rows = store.read_rows().drop_columns(timed).to_pylist()
    for row in rows:
        row.update({name: "nan" for name, value in row.items() if value != value})
        row.update({name: str(v) for name, v in row.items() if isinstance(v, list)})
    return sorted(rows, key=lambda row: str(row["state_key"]))


def gamma(roundings):
    """The largest relative error of so many roundings to float32.

    Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1.
    """
    unit = 2.0**-24
    return roundings * unit / (1 - roundings * unit)


COSINES = [0.9, 0.8, 0.7]


def row(key, epoch, accuracy, status="complete", **fields):
    value = float("nan") if status == "diverged" else accuracy
    return {
        "state_key": key,
        "epoch": epoch,
        "train_loss": 1 - value,
        "train_accuracy": value + 0.01,
        "test_loss": 1 - value,
        "test_accuracy": value,
        "weight_distance": 10 * value,
        "bias_distance": value,
        "weight_norm": 44.0,
        "bias_norm": value,
        "layer_distance": [value] * 3,
        "cosine_to_init": COSINES,
        "weight_names": "",
        "seconds": 1.5,
        "device": "cpu",
        "num_threads": 1,
        "torch_version": "2",
        "status": status,
    } | fields


def record(store: Store, name: str, sweep: TrainSweep, failed=None, **fields):
    value = asdict(sweep) | {
        "title": f"About {name}.",
        "trainer_version": TRAINER_VERSION,
        "fingerprints": dict.fromkeys((c.dataset for c in sweep.configs), "f"),
        "failed": failed or {},
    }
    store.write_record("sweeps", name, value | fields)


def fields_of(spec, data=None):
    """Every (field, frame's columns) that a chart reads."""
    if isinstance(spec, dict):
        data = spec.get("data", data)
        for name, value in spec.items():
            if name == "field":
                yield value, data
            elif name != "datasets":
                yield from fields_of(value, data)
    elif isinstance(spec, list):
        for value in spec:
            yield from fields_of(value, data)


def check_fields(chart, more_than):
    """Every field that `chart` reads is a column, with a value in every row."""
    spec = chart.to_dict()
    found = list(fields_of(spec))
    assert len(found) > more_than
    for field, data in found:
        rows = spec["datasets"][data["name"]]
        assert rows, f"{field}: an empty frame"
        assert all(row.get(field) is not None for row in rows), field
