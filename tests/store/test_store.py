import json
import math
import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from raybs.config.status import Status
from raybs.store.files import ENDINGS, Files
from raybs.store.opening import FORMAT, open_store
from raybs.store.rows import Row
from raybs.store.schemas import ROW_SCHEMA
from raybs.store.store import Store


def row(key, epoch=1, **fields):
    values = {field.name: None for field in ROW_SCHEMA}
    return values | {"state_key": key, "epoch": epoch, "status": "complete"} | fields


def keys(store):
    return sorted(store.read_rows(["state_key"])["state_key"].to_pylist())


def files(store):
    """All files but the format's."""
    paths = (p for p in Path(store.files.root).rglob("*") if p.is_file())
    return sorted(
        str(p.relative_to(store.files.root)) for p in paths if p.name[:6] != "format"
    )


STATE = {"weights.0": np.arange(6, dtype=np.float32).reshape(2, 3)}
COUNTERS = {"epoch": 3, "step": 12}


@pytest.fixture(params=["disk", "bucket"])
def any_store(request, tmp_path):
    """On disk, and on a filesystem with whole-file puts and no rename of its own."""
    if request.param == "disk":
        return open_store(str(tmp_path / "results"), create=True)
    base = fs.LocalFileSystem()
    for folder in ENDINGS:  # a real bucket has none to make
        base.create_dir(str(tmp_path / "bucket" / folder))
    bucket = fs.SubTreeFileSystem(str(tmp_path / "bucket"), base)
    return Store(Files(uri="bucket", filesystem=bucket, root="."))


def test_rows_come_back_as_written(any_store):
    first = row("a", 1, train_loss=0.5, cosine_to_init=[1.0, 0.5], device="cpu")
    any_store.write_rows([first, row("b", 2)])
    any_store.write_rows([row("c", 3)])
    any_store.write_rows([])
    table = any_store.read_rows()
    assert table.schema == ROW_SCHEMA
    assert table.to_pylist()[0] == first
    assert keys(any_store) == ["a", "b", "c"]


def test_one_row_counts_per_key_and_it_is_always_the_same(store):
    store.write_rows([row("a", seconds=1.0), row("b")])
    store.write_rows([row("a", seconds=2.0), row("c")])
    assert keys(store) == ["a", "b", "c"]
    before = store.read_rows().to_pylist()
    store.compact_rows()
    assert sorted(store.read_rows().to_pylist(), key=str) == sorted(before, key=str)
    assert len(files(store)) == 1


def test_states_come_back_as_written(any_store):
    path = any_store.write_state("k", STATE, COUNTERS, rolling=False)
    assert any_store.state_files() == {"k": [path]}
    tensors, counters = any_store.read_state("k")
    np.testing.assert_array_equal(tensors["weights.0"], STATE["weights.0"])
    assert counters == COUNTERS
    assert any_store.read_state("other") is None
    any_store.files.delete([path, path])
    assert any_store.state_files() == {}


def test_sweeps_come_back_as_last_written(any_store):
    any_store.write_record("sweeps", "one", {"configs": []})
    any_store.write_record("sweeps", "one", {"configs": [1]})
    assert any_store.read_records("sweeps", dict) == {"one": {"configs": [1]}}


