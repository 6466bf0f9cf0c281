"""What the nodes of a cluster have and see, and what is wrong with it; no Ray."""

import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

from raybs.config.units import size
from raybs.store.opening import open_store
from raybs.store.store import Store

PACKAGES = ("ray", "torch", "numpy", "pyarrow", "safetensors")
"""Whose versions make numbers, or files, differ."""

LEAST_DISK = 10**9
"""Bytes free that a node needs for Ray's own files."""

PROBES = "probes"
"""Folder of a results folder for files that nodes show each other."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """What one node says of itself; `error` is why it could not say it.

    `results` says what is wrong with the results folder as seen from there, and `data`
    with a dataset sent there. `claimed_gpus` are those that Ray hands out, `seen_gpus`
    those that torch sees. Space is in bytes.
    """

    name: str
    error: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    results: str = ""
    data: str = ""
    claimed_gpus: float = 0.0
    seen_gpus: int | None = None
    free_disk: int | None = None
    object_store: float | None = None


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster: the driver first among its nodes, and who else may come in.

    `lets_in` says what was tried without a valid token and not refused; `dashboard` is
    its address, "" if there is none. `num_bytes` are those of the dataset sent.
    """

    nodes: Sequence[Node]
    dashboard: str = ""
    lets_in: Sequence[str] = ()
    num_bytes: int = 0


CHECKS = {
    "nodes": "Install the same wheel, raybs[cluster], in the Python that runs Ray; of "
    "a node without an answer see the load, and Ray's logs.",
    "versions": "Install the same wheel and pins on all nodes and restart Ray there; "
    "numbers would differ.",
    "results": "Give --results that all nodes share: s3://..., gs://..., or a folder "
    "of a network file system, mounted at the same path.",
    "dataset": "See that nodes reach each other's --object-manager-port.",
    "GPUs": "Mend the driver, or install a torch for it; or start that node with the "
    "right --num-gpus.",
    "authentication": "Set RAY_AUTH_MODE=token, with one token for all, before every "
    "`ray start`; restart Ray.",
    "dashboard": "Start the head with --dashboard-host=127.0.0.1; reach it through SSH "
    "(ray dashboard cluster.yaml).",
    "disk": "Make room there, or start Ray with another TMPDIR.",
    "shared memory": "Start that node with a larger --object-store-memory (in Docker, "
    "with a larger --shm-size).",
}
"""What is checked, and what to do about a fault."""


def versions() -> dict[str, str]:
    """Return what makes results differ: of Python, of packages, of our own code."""
    others = {name: importlib.metadata.version(name) for name in PACKAGES}
    digest = hashlib.sha256()
    package = Path(str(resources.files("raybs")))
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        digest.update(name.encode() + path.read_bytes())
    ours = digest.hexdigest()[:8]
    return {"python": platform.python_version(), **others, "raybs": ours}


def show(store: Store, nonce: str, name: str) -> None:
    """Leave a file in the results folder for the others to see."""
    store.write_record(PROBES, f"{nonce}-{name}", {})


def is_seen(store: Store, nonce: str, name: str) -> bool:
    """Tell whether that file is there; network file systems may list it later."""
    return store.files.holds(f"{PROBES}/{nonce}-{name}.json")


def forget(store: Store, nonce: str, names: Iterable[str]) -> None:
    """Delete what they left."""
    store.files.delete(f"{PROBES}/{nonce}-{name}.json" for name in names)


def try_results(uri: str, nonce: str, name: str) -> str:
    """Read and write the results folder as a worker does; return what is wrong."""
    try:
        store = Store(replace(open_store(uri).files, patience=0.0))
        if not is_seen(store, nonce, "driver"):
            return f"{uri} is another folder here than where the sweep was started"
        show(store, nonce, name)
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def look(*, thorough: bool) -> dict[str, object]:
    """Return what can be said of this machine, as fields of a Node."""
    fields: dict[str, object] = {"versions": versions()}
    if thorough:
        fields["seen_gpus"] = _count_gpus()
        fields["free_disk"] = shutil.disk_usage(tempfile.gettempdir()).free
    return fields


def _count_gpus() -> int:
    """Ask torch in a process of its own, from which Ray hides none."""
    hidden = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    code = "import torch; print(torch.cuda.device_count())"
    asked = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    return int(asked.stdout) if asked.stdout.strip().isdecimal() else 0


def faults(cluster: Cluster) -> list[tuple[str, str]]:
    """Return what is wrong with `cluster`: pairs of a check and a message."""
    driver, *nodes = cluster.nodes
    wrong = [fault for node in nodes for fault in _node_faults(node, driver, cluster)]
    host = urlsplit(f"//{cluster.dashboard}").hostname
    if host not in (None, "127.0.0.1", "localhost", "::1"):
        exposed = f"it listens on {cluster.dashboard}, and with it the Jobs API"
        wrong.append(("dashboard", exposed))
    return wrong + [("authentication", what) for what in cluster.lets_in]


def _node_faults(
    node: Node, driver: Node, cluster: Cluster
) -> Iterator[tuple[str, str]]:
    if node.error:
        yield "nodes", f"{node.name}: {node.error}"
        return
    for what, version in driver.versions.items():
        if (other := node.versions.get(what)) != version:
            yield "versions", f"{node.name} has {what} {other}, this driver {version}"
    for check, why in _own_faults(node):
        yield check, f"{node.name}: {why}"
    store = node.object_store
    if store is not None and store < cluster.num_bytes:
        needed = f"the dataset takes {size(cluster.num_bytes)}"
        small = f"{node.name}: the object store holds {size(int(store))}, {needed}"
        yield "shared memory", small


def _own_faults(node: Node) -> Iterator[tuple[str, str]]:
    if node.results:
        yield "results", node.results
    if node.data:
        yield "dataset", node.data
    if node.seen_gpus is not None and node.claimed_gpus > node.seen_gpus:
        claimed = f"Ray hands out {node.claimed_gpus:g} GPUs"
        yield "GPUs", f"{claimed}, torch sees {node.seen_gpus}"
    if node.free_disk is not None and node.free_disk < LEAST_DISK:
        left = f"{size(node.free_disk)} left for temporary files"
        yield "disk", f"{left}, {size(LEAST_DISK)} are needed"
