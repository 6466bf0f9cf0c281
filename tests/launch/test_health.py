"""Each fault of a cluster is named, alone, from what its nodes say."""

from dataclasses import replace

import pytest
from click.testing import CliRunner

from raybs.doctor import main, report
from raybs.launch.ray.health import (
    CHECKS,
    Cluster,
    Node,
    faults,
    forget,
    is_seen,
    show,
    try_results,
)
from raybs.store.opening import open_store

VERSIONS = {"python": "3.11.7", "torch": "2.15.0"}
NODE = Node(
    name="node 10.0.0.2 (abc)",
    versions=VERSIONS,
    claimed_gpus=1.0,
    seen_gpus=1,
    free_disk=10**10,
    object_store=1e9,
)
GOOD = Cluster(
    nodes=[Node(name="this driver", versions=VERSIONS), NODE],
    dashboard="127.0.0.1:8265",
    num_bytes=10**8,
)


def planted(**fields):
    return replace(GOOD, nodes=[GOOD.nodes[0], replace(NODE, **fields)])


def test_a_good_cluster_has_no_fault():
    assert faults(GOOD) == []
    lines = list(report(GOOD))
    assert sum("ok" in line.split() for line in lines) == len(CHECKS)


@pytest.mark.parametrize(
    ("check", "words", "cluster"),
    [
        ("nodes", "no raybs", planted(error="no raybs")),
        ("versions", "torch 2.1, this", planted(versions={**VERSIONS, "torch": "2.1"})),
        ("results", "no format.json", planted(results="no format.json")),
        ("dataset", "changed", planted(data="changed")),
        ("GPUs", "hands out 2 GPUs, torch sees 1", planted(claimed_gpus=2.0)),
        ("disk", "5 MB left", planted(free_disk=5 * 10**6)),
        ("shared memory", "holds 90 MB, the dataset", planted(object_store=9e7)),
        ("dashboard", "10.0.0.1:8265", replace(GOOD, dashboard="10.0.0.1:8265")),
        ("authentication", "The cluster", replace(GOOD, lets_in=["The cluster"])),
    ],
)  # fmt: skip
def test_each_fault_is_named_with_what_to_do(check, words, cluster):
    [(named, message)] = faults(cluster)
    assert named == check
    assert words in message
    lines = list(report(cluster))
    assert f"FAULT  {check}" in "\n".join(lines)
    assert any(CHECKS[check] in line for line in lines)


def test_a_folder_that_is_another_one_is_told_from_the_same(tmp_path):
    store = open_store(str(tmp_path / "one"), create=True)
    show(store, "n", "driver")
    assert try_results(store.uri, "n", "node") == ""
    assert is_seen(store, "n", "node")
    open_store(str(tmp_path / "other"), create=True)
    assert "another folder" in try_results(str(tmp_path / "other"), "n", "node")
    assert "no format.json" in try_results(str(tmp_path / "none"), "n", "node")
    forget(store, "n", ["driver", "node", "late"])
    assert not list((tmp_path / "one/probes").iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["--dataset", "nonsense"],
        ["--results", "s3:/x"],
        ["--address", "127.0.0.1:1"],
        ["--address", "[::1]:1"],
        ["--address", "http://127.0.0.1:8265"],
        ["--results", "/proc/here"],
    ],
)
def test_what_cannot_be_tried_is_said_in_words(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, words)
    wrong = "--dataset" in words or "://" in words[-1]
    assert done.exit_code == (2 if wrong else 1)
    assert "Traceback" not in done.output
    assert words[-1] in done.output
