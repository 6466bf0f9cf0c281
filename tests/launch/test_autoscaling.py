"""Ray's autoscaler, with its provider of nodes that are processes of this machine."""

import json
import subprocess
import sys

import yaml
from clusters import Cluster, free_port
from helpers import numbers, undisturbed
from waits import finish, run, wait_for

from raybs.store.opening import open_store

HEAD_ID = "f" * 51 + "00000"
PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
EMPTY = (
    *("initialization_commands", "setup_commands", "head_setup_commands"),
    *("worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands"),
    *("cluster_synced_files", "rsync_exclude", "rsync_filter"),
)
CONFIG = {
    "cluster_name": "raybs",
    "max_workers": 2,
    "idle_timeout_minutes": 0.1,
    "provider": {
        "type": "external",
        "module": PROVIDER,
        "head_node_id": HEAD_ID,
        "launch_multiple": True,
    },
    "auth": {},
    "file_mounts": {},
    "file_mounts_sync_continuously": False,
    "head_node_type": "ray.head.default",
    "available_node_types": {
        "ray.head.default": {
            "resources": {"CPU": 0},
            "node_config": {},
            "max_workers": 0,
        },
        "worker": {
            "resources": {"CPU": 1},
            "node_config": {},
            "min_workers": 0,
            "max_workers": 2,
        },
    },
    **{name: [] for name in EMPTY},
}
SETTINGS = {
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "RAY_FAKE_CLUSTER": "1",
    "RAY_enable_autoscaler_v2": "1",
    "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
}


def num_workers(cluster):
    """How many nodes but the head are alive, as Ray says."""
    code = (
        "import json, ray; ray.init(logging_level='ERROR', log_to_driver=False);"
        "print(json.dumps([n['Resources'].get('CPU', 0) for n in ray.nodes()"
        " if n['Alive']]))"
    )
    environment = cluster.environment | {"RAY_ADDRESS": cluster.address}
    words = [sys.executable, "-c", code]
    done = run(words, env=environment, stderr=subprocess.PIPE)
    return sum(json.loads(done.stdout.splitlines()[-1]))


def test_a_cluster_grows_from_0_to_2_workers_for_a_sweep_and_shrinks_again(
    sweep_file, tmp_path
):
    expected = undisturbed(sweep_file(epochs=1500))
    config, port = tmp_path / "autoscaling.yaml", free_port()
    provider = CONFIG["provider"] | {"gcs_address": f"127.0.0.1:{port}"}
    config.write_text(yaml.safe_dump(CONFIG | {"provider": provider}))
    head = (f"--autoscaling-config={config}", "--include-dashboard=false")
    with Cluster(head=head, port=port, **SETTINGS) as cluster:
        assert num_workers(cluster) == 0
        said = cluster.run("raybs.sweep", "mine.py")
        assert said[0] == 2
        assert "The cluster has no worker yet" in said[1]
        sweep = cluster.sweep("mine.py", "--gpus-per-trial", "0")
        try:
            wait_for(lambda: num_workers(cluster) == 2 or sweep.poll() is not None)
            said = finish(sweep)[0]
        finally:
            sweep.kill()
        assert sweep.returncode == 0, said
        assert numbers(open_store("results")) == expected
        wait_for(lambda: num_workers(cluster) == 0)
