"""Several nodes, each its own Ray processes: they come, go, hang, and do not fit."""

import shutil
from pathlib import Path

import numpy as np
from clusters import Cluster, free_port
from helpers import mounts, numbers, undisturbed
from waits import finish, wait_for

import raybs
from raybs.launch.ray.health import CHECKS
from raybs.store.opening import open_store


def kept():
    return len(list(Path("results/states").glob("*")))


def test_nodes_go_and_another_joins_half_way_and_the_rows_are_the_same(sweep_file):
    expected = undisturbed(sweep_file(epochs=400))
    with Cluster(2) as cluster:
        sweep = cluster.sweep("mine.py")
        try:
            wait_for(kept, sweep)
            for node in [*cluster.nodes]:  # whichever had the long one
                cluster.remove(node)
            cluster.add()
            said = finish(sweep)[0]
        finally:
            sweep.kill()
        assert sweep.returncode == 0, said
        assert "its node is gone" in said
        assert numbers(open_store("results")) == expected
        status, said = cluster.run("raybs.doctor")
        assert (status, "FAULT" in said) == (0, False), said
        assert "2 nodes" in said


def changed_copy(folder):
    """Another raybs: its code differs, and it reads datasets differently."""
    path = folder / "raybs"
    shutil.copytree(Path(raybs.__file__).parent, path)
    sources = path / "datasets/sources.py"
    text = sources.read_text()
    assert "digest = hashlib.sha256()" in text
    sources.write_text(
        text.replace("digest = hashlib.sha256()", "digest = hashlib.md5()")
    )
    return str(folder)


@mounts
def test_doctor_names_every_fault_that_is_planted_in_nodes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken/raybs").mkdir(parents=True)
    (tmp_path / "broken/raybs/__init__.py").write_text("raise ImportError('broken')")
    (tmp_path / "tiny").mkdir()
    x, y = np.zeros((150_000, 28, 28), np.uint8), np.arange(150_000) % 2
    x[0] = 1
    np.savez("large.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    open_store("results", create=True)
    results, tiny = tmp_path / "results", tmp_path / "tiny"
    with Cluster() as cluster:
        cluster.add(PYTHONPATH=changed_copy(tmp_path / "changed"))
        cluster.add(PYTHONPATH=str(tmp_path / "broken"))
        cluster.add("--num-gpus=2", TMPDIR=str(tiny), mount=f"-osize=9M none {tiny}")
        cluster.add(mount=f"none {results}")
        cluster.wait_joined()
        status, said = cluster.run("raybs.doctor", "--dataset", "large.npz")
        assert status == 1, said
        for fault in (
            "ImportError: broken",
            "this driver",
            "has raybs",
            "the dataset arrives changed",
            "Ray hands out 2 GPUs, torch sees 0",
            "left for temporary files",
            "the object store holds 105 MB, the dataset takes 118 MB",
            "no format.json",
        ):
            assert fault in said
        named = {c for c in CHECKS if f"FAULT  {c}" in said}
        assert named == {*CHECKS} - {"authentication", "dashboard"}
        # A sweep sees the cheap part of it, and trains nothing.
        status, said = cluster.run(
            "raybs.sweep", "lr_compensation", "--gpus-per-trial", "0"
        )
        assert status == 2, said
        assert "no format.json" in said
        assert "Traceback" not in said
        assert not list((results / "rows").iterdir())


def test_doctor_names_a_cluster_that_is_open_to_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ports = (f"--dashboard-port={free_port()}", "--dashboard-host=0.0.0.0")
    with Cluster(head=ports, RAY_AUTH_MODE="disabled") as cluster:
        status, said = cluster.run("raybs.doctor")
    assert status == 1, said
    assert "FAULT  dashboard" in said
    assert "and with it the Jobs API" in said
    port = cluster.address.partition(":")[2]
    assert f":{port} lets in a wrong token" in said
    assert "answers without a token" in said
