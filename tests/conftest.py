"""Fixtures that all tests share, and what each test needs: its marks and its turn."""

import functools
import os
import shutil
import time
from pathlib import Path

import pytest
import torch
from clusters import Cluster, processes
from helpers import SWEEP, Subset, save_subset
from waits import GRACE, Patience
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from analysis.charts import theme
from raybs.datasets.dataset import load_arrays
from raybs.datasets.tensors import to_device
from raybs.launch import local
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


SESSION = "RAYBS_TESTS"
"""The variable that tells processes which these tests started from all others."""

os.environ[SESSION] = str(os.getpid())

TURNS = ("ray", "browser", "slow", "quick")
"""What has the first of these marks comes first: it takes longest, and waits most."""

APART = ("test_cluster.py", "test_faults.py", "test_interrupts.py", "test_tasks.py")
"""Files whose tests each start a Ray of their own: any process takes any of them."""


@pytest.hookimpl(tryfirst=True)  # before -m picks by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what a test needs, where that can be seen; what needs nothing is quick."""
    turns: dict[str, int] = {}
    for item in items:
        if getattr(item.module, "Cluster", None) is Cluster:
            item.add_marker("ray")
        if "browser" in item.fixturenames:
            item.add_marker("browser")
        marks = {mark.name for mark in item.iter_markers()}
        if marks.isdisjoint(TURNS):
            item.add_marker("quick")
        turn = min(TURNS.index(name) for name in {*marks, "quick"} & {*TURNS})
        turns[together(item.nodeid)] = min(turn, turns.get(together(item.nodeid), turn))
    items.sort(key=lambda item: turns[together(item.nodeid)])


def together(nodeid: str) -> str:
    """Name what runs in one process: a file, whose tests share what one has made.

    Where each starts a Ray of its own, they do not.
    """
    file = nodeid.partition("::")[0]
    return nodeid if Path(file).name in APART else file


class Scheduler(LoadScopeScheduling):
    """Gives the next process that is free what comes next."""

    def _split_scope(self, nodeid: str) -> str:
        return together(nodeid)


def pytest_xdist_make_scheduler(
    config: pytest.Config, log: Producer
) -> LoadScopeScheduling:
    return Scheduler(config, log)


def left_running() -> list[str]:
    """The words of processes that were started from here, wherever they are now."""
    mark = f"{SESSION}={os.getpid()}".encode()
    left = []
    for pid, words in processes().items():
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:  # it has ended
            continue
        if mark in variables and "multiprocessing.resource_tracker" not in words:
            left.append(words)
    return left


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A copy of docs/reference: what is broken in a results folder is set aside."""
    stored = Path(__file__).parents[1] / "docs/reference"
    return shutil.copytree(stored, str(tmp_path_factory.mktemp("docs") / "reference"))


@pytest.fixture(scope="session", autouse=True)
def leave_no_process():
    """At the end, all that tests have started has ended, or is about to."""
    yield
    patience = Patience(GRACE)
    while (left := left_running()) and patience.lasts(left):
        time.sleep(0.1)
    assert left == []


@pytest.fixture(scope="session", autouse=True)
def measured_once():
    """Each results folder asks how fast this machine is: half a second of CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "probe", functools.cache(local.probe))
        yield


@pytest.fixture(autouse=True)
def undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rendering a chart takes a second: only where one is looked at, not for."""
    if "drawing" not in request.keywords:
        monkeypatch.setattr(theme, "_rendered", lambda spec, kind: b"")


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
