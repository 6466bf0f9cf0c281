"""What of a user's code is in the state keys, and what is not."""

import sys
from pathlib import Path

import pytest

from raybs.code.source import read_source

NET = """
import helper
from parts import blocks
from parts.deep import more

def make(num_classes):
    return helper.build(num_classes)
"""


@pytest.fixture
def net(tmp_path, monkeypatch):
    """The name of a network of files beside it: one, and a folder without __init__."""
    folder = tmp_path / "mine"
    (folder / "parts").mkdir(parents=True)
    (folder / "net.py").write_text(NET)
    (folder / "helper.py").write_text("import numpy\n\ndef build(n):\n    return n\n")
    (folder / "parts" / "blocks.py").write_text("SIZE = 3\n")
    (folder / "parts" / "deep.py").write_text("from . import blocks\nmore = 1\n")
    (folder / "other.py").write_text("never = 1\n")
    monkeypatch.chdir(folder)
    return "net.py:make"


def test_it_holds_every_file_that_is_imported_and_no_other(net):
    source = read_source(net)
    assert {*source.files} == {
        "net.py",
        "helper.py",
        "parts/blocks.py",
        "parts/deep.py",
    }
    assert {"numpy", "torch"} == {*source.versions}


@pytest.mark.parametrize(
    ("file", "before", "after", "changes"),
    [
        ("helper.py", "return n", "return n + 1", True),
        ("parts/blocks.py", "3", "4", True),
        ("net.py", "num_classes", "num_classes=10", True),
        ("other.py", "1", "2", False),
        ("helper.py", "return n", "# why\n\n    return (n)", False),
        ("net.py", "import helper\n", "import helper  # beside\n\n", False),
    ],
)
def test_an_edit_counts_where_it_can_be_run(net, file, before, after, changes):
    first = read_source(net).fingerprint
    path = Path(file)
    path.write_text(path.read_text().replace(before, after, 1))
    assert (read_source(net).fingerprint != first) is changes


def test_where_the_files_lie_does_not_count(net, tmp_path, monkeypatch):
    here = read_source(net).fingerprint
    monkeypatch.chdir(tmp_path)
    assert read_source("mine/net.py:make").fingerprint == here


def test_a_package_is_read_from_its_root(tmp_path, monkeypatch):
    folder = tmp_path / "ours_of_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "net.py").write_text("from .layers import make\n")
    (folder / "layers.py").write_text("def make():\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    source = read_source("ours_of_test.net:make")
    files = {"__init__.py", "net.py", "layers.py"}
    assert {*source.files} == {f"ours_of_test/{file}" for file in files}
    assert "ours_of_test" not in sys.modules  # nothing is imported to find out


def test_of_an_installed_package_the_version_counts():
    source = read_source("torch.nn:Linear")
    assert source.files == {}
    assert {*source.versions} == {"torch"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent.py:make", "there is no file absent.py"),
        ("net.py:absent", "net.py defines no absent"),
        ("absent_of_test.net:make", "there is no module absent_of_test"),
        ("broken.py:make", "cannot be read"),
        ("net.v2.py:make", "rename it to net_v2.py"),
    ],
)
def test_what_is_not_there_is_named(net, name, words):
    Path("broken.py").write_text("def make(:\n")
    Path("net.v2.py").write_text("make = int\n")
    with pytest.raises(ValueError, match=words):
        read_source(name)


def test_own_code_outside_of_the_folder_is_refused(net, monkeypatch):
    above = Path.cwd().parent
    (above / "besides.py").write_text("P = 1\n")
    monkeypatch.syspath_prepend(above)
    Path("net.py").write_text("from besides import P\ndef make(): pass\n")
    with pytest.raises(ValueError, match="imports besides from .*, outside of its own"):
        read_source(net)


def test_a_name_may_come_by_a_star(net):
    Path("net.py").write_text("from helper import *\n")
    assert "helper.py" in read_source("net.py:build").files
