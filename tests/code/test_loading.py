"""Importing a user's code: its own files first, and out of the way of all others."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from raybs.code import loading
from raybs.code.loading import carry_along, check_code, load, read_planned
from raybs.code.source import read_source
from raybs.config import Phase, TrainConfig


@pytest.fixture
def net(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading, "_carried", {})
    monkeypatch.setattr(loading, "_loaded", {})
    Path("net.py").write_text(
        "import helper\nfrom parts import size\n\n"
        "def make():\n    import late\n    return helper.N, size.N, late.N\n"
    )
    Path("parts").mkdir()
    for file, number in (("helper", 1), ("parts/size", 2), ("late", 3)):
        Path(f"{file}.py").write_text(f"N = {number}\n")
    return "net.py:make"


def test_files_beside_it_are_imported_also_when_it_is_called(net):
    assert load(net)() == (1, 2, 3)


def test_an_edit_is_seen_in_the_same_process(net):
    assert load(net)() == (1, 2, 3)
    Path("helper.py").write_text("N = 40\n")
    assert load(net)() == (40, 2, 3)


def test_modules_of_the_same_names_stay_those_of_others(net, monkeypatch):
    theirs = type(sys)("helper")
    monkeypatch.setitem(sys.modules, "helper", theirs)
    path = [*sys.path]
    assert load(net)() == (1, 2, 3)
    assert sys.modules["helper"] is theirs
    assert sys.modules.keys().isdisjoint({"net", "late", "parts", "parts.size"})
    assert sys.path == path
    assert not list(Path().rglob("__pycache__"))


def test_two_folders_have_files_of_one_name(net):
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Path(folder, "net.py").write_text("from helper import N\nmake = lambda: N\n")
        Path(folder, "helper.py").write_text(f"N = {folder!r}\n")
    assert load("a/net.py:make")() == "a"
    assert load("b/net.py:make")() == "b"
    assert load("a/net.py:make")() == "a"


def test_what_travels_is_imported_where_the_file_is_not(net, tmp_path, monkeypatch):
    source = read_source(net)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    carry_along({net: source})
    assert load(net)() == (1, 2, 3)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ({"numpy": "0.0.1"}, "net.py imports numpy, of which this worker has version"),
        ({"absent_of_test": "1"}, "has version none and the driver 1"),
    ],
)
def test_other_packages_on_a_worker_are_refused(net, versions, words):
    with pytest.raises(ValueError, match=words):
        carry_along({net: replace(read_source(net), versions=versions)})


def test_code_that_changed_since_the_plan_is_refused(net):
    config = TrainConfig(
        phases=(Phase(batch_size=1, learning_rate=0.1, epochs=1),), model=net
    )
    fingerprint = f"data {read_source(net).fingerprint}"
    check_code(config, fingerprint)
    Path("helper.py").write_text("N = 2\n")
    with pytest.raises(ValueError, match="net.py:make has changed since the plan"):
        check_code(config, fingerprint)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("make = 1", "is of type int, which cannot be called"),
        ("import absent_of_test\nmake = 1", "No module named 'absent_of_test'"),
        ("raise SystemExit(3)\nmake = 1", "cannot be imported: SystemExit: 3"),
    ],
)
def test_what_cannot_be_imported_is_said(net, text, words):
    Path("net.py").write_text(text)
    with pytest.raises(ValueError, match=words):
        load(net)


def test_a_script_that_runs_raybs_when_it_is_imported_is_told(net):
    Path("net.py").write_text(
        "from raybs.code.loading import load\nload('net.py:make')\ndef make(): pass\n"
    )
    with pytest.raises(ValueError, match="below if __name__ == '__main__'") as error:
        load(net)
    assert len(str(error.value)) < 300


def test_a_relative_import_gets_a_hint(net):
    Path("net.py").write_text("from .helper import N\nmake = lambda: N\n")
    with pytest.raises(ValueError, match="name it like package.module:NAME"):
        load(net)


def test_code_that_has_changed_since_the_plan_is_refused(net):
    planned = {net: read_source(net).fingerprint}
    assert read_planned(planned).keys() == {net}
    Path("helper.py").write_text("N = 40\n")
    with pytest.raises(ValueError, match="has changed since the plan was made"):
        read_planned(planned)
