"""Stores that are full, read-only, away or shared; work that hangs; a notice to end."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from clusters import descendants, free_port, wait_for_work
from helpers import mounts, numbers, undisturbed
from moto.server import ThreadedMotoServer
from pyarrow import fs
from waits import finish, patiently, run, wait_for

from raybs.store.files import ENDINGS, Files, StoreError
from raybs.store.opening import open_store
from raybs.store.store import Store

started = []


@pytest.fixture(autouse=True)
def leave_nothing_running():
    yield
    while started:
        started.pop().kill()


def start(*arguments, **environment):
    process = subprocess.Popen(
        patiently("raybs.sweep", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | environment,
    )
    started.append(process)
    return process


def call(*arguments, status=0, **environment):
    process = start(*arguments, **environment)
    try:
        said = finish(process)[0]
    finally:
        process.kill()
    assert process.returncode == status, said
    assert "Traceback" not in said
    return said


class Broken:
    """The file system of this machine, whose next operations fail with `errors`."""

    type_name = "broken"

    def __init__(self, errors):
        self.errors = list(errors)

    def __getattr__(self, name):
        def operation(*arguments):
            if self.errors:
                raise self.errors.pop(0)
            return getattr(fs.LocalFileSystem(), name)(*arguments)

        return operation


def broken_store(folder, *errors, patience=60.0):
    for name in ENDINGS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    told = []
    files = Files(
        uri="far",
        filesystem=Broken(errors),
        root=str(folder),
        tell=told.append,
        patience=patience,
    )
    return Store(files), told


AWAY = OSError(errno.ETIMEDOUT, "timed out")
BUCKET = OSError("AWS Error NETWORK_CONNECTION during PutObject operation: curlCode: 7")


def test_a_store_that_is_away_for_a_while_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr("raybs.store.files.time.sleep", lambda seconds: None)
    store, told = broken_store(tmp_path, AWAY, BUCKET, AWAY)
    store.write_record("sweeps", "one", {"a": 1})
    assert store.read_records("sweeps", dict) == {"one": {"a": 1}}
    [message] = told
    assert "far/sweeps/one.json: 58 bytes cannot be written" in message
    assert "timed out" in message


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), AWAY, BUCKET])
def test_what_does_not_pass_is_an_error_with_path_and_bytes(tmp_path, error):
    patience = 60.0 if error.errno == errno.ENOSPC else 0.0
    store, _ = broken_store(tmp_path, error, patience=patience)
    with pytest.raises(StoreError, match=r"far/sweeps/one.json: 58 bytes cannot be w"):
        store.write_record("sweeps", "one", {"a": 1})


@pytest.mark.parametrize(
    "address",
    [
        "s3://AKIA:hidden@bucket/results",
        "s3://AKIA%3Ahidden%40bucket/results",
        "s3://bucket/results?secret_key=hidden",
        "abfs://results@account/x?sig=hidden",
    ],
)
def test_an_address_with_a_secret_is_refused_and_the_secret_not_said(address):
    with pytest.raises(ValueError, match="AWS_ACCESS_KEY_ID") as error:
        open_store(address)
    assert "hidden" not in str(error.value)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MB; `remount` gives it another size, or makes it read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        words = ["mount", "-t", "tmpfs", "-o", options, "raybs", str(folder)]
        subprocess.run(words, check=True)

    mount("size=2M")
    yield folder, lambda options: mount(f"remount,{options}")
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.ray
@mounts
@pytest.mark.parametrize("local", [("--local",), ()])
def test_a_full_disk_is_named_and_what_was_stored_is_gone_on_with(
    sweep_file, small_disk, local
):
    folder, remount = small_disk
    expected = undisturbed(sweep_file(epochs=400))
    (folder / "other").write_bytes(bytes(1_700_000))
    arguments = ("mine.py", "--results", f"{folder}/results", *local)
    said = call(*arguments, status=2)
    assert "The plan writes" in said  # known before anything is trained
    (folder / "other").unlink()
    filler = threading.Thread(target=fill, args=(folder,))
    filler.start()
    said = call(*arguments, status=1)
    filler.join()
    assert f"{folder}/results/" in said
    assert "bytes cannot be written" in said
    assert "No space left on device" in said
    assert "go on by" in said
    assert not list(folder.rglob("*.tmp"))
    remount("size=20M,ro")
    assert "Read-only file system" in call(*arguments, status=2)
    remount("size=20M,rw")
    call(*arguments)
    assert numbers(open_store(f"{folder}/results")) == expected


def fill(folder):
    """Take what is left of a disk as soon as a sweep has begun to store."""
    wait_for(lambda: list(folder.glob("results/sweeps/*.json")))
    try:
        with (folder / "other").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError:
        pass


@pytest.mark.ray
def test_a_notice_to_end_saves_what_is_under_way(sweep_file):
    """SIGTERM, as a job that is stopped gets it, and a machine that is taken away."""
    expected = undisturbed(sweep_file(epochs=2000))
    process = start("mine.py", "--workers", "1")
    wait_for(lambda: len([*Path("results/states").glob("*")]) > 1, process)
    wait_for_work(lambda: descendants(process.pid), process)
    process.send_signal(signal.SIGTERM)
    said = finish(process)[0]
    assert process.returncode == 130, said
    assert "To go on:" in said
    assert "Traceback" not in said
    assert len(list(Path("results/rolling").iterdir())) == 1
    call("mine.py", "--local")
    assert numbers(open_store("results")) == expected


@pytest.mark.slow
def test_two_drivers_at_once_share_a_folder_and_lose_nothing(sweep_file):
    expected = undisturbed(sweep_file(epochs=400))
    drivers = [start("mine.py", "--local") for _ in range(2)]
    for driver in drivers:
        said = finish(driver)[0]
        assert driver.returncode == 0, said
        assert "set_aside" not in said
    assert numbers(open_store("results")) == expected
    assert "all stored" in call("mine.py", "--plan")


HANG = """
import sys, time
from pathlib import Path
from raybs import sweep
from raybs.launch.ray.trainable import StretchTrainable

