"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest
import torch
from helpers import SWEEP, Subset, save_subset

from raybs.datasets.dataset import load_arrays
from raybs.datasets.tensors import to_device
from raybs.store.opening import open_store
from raybs.store.store import Store

torch.set_num_threads(1)


# A Ray gives up on its own processes when they start slowly: here after ten minutes.
os.environ |= {
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "600",
    "RAY_gcs_server_port_wait_time_s": "600",
    "RAY_gcs_server_request_timeout_seconds": "600",
    "RAY_worker_register_timeout_seconds": "600",
}


@pytest.fixture(scope="session")
def subset(tmp_path_factory: pytest.TempPathFactory) -> Subset:
    path = tmp_path_factory.mktemp("data") / "subset.npz"
    save_subset(path)
    arrays = load_arrays(str(path))
    return Subset(name=str(path), arrays=arrays, data=to_device(arrays, "cpu"))


@pytest.fixture(scope="session")
def mnist() -> Subset:
    """All of MNIST."""
    arrays = load_arrays("mnist")
    return Subset(name="mnist", arrays=arrays, data=to_device(arrays, "cpu"))


@pytest.fixture
def sweep_file(tmp_path, monkeypatch, subset: Subset):
    monkeypatch.chdir(tmp_path)

    def write(epochs=3):
        Path("mine.py").write_text(SWEEP.format(dataset=subset.name, epochs=epochs))
        return "mine.py"

    return write


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "results"), create=True)
