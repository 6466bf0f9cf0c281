"""Asks every node of a cluster, through Ray, what it has and sees."""

import os
import secrets
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raybs.datasets.dataset import Arrays
from raybs.datasets.sources import fingerprint_of
from raybs.launch.ray.failures import last_line
from raybs.launch.ray.health import (
    CHECKS,
    Cluster,
    Node,
    faults,
    forget,
    is_seen,
    look,
    show,
)
from raybs.store.store import Store

ANSWER_SECONDS = 90.0
"""For which a node is waited for: a first import of torch takes a while."""


def check_nodes(store: Store) -> None:
    """See that all nodes run the same code and share the results folder.

    Raises:
        ValueError: They do not, so a sweep would fail.
    """
    wrong = faults(Cluster(nodes=ask_nodes(store)))
    if wrong:
        lines = [f"{message}.\n  {CHECKS[check]}" for check, message in wrong]
        raise ValueError("\n".join(["This cluster cannot run a sweep.", *lines]))


def ask_nodes(store: Store, arrays: Arrays | None = None) -> list[Node]:
    """Return what this driver and every living node say; with `arrays`, thoroughly.

    They are sent to all nodes, to see that they arrive.
    """
    nonce = secrets.token_hex(8)
    driver = Node(name="this driver", **look(thorough=arrays is not None))  # type: ignore[arg-type]
    reference = ray.put(arrays) if arrays is not None else None
    expected = _fingerprint(arrays)
    asked: dict[str, tuple[Mapping[str, Any], Any]] = {}
    try:
        show(store, nonce, "driver")
        for node_id, entry in _living().items():
            there = NodeAffinitySchedulingStrategy(node_id, soft=False)
            task = _remote().options(scheduling_strategy=there)
            asked[node_id] = (
                entry,
                task.remote(store.uri, node_id, nonce, reference),
            )
        until = time.monotonic() + ANSWER_SECONDS
        nodes = {
            node_id: _answer(*pair, expected, max(until - time.monotonic(), 0.1))
            for node_id, pair in asked.items()
        }
        for node_id, node in nodes.items():
            if not (node.results or node.error or is_seen(store, nonce, node_id)):
                unseen = f"what it writes to {store.uri} cannot be seen by this driver"
                nodes[node_id] = replace(node, results=unseen)
    finally:
        forget(store, nonce, ["driver", *asked])
    living = _living()  # those that went meanwhile are no fault
    return [driver, *(node for node_id, node in nodes.items() if node_id in living)]


def lets_in(dashboard: str) -> list[str]:
    """Return what of a cluster does not refuse those who have no token."""
    open_to_all = []
    if dashboard and _answers(f"http://{dashboard}/api/version"):
        open_to_all.append(f"the dashboard at {dashboard} answers without a token")
    address = ray.get_runtime_context().gcs_address
    said = _try_wrong_token(address)
    if said == "let in":
        open_to_all.append(f"the cluster at {address} lets in a wrong token")
    elif "Unauthenticated" not in said:
        tried = f"{address} was tried with a wrong token, and said: {said}"
        open_to_all.append(tried)
    return open_to_all


def _answers(url: str) -> bool:
    """Tell whether there is an answer to a request without a token."""
    # Whatever proxies are for, they are not for this.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5):
            return True
    except OSError:  # refused, or not to be reached from here
        return False


def _try_wrong_token(address: str) -> str:
    """Join the cluster with a wrong token; return what came of it, "let in" if it was.

    In a process of its own: this one has the right token.
    """
    code = f"import ray; ray.init(address={address!r}, log_to_driver=False)"
    wrong = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with subprocess.Popen(
        [sys.executable, "-c", f"{code}; print('let in', flush=True)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | wrong,
    ) as stranger:
        assert stranger.stdout
        at_last = threading.Timer(ANSWER_SECONDS, stranger.kill)
        at_last.start()
        said = "nothing"
        for line in stranger.stdout:  # it would go on trying for 20 seconds
            said = line.strip() or said
            if "Unauthenticated" in line or "let in" in line:
                break
        stranger.kill()
        at_last.cancel()
    return said


def _living() -> dict[str, Mapping[str, Any]]:
    """Return Ray's entries of all living nodes by their ids."""
    entries = ray.nodes()  # type: ignore[no-untyped-call]
    return {entry["NodeID"]: entry for entry in entries if entry["Alive"]}


def _remote() -> Any:
    def answer(uri: str, node_id: str, nonce: str, arrays: Arrays | None) -> Any:
        # Here, not above: this function goes by value, also to where raybs is missing.
        from raybs.launch.ray.health import look, try_results

        fields = look(thorough=arrays is not None)
        fields["results"] = try_results(uri, nonce, node_id)
        return fields, _fingerprint(arrays)

    # Not on a node's CPUs: they may be busy, and a head has none.
    return ray.remote(num_cpus=0, max_retries=0)(answer)


def _answer(
    entry: Mapping[str, Any], pending: Any, expected: str | None, seconds: float
) -> Node:
    name = f"node {entry['NodeManagerAddress']} ({entry['NodeID'][:6]})"
    claimed = {
        "claimed_gpus": entry["Resources"].get("GPU", 0.0),
        "object_store": entry["Resources"].get("object_store_memory"),
    }
    try:
        fields, fingerprint = ray.get(pending, timeout=seconds)
    except ray.exceptions.GetTimeoutError:
        return Node(name=name, error=f"no answer for {ANSWER_SECONDS:g} s")
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        return Node(name=name, error=last_line(cause))
    if fingerprint != expected:
        fields["data"] = "the dataset arrives changed"
    return Node(name=name, **claimed, **fields)


def _fingerprint(arrays: Arrays | None) -> str | None:
    if arrays is None:
        return None
    parts = ("x_train", "y_train", "x_test", "y_test")
    return fingerprint_of({part: getattr(arrays, part) for part in parts})