begin = StretchTrainable._begin

def hanging(self, config):
    mark = Path(HERE) / "hung"
    if not mark.exists() and len(list((Path(HERE) / "results/rows").iterdir())):
        mark.touch()
        def forever():
            time.sleep(1000)
            yield
        self.reports, self.timeout = forever(), 3
    else:
        self.timeout = 1800  # what does not hang may be slow
        begin(self, config)

StretchTrainable._begin = hanging
sweep.main(sys.argv[1:])
"""


@pytest.mark.ray
def test_a_hung_trial_is_ended_named_and_started_again(sweep_file):
    expected = undisturbed(sweep_file())
    Path("hang.py").write_text(HANG.replace("HERE", repr(str(Path.cwd()))))
    arguments = ["mine.py", "--workers", "1", "--trial-timeout", "3"]
    process = run([sys.executable, "hang.py", *arguments])
    assert process.returncode == 0, process.stdout
    assert Path("hung").exists()
    assert "no epoch ended within --trial-timeout 3 s" in process.stdout
    assert numbers(open_store("results")) == expected


@pytest.fixture
def bucket(monkeypatch):
    """A bucket behind a real S3 API; the server can be stopped and started again."""
    port = free_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "not-to-be-logged",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    filesystem, _ = fs.FileSystem.from_uri(
        "s3://sweeps-of-mine?allow_bucket_creation=true"
    )
    filesystem.create_dir("sweeps-of-mine")
    servers = [server]

    def restart(pause, meanwhile):
        servers.pop().stop()
        meanwhile()
        time.sleep(pause)
        servers.append(ThreadedMotoServer("127.0.0.1", port, verbose=False))
        servers[0].start()

    yield "s3://sweeps-of-mine/results", restart
    servers.pop().stop()


@pytest.mark.ray
def test_a_bucket_is_trained_to_interrupted_gone_on_with_and_analysed(
    sweep_file, bucket
):
    uri, restart = bucket
    expected = undisturbed(sweep_file(epochs=2000))
    store = open_store(uri, create=True)
    process = start("mine.py", "--results", uri, "--workers", "1")
    wait_for(lambda: len(store.state_files()) > 1, process)
    # Away for a while: the worker, which is to stop, waits for it. (Were it to be
    # stopped later, it might have trained all that there is meanwhile.)
    restart(pause=10, meanwhile=lambda: process.send_signal(signal.SIGINT))
    said = finish(process)[0]
    assert process.returncode == 130, said
    assert "To go on:" in said
    assert len(store.files.names("rolling")) == 1
    said += call("mine.py", "--results", uri, "--figures", "charts")
    assert numbers(store) == expected
    assert "not-to-be-logged" not in said
    words = ("-m", "analysis", "--results", uri, "--figures", "charts")
    done = run([sys.executable, *words])
    assert done.returncode == 0, done.stdout
    assert "diverged" in done.stdout
    assert list(Path("charts").rglob("*.html"))