@pytest.mark.parametrize("damage", ["truncated", "one byte", "emptied"])
@pytest.mark.parametrize("kind", ["rows", "states"])
def test_a_corrupt_file_is_named_set_aside_and_missing(store, caplog, kind, damage):
    store.write_rows([row("a")])
    store.write_rows([row("b")])
    store.write_state("a", STATE, COUNTERS, rolling=False)
    path = sorted((Path(store.files.root) / kind).iterdir())[0]
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        del content[len(content) // 2 :]
    elif damage == "one byte":
        content[-9] ^= 1
    else:
        content.clear()
    path.write_bytes(content)
    if kind == "rows":
        assert keys(store) == ["b"]
    else:
        assert store.read_state("a") is None
        assert store.state_files() == {}
    assert path.name in caplog.text
    assert f"set_aside/{path.name}" in files(store)
    assert not path.exists()


def test_an_unreadable_sweep_is_set_aside_too(store, caplog):
    store.write_record("sweeps", "one", {})
    (Path(store.files.root) / "sweeps/two.json").write_text("{")
    assert store.read_records("sweeps", dict) == {"one": {}}
    assert "two.json" in caplog.text


RECORD = {"rates": (0.1, 1e-300), "none": math.nan, "seeds": {3: "\ud800"}, "more": []}


def test_a_record_comes_back_however_its_numbers_are_written(any_store):
    any_store.write_record("sweeps", "one", RECORD)
    [record] = any_store.read_records("sweeps", dict).values()
    assert str(record) == str(json.loads(json.dumps(RECORD)))  # NaN equals nothing
    content = any_store.files.read("sweeps/one.json")
    any_store.files.write("sweeps/one.json", json.dumps(json.loads(content)).encode())
    assert str(any_store.read_records("sweeps", dict)["one"]) == str(record)


@pytest.mark.parametrize("folder", ["sweeps", "speeds"])
def test_a_record_with_another_digit_is_named_and_set_aside(store, caplog, folder):
    store.write_record(folder, "one", {"batch_sizes": [16, 64], "seed": 0})
    path = Path(store.files.root) / folder / "one.json"
    path.write_text(path.read_text().replace("64", "61"))
    assert store.read_records(folder, dict) == {}
    assert f"{folder}/one.json is no record ('it is truncated or corr" in caplog.text
    assert files(store) == ["set_aside/one.json"]


def test_a_record_by_the_name_of_another_is_set_aside(store, caplog):
    store.write_record("sweeps", "one", {"a": 1})
    store.write_record("sweeps", "two", {"a": 2})
    folder = Path(store.files.root) / "sweeps"
    (folder / "one.json").replace(folder / "two.json")
    assert store.read_records("sweeps", dict) == {}
    assert """two.json is no record ("it is that of 'one'")""" in caplog.text


def test_a_record_of_an_older_raybs_has_no_digest_and_is_read(store):
    value = {"digits": 1, "title": "other"}
    (Path(store.files.root) / "sweeps/one.json").write_text(json.dumps(value))
    assert store.read_records("sweeps", dict) == {"one": value}


def test_a_record_whose_digest_has_lost_its_name_is_set_aside(store, caplog):
    """It is none of an older raybs, which wrote no name."""
    store.write_record("sweeps", "one", {"digits": 1})
    path = Path(store.files.root) / "sweeps/one.json"
    path.write_text(path.read_text().replace('"digest"', '"dihest"'))
    assert store.read_records("sweeps", dict) == {}
    assert "sweeps/one.json" in caplog.text


def test_files_that_are_not_ours_are_left_alone(store, caplog):
    for name in ("rows/.DS_Store", "sweeps/README", "sweeps/.x.json", "states/junk"):
        (Path(store.files.root) / name).write_text("")
    assert keys(store) == []
    assert store.read_records("sweeps", dict) == {}
    assert store.state_files() == {}
    assert caplog.text == ""
    assert len(files(store)) == 4


def test_a_folder_from_git_that_lacks_its_empty_folders_is_fine(store):
    store.write_rows([row("a")])
    for folder in ("states", "rolling", "sweeps"):
        (Path(store.files.root) / folder).rmdir()
    again = open_store(store.uri, create=True)
    again.write_state("k", STATE, COUNTERS, rolling=True)
    assert keys(again) == ["a"]


def test_a_file_appears_whole_or_not_at_all(store, monkeypatch):
    """A write that fails half-way, as on a full disk, leaves nothing behind."""

    class Full:
        type_name = "local"

        def __getattr__(self, name):
            return getattr(store.files.filesystem, name)

        def open_output_stream(self, path):
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device", path)

    full = Store(replace(store.files, filesystem=Full()))
    with pytest.raises(OSError, match="No space left"):
        full.write_rows([row("a")])
    assert files(store) == []


def test_leftovers_of_killed_writers_are_ignored_and_deleted(store):
    store.write_rows([row("a")])
    for folder in ("rows", "states"):
        (Path(store.files.root) / folder / "x-0.parquet.123.tmp").write_bytes(b"half")
    assert keys(store) == ["a"]
    assert store.state_files() == {}
    assert store.files.leftovers() == []  # their writers may live
    for folder in ("rows", "states"):
        os.utime(Path(store.files.root) / folder / "x-0.parquet.123.tmp", (0, 0))
    store.files.delete(store.files.leftovers())
    assert len(files(store)) == 1


def test_a_reader_beside_a_compaction_misses_no_row(store, monkeypatch):
    """The files listed are merged and deleted before they are read."""
    store.write_rows([row("a")])
    store.write_rows([row("b")])
    read, compacted = Files.read_checked, []

    def slow(self, path, parse):
        if not compacted:
            compacted.append(True)
            store.compact_rows()
        return read(self, path, parse)

    monkeypatch.setattr(Files, "read_checked", slow)
    assert keys(store) == ["a", "b"]


def test_a_folder_of_a_newer_format_is_refused_and_left_alone(tmp_path):
    text = json.dumps({"format": FORMAT + 1})
    (tmp_path / "format.json").write_text(text)
    for create in (True, False):
        with pytest.raises(ValueError, match="upgrade"):
            open_store(str(tmp_path), create=create)
    assert [p.name for p in tmp_path.iterdir()] == ["format.json"]
    assert (tmp_path / "format.json").read_text() == text


def test_what_is_no_results_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no format\.json"):
        open_store(str(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be used"):
        open_store(str(tmp_path / "file"), create=True)
    for uri in ("nosuch://place", "~nobody_of_this_name/x"):
        with pytest.raises(ValueError, match="cannot be used"):
            open_store(uri, create=True)
    for uri in ("", "gs:/bucket/x"):
        with pytest.raises(ValueError, match="is no results folder"):
            open_store(uri, create=True)
    (tmp_path / "format.json").write_text("[]")
    with pytest.raises(ValueError, match="unreadable"):
        open_store(str(tmp_path))


def test_a_missing_folder_reads_as_empty_where_that_is_wanted(tmp_path):
    store = open_store(str(tmp_path / "none"), missing_ok=True)
    assert (keys(store), store.state_files(), store.read_records("sweeps", dict)) == (
        [],
        {},
        {},
    )
    assert not (tmp_path / "none").exists()


def make_other(path, kind):
    """Put a folder, a pipe, a socket or a file in the place of `path`."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if kind == "folder":
        path.mkdir()
        (path / "x").write_text("")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        os.mknod(path, stat.S_IFSOCK | 0o600)
    else:
        path.write_text("x")


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket"])
@pytest.mark.parametrize("options", [{}, {"create": True}, {"missing_ok": True}])
def test_what_is_no_file_in_place_of_the_format_is_refused(store, kind, options):
    place = Path(store.files.root) / "format.json"
    make_other(place, kind)
    with pytest.raises(ValueError, match=r"format\.json in it is no file") as error:
        open_store(store.uri, **options)
    assert str(place) in str(error.value)


@pytest.mark.parametrize("kind", ["file", "pipe"])
@pytest.mark.parametrize("folder", ["rows", "speeds", "set_aside"])
def test_a_file_in_place_of_a_folder_is_refused(store, folder, kind):
    place = Path(store.files.root) / folder
    make_other(place, kind)
    for options in ({}, {"create": True}, {"missing_ok": True}):
        with pytest.raises(ValueError, match=f"{folder} in it is no folder") as error:
            open_store(store.uri, **options)
        assert str(place) in str(error.value)


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket"])
def test_what_is_no_file_in_place_of_one_is_named_and_set_aside(store, caplog, kind):
    store.write_rows([row("a")])
    store.write_rows([row("b")])
    store.write_record("sweeps", "one", {})
    store.write_state("a", STATE, COUNTERS, rolling=False)
    held = [next((Path(store.files.root) / f).iterdir()) for f in ("rows", "states")]
    paths = [*held, Path(store.files.root) / "sweeps/one.json"]
    for path in paths:
        make_other(path, kind)
    assert len(keys(store)) == 1
    assert store.read_state("a") is None
    assert store.read_records("sweeps", dict) == {}
    what = "a folder" if kind == "folder" else "no file"
    for path in paths:
        assert f"{path.name} is {what}: moved" in caplog.text
        assert not path.exists()
        assert (Path(store.files.root) / "set_aside" / path.name).exists()


def test_what_is_set_aside_takes_no_others_place(store):
    for kind in ("folder", "file", "pipe", "folder"):
        make_other(Path(store.files.root) / "sweeps/one.json", kind)
        assert store.read_records("sweeps", dict) == {}
    aside = list((Path(store.files.root) / "set_aside").iterdir())
    assert [path.name[-8:] for path in aside] == ["one.json"] * 4


def test_no_file_that_is_not_ours_is_looked_at(store, caplog):
    for name in ("rows/x.d", "sweeps/.x.json"):
        make_other(Path(store.files.root) / name, "folder")
    make_other(Path(store.files.root) / "rows/pipe", "pipe")
    assert keys(store) == []
    assert store.files.sizes() == {}
    assert caplog.text == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="cannot be used"):
        open_store(str(tmp_path / "results"), create=True)


def test_the_schema_stores_the_fields_of_a_row_in_their_old_order():
    assert [(field.name, str(field.type)) for field in ROW_SCHEMA] == [
        ("state_key", "string"),
        ("epoch", "int32"),
        ("step", "int64"),
        ("samples_seen", "int64"),
        ("train_loss", "double"),
        ("train_accuracy", "double"),
        ("test_loss", "double"),
        ("test_accuracy", "double"),
        ("weight_distance", "double"),
        ("bias_distance", "double"),
        ("weight_norm", "double"),
        ("bias_norm", "double"),
        ("layer_distance", "list<item: double>"),
        ("cosine_to_init", "list<item: double>"),
        ("weight_names", "string"),
        ("seconds", "double"),
        ("training_seconds", "double"),
        ("device", "string"),
        ("num_threads", "int32"),
        ("num_replicas", "int32"),
        ("torch_version", "string"),
        ("status", "string"),
    ]
    kinds = {"string": str, "int32": int, "int64": int, "double": float}
    kinds["list<item: double>"] = list[float]
    stored = {field.name: kinds[str(field.type)] for field in ROW_SCHEMA}
    assert get_type_hints(Row) == stored | {"status": Status}


def test_rows_are_plain_parquet_for_any_other_tool(store):
    store.write_rows([row("a", test_accuracy=0.5)])
    [path] = (Path(store.files.root) / "rows").iterdir()
    assert pq.read_table(path)["test_accuracy"].to_pylist() == [0.5]
