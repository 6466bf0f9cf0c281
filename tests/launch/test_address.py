"""Addresses of clusters: which there are, and that each other one is named at once."""

import subprocess
import sys

import pytest
from click.testing import CliRunner
from clusters import free_port
from helpers import mounts
from waits import run

from raybs import Resources, doctor, sweep
from raybs.launch.resources import check_address, find_address

WRONG = [
    "",
    " ",
    "local",
    "AUTO",
    "auto ",
    ":1",
    "host:",
    "host",
    "6379",
    "host:0",
    "host:65536",
    "host:-1",
    "host:+1",
    "host:1_0",
    "host: 1",
    "host:1\n",
    "host:\u0661",  # a digit, of Arabic
    "host:99999999999999999999",
    "a b:1",
    "-host:1",
    "::1:6379",
    "[::1]",
    "[::1:6379",
    "[]:1",
    "[host]:1",
    "[1.2.3.4]:1",
    "host:1:2",
    "http://127.0.0.1:8265",
    "ray://127.0.0.1:10001",
    "\ud800:1",
]


@pytest.mark.parametrize(
    "address",
    ["auto", "h:1", "10.0.0.5:6379", "[::1]:65535", "ray_head-0.example.org.:6379"],
)
def test_right_addresses(address, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert find_address(address) == address
    assert Resources(address=address).address == address


@pytest.mark.parametrize("address", WRONG)
def test_what_is_no_address_is_named_with_where_it_is_from_and_what_works(address):
    with pytest.raises(ValueError, match="give 'auto' or HOST:PORT") as caught:
        check_address(address, "--address")
    assert str(caught.value).startswith(f"--address {address!r} is no address ")
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(ValueError, match="^address "):
        Resources(address=address)


@pytest.mark.parametrize("main", [sweep.main, doctor.main])
@pytest.mark.parametrize(
    ("given", "variable", "origin"),
    [
        ("local", None, "--address 'local'"),
        ("", "auto", "--address ''"),
        (None, "local", "RAY_ADDRESS 'local'"),
        ("auto", ":1", "RAY_ADDRESS ':1'"),
    ],
)
def test_a_command_refuses_it_before_all_else(
    main, given, variable, origin, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)  # which cannot be imported then
    words = [] if given is None else ["--address", given]
    words += ["recovery"] if main is sweep.main else []
    done = CliRunner().invoke(main, words, env={"RAY_ADDRESS": variable})
    assert done.exit_code == 2, done.output
    assert done.output.startswith(f"{origin} is no address ")
    assert not list(tmp_path.iterdir())


def test_addresses_that_are_given_are_not_looked_up(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "host:1")
    assert find_address(None) == "host:1"
    assert find_address("other:2") == "other:2"
    assert find_address("auto") == "auto"
    monkeypatch.setenv("RAY_ADDRESS", "")
    assert find_address(None) is None


@pytest.mark.slow
@mounts
@pytest.mark.parametrize("stale", [False, True])
def test_auto_without_a_cluster_ends_in_words(sweep_file, tmp_path, monkeypatch, stale):
    """Also where the file that names the last cluster outlived it, as after a crash."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "ray").mkdir()
    if stale:
        address = f"127.0.0.1:{free_port()}"
        (tmp_path / "ray/ray_current_cluster").write_text(address)
    # Not among the processes of other tests, which Ray would find.
    alone = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    words = ["-m", "raybs.sweep", sweep_file(), "--address", "auto"]
    done = run([*alone, sys.executable, *words], stderr=subprocess.PIPE)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("No Ray ")
    assert "--address" in done.stderr
