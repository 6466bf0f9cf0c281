"""Real Ray clusters on this machine: a head, nodes that come and go, a token.

Each node is a set of processes, as on machines of their own.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from waits import cpu_times, patiently, run, wait_for

RAY = str(Path(sys.executable).parent / "ray")
TOKEN = secrets.token_hex(32)
MEMORY = 100 * 2**20  # bytes of object store
NO_DASHBOARD = ("--include-dashboard=false",)
SETTINGS = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": TOKEN,
    "RAY_USAGE_STATS_ENABLED": "0",
    # A node that is killed is noticed in seconds, since its port is closed. One that is
    # slow has a minute for each answer.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "60000",
    "RAY_health_check_failure_threshold": "3",
    # As in a Ray that a sweep starts: what would start at once finds no use.
    "RAY_prestart_worker_first_driver": "0",
}
JOINED = """
import sys, time
from ray._raylet import GcsClient
client = GcsClient(address=sys.argv[1])
while True:
    nodes = client.get_all_node_info().values()
    if sum(node.state == 0 for node in nodes) >= int(sys.argv[2]):  # alive
        break
    time.sleep(0.1)
"""


class Cluster:
    """A head without CPUs for trials; `add` nodes with one CPU, `remove` them.

    Those that it is made with have joined.

    The head gets `environment` besides.
    """

    def __init__(self, num_nodes=0, *, head=NO_DASHBOARD, port=None, **environment):
        self.environment = os.environ | SETTINGS
        self.environment.pop("RAY_ADDRESS", None)
        self.nodes = []
        # Short, since it holds sockets.
        self.folder = tempfile.TemporaryDirectory("", "rb", ignore_cleanup_errors=True)
        port = port or free_port()
        self.address = f"127.0.0.1:{port}"
        options = (f"--port={port}", f"--temp-dir={self.folder.name}", *head)
        self.started = []
        try:
            self.head = self._start("--head", "--num-cpus=0", *options, **environment)
            for _ in range(num_nodes):
                self.add()
            self.wait_joined()
        except BaseException:
            self.__exit__()
            raise

    def add(self, *options, mount=None, **environment):
        """Start a node; it joins within seconds.

        For it alone `mount` is mounted: options, a file system in memory, and where.
        """
        arguments = (f"--address={self.address}", "--num-cpus=1", *options)
        self.nodes.append(self._start(*arguments, mount=mount, **environment))
        return self.nodes[-1]

    def wait_joined(self):
        """Wait until the head and all nodes that were added are known as alive.

        A node's processes are there a while before its cluster knows it.
        """
        num_nodes = str(1 + len(self.nodes))
        words = [sys.executable, "-c", JOINED, self.address, num_nodes]
        done = run(words, env=self.environment)
        assert done.returncode == 0, done.stdout

    def remove(self, node):
        """End a node at once, as a spot instance goes."""
        self.nodes.remove(node)
        _kill(node)

    def workers(self):
        """Process ids of all workers that are at work."""
        found = processes()
        ours = {pid for pid, words in found.items() if self.folder.name in words}
        return [
            pid
            for pid, words in found.items()
            if words.startswith(("ray::Stretch", "ray::take_chunk", "ray::Resource"))
            and _parent(pid) in ours
        ]

    def sweep(self, *arguments, **options):
        """Start a sweep on this cluster, in a process of its own."""
        return subprocess.Popen(
            patiently("raybs.sweep", *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment | {"RAY_ADDRESS": self.address},
            **options,
        )

    def run(self, *arguments, **environment):
        """Run a module of python -m on this cluster: exit status, what it said."""
        environment = self.environment | {"RAY_ADDRESS": self.address} | environment
        done = run(patiently(*arguments), env=environment)
        return done.returncode, done.stdout

    def _start(self, *arguments, mount=None, **environment):
        mounted = f"mount -t tmpfs {mount} && " if mount else ""
        unshared = ["unshare", "--mount", "sh", "-c", f'{mounted} exec "$0" "$@"']
        sockets = Path(self.folder.name) / "session_latest" / "sockets"
        before = {*sockets.glob("raylet*")}
        node = subprocess.Popen(
            [
                *(unshared if mount else ()),
                *(RAY, "start", "--block", f"--object-store-memory={MEMORY}"),
                *arguments,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.environment | environment,
            start_new_session=True,
        )
        self.started.append(node)
        # Those that start together on one machine would choose the same names.
        wait_for(lambda: {*sockets.glob("raylet*")} - before or node.poll())
        assert node.poll() is None
        return node

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for node in reversed(self.started):
            _kill(node)
        self.folder.cleanup()


def _kill(node):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(node.pid, signal.SIGKILL)
    node.wait()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def processes():
    """The words of all processes of this machine, by their ids."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
            found[int(folder.name)] = words.decode("utf-8", "replace").strip()
    return found


def _parent(pid):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def descendants(pid, name="Stretch"):
    """Ray's workers that carry stretches, by the name that Ray gives their process."""
    words = processes()
    return [
        p
        for p in cpu_times(pid)
        if words.get(p, "").startswith((f"ray::{name}", "ray::Resource"))
    ]


def wait_for_work(find, process=None, seconds=0.5):
    """Wait until the workers that `find` gives have computed for so long; return them.

    Where all short trials are done, the long one is under way then.
    """
    workers = wait_for(find, process)

    def work():
        return sum(sum(cpu_times(worker).values()) for worker in workers)

    start = work()
    wait_for(lambda: work() - start > seconds, process)
    return workers
