"""A stranger's results folder and datasets: no code runs, little is unpacked.

What cannot be read is named and set aside; sound rows beside it are read.
"""

import contextlib
import gzip
import io
import json
import math
import os
import pickle
import resource
import struct
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from click.testing import CliRunner
from helpers import record, row

import analysis
from analysis.__main__ import main
from analysis.charts import theme
from raybs.cli.grid import grid_command
from raybs.config import Phase, TrainConfig, TrainSweep
from raybs.config.gradient_sweep import GradientSweep, cells
from raybs.config.keys import state_keys
from raybs.datasets.dataset import describe, load_arrays
from raybs.plan.prune import find_prunable
from raybs.store.draws import PER_DRAW
from raybs.store.files import ENDINGS, _digest
from raybs.store.networks import network_from_json
from raybs.store.opening import open_store
from raybs.store.schemas import CHUNK_SCHEMA, ROW_SCHEMA
from raybs.sweep import main as sweep_command

CONFIG = TrainConfig(
    phases=(Phase(batch_size=8, learning_rate=0.1, epochs=1),), hidden=(4,)
)
SWEEP = TrainSweep(configs=(CONFIG,))
DRAWS = GradientSweep(
    regimes={"early": CONFIG}, batch_sizes=(1, 4), num_draws=2, num_samples=8
)
[CELL, _] = cells(DRAWS, {"mnist": "f"})
DEEP = "[" * 100_000


class Canary:
    """A pickle of it makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def canary(tmp_path):
    path = tmp_path / "it sang"
    pickle.loads(pickle.dumps(Canary(path))).close()
    path.unlink()
    yield Canary(path)
    assert not path.exists()


@pytest.fixture
def stranger(store, monkeypatch):
    """A folder with two sound sweeps, a trial and a chunk; charts are not rendered."""
    monkeypatch.setattr(theme, "save", lambda chart, folder, name: None)
    record(store, "sound", SWEEP)
    record(store, "gradient_competition", SWEEP, **asdict(DRAWS))
    store.write_rows(
        [row(key, k, 0.5 + k / 10) for k, key in enumerate(state_keys(CONFIG, "f"))]
    )
    store.write_chunk(chunk())
    return store


def chunk(**fields):
    """Two draws of a cell."""
    lists = dict.fromkeys(PER_DRAW, [1.0, 2.0])
    lists |= {"sample_set": [0, 1], "order": [0, 1], "num_steps": [8, 8]}
    rest = {"cell_key": CELL.key, "bin": [16000], "count": [9], "seconds": 1.0}
    worker = {"device": "cpu", "num_threads": 1, "num_replicas": 1}
    status = {"status": ["complete"] * 2, "torch_version": "2"}
    return lists | rest | worker | status | fields


def plant(store, folder, content, key="k"):
    """Write a file whose name holds the hash of its content, as ours do."""
    name = f"{key}-{_digest(content)}{ENDINGS[folder]}"
    path = Path(store.files.root) / folder / name
    path.write_bytes(content)
    return path


def parquet(table, **options):
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def tensor_file(head, data=b"", length=None):
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    number = len(text) if length is None else length
    return struct.pack("<Q", number) + text + data


def command(*arguments, of=main):
    """Run a command, which may end in words, but in no traceback."""
    result = CliRunner().invoke(of, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert all(c.isprintable() or c == "\n" for c in result.output)
    return result


def read_all(store):
    """Read the folder as all commands do; the sound rows are there."""
    loaded = analysis.load(store.uri)
    trials = loaded.trials.set_index("sweep")
    assert trials.loc["sound", "status"] == "complete"
    assert trials.loc["sound", "final_test_accuracy"] == pytest.approx(0.6)
    draws = analysis.load_draws(store.uri)
    assert draws.cells["stored"].tolist() == [2, 0]
    store.kept_pairs()
    store.read_records("networks", network_from_json)
    for key in store.state_files():
        store.read_state(key)
    find_prunable(store)
    kinds = ("--format", "html", "--format", "md")
    assert command("sound", "--results", store.uri, *kinds).exit_code == 0
    plan = command("recovery", "--plan", "--results", store.uri, of=sweep_command)
    assert plan.exit_code == 0
    return loaded


def assert_set_aside(store, paths, caplog):
    aside = Path(store.files.root) / "set_aside"
    for path in paths:
        assert not path.exists(), path
        assert (aside / path.name).exists(), path
        assert path.name in caplog.text
    assert all(c.isprintable() or c == "\n" for c in caplog.text)


POOLS = []
"""Arrays may outlive the test: so their pools must."""


@contextlib.contextmanager
def little_memory(limit=2**26):
    """Neither Arrow nor the process as a whole takes much."""
    pool, before = pa.default_memory_pool(), resource.getrusage(resource.RUSAGE_SELF)
    POOLS.append(own := pa.proxy_memory_pool(pool))
    pa.set_memory_pool(own)
    try:
        yield
    finally:
        pa.set_memory_pool(pool)
    assert (own.max_memory() or 0) < limit
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before.ru_maxrss
    assert 1024 * grown < limit


def test_pickles_under_our_names_are_set_aside(stranger, canary, caplog):
    folders = ENDINGS.keys() - {"probes"}
    evil = pickle.dumps(canary)
    paths = [plant(stranger, folder, evil, folder) for folder in folders]
    read_all(stranger)
    stranger.read_gradients("gradients")
    assert_set_aside(stranger, paths, caplog)


def test_pickles_in_the_metadata_of_a_table_are_left_alone(stranger, canary):
    evil = pickle.dumps(canary)
    extension = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": evil,
    }
    fields = [ROW_SCHEMA.field(0).with_metadata(extension), *list(ROW_SCHEMA)[1:]]
    rows = pa.Table.from_pylist([row("k", 1, 0.5)], schema=ROW_SCHEMA)
    table = rows.cast(pa.schema(fields, {b"pandas": evil}))
    plant(stranger, "rows", parquet(table))
    read_all(stranger)
    assert "k" in stranger.read_statuses()


HEAD = {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}
OURS = {"raybs": json.dumps({"epoch": 1, "pairs": [[0, 0]]})}


BROKEN_TENSORS = [
    tensor_file({}, length=2**63),
    tensor_file({}, length=2**40),
    tensor_file({}, length=1000),
    b"",
    tensor_file([]),
    tensor_file({"gradients": HEAD}, bytes(8)),
    tensor_file(DEEP.encode()),
    tensor_file({"gradients": HEAD, "__metadata__": {"raybs": DEEP}}, bytes(8)),
    tensor_file({"gradients": HEAD, "__metadata__": {"raybs": "[]"}}, bytes(8)),
    tensor_file({"gradients": 1, "__metadata__": OURS}),
    tensor_file({"gradients": HEAD | {"shape": [2**62, 2**62]}}, bytes(8)),
    tensor_file({"gradients": HEAD | {"data_offsets": [0, 2**60]}}, bytes(8)),
    tensor_file({"gradients": HEAD | {"dtype": "object"}}, bytes(8)),
    tensor_file({"a": HEAD, "b": HEAD | {"data_offsets": [4, 12]}}, bytes(12)),
]


@pytest.mark.parametrize("folder", ["states", "gradients"])
def test_hostile_tensor_files_are_set_aside(stranger, caplog, folder):
    paths = [
        plant(stranger, folder, content, f"k{i}")
        for i, content in enumerate(BROKEN_TENSORS)
    ]
    with little_memory():
        for i in range(len(BROKEN_TENSORS)):
            assert stranger.read_state(f"k{i}") is None
            assert folder == "states" or stranger.read_gradients(f"k{i}") == {}
    assert_set_aside(stranger, paths, caplog)


def test_heads_of_hostile_tensor_files_are_read_no_further(stranger, caplog):
    metadata = [json.dumps({"pairs": pairs}) for pairs in (5, [5], [[{}]], None)]
    tensors = {"gradients": np.zeros((1, 2), np.float32)}
    contents = [safetensors.numpy.save(tensors, {"raybs": text}) for text in metadata]
    contents += BROKEN_TENSORS[:10]
    paths = [plant(stranger, "gradients", c, f"k{i}") for i, c in enumerate(contents)]
    with little_memory():
        assert stranger.kept_pairs() == {}
    assert_set_aside(stranger, paths, caplog)


HUGE = 10**400
STEPS = {"batch_size": 8, "learning_rate": 0.1, "epochs": 0, "steps": 10**9}
LONG = {"batch_size": 8, "learning_rate": 0.1, "epochs": 10**6}


def trials(num, phase):
    config = asdict(CONFIG)
    return [config | {"seed": seed, "phases": [phase]} for seed in range(num)]


HOSTILE = [
    {"configs": trials(1, LONG | {"epochs": 10**9})},
    {"configs": trials(101, LONG)},
    {"configs": trials(1, STEPS), "training_samples": {"mnist": 1}},
    {"configs": trials(1, LONG | {"learning_rate": HUGE})},
    {"configs": trials(1, LONG | {"batch_size": HUGE})},
    {"configs": trials(1, LONG | {"epochs": math.inf})},
    {"configs": trials(1, LONG | {"\x1b[2J": 1})},
    {"configs": [asdict(CONFIG) | {"weight_decay": HUGE}]},
    {"configs": [asdict(CONFIG) | {"dataset": "\x1b[2J"}]},
    {"configs": [asdict(CONFIG) | {"dataset": "\ud800"}]},
    {"configs": [asdict(CONFIG) | {"hidden": [HUGE]}]},
    {"last_epochs": HUGE},
    {"until": {"seconds": math.nan}},
    {"training_samples": {"mnist": HUGE}},
    {"trainer_version": [[[]]]},
    {"fingerprints": {}},
    {"fingerprints": {"mnist": {}}},
    {"failed": {"k": {}}},
    {"title": {"a": 1}},
    asdict(DRAWS) | {"num_draws": 10**6, "batch_sizes": [*range(1, 9), *range(9, 20)]},
    asdict(DRAWS) | {"batch_sizes": [HUGE]},
    asdict(DRAWS) | {"regimes": {"\x1b[2J": asdict(CONFIG)}},
]


def test_hostile_records_are_set_aside(stranger, caplog):
    for i, fields in enumerate(HOSTILE):
        record(stranger, f"bad{i}", SWEEP, **fields)
    with little_memory():
        read_all(stranger)
    folder = Path(stranger.files.root) / "sweeps"
    paths = [folder / f"bad{i}.json" for i in range(len(HOSTILE))]
    assert_set_aside(stranger, paths, caplog)


def test_json_that_is_no_record_is_set_aside(stranger, caplog):
    texts = [DEEP, '{"a":' * 100_000, "9" * 5000, "NaN", "[1e999]", "null", "\0", ""]
    paths = []
    for folder in ("sweeps", "speeds"):
        for i, text in enumerate(texts):
            paths.append(Path(stranger.files.root) / folder / f"{folder}{i}.json")
            paths[-1].write_text(text)
    read_all(stranger)
    assert_set_aside(stranger, paths, caplog)


def test_a_regime_counted_in_steps_is_resolved(stranger):
    config = asdict(CONFIG) | {"phases": [STEPS | {"steps": 3}]}
    fields = asdict(DRAWS) | {"regimes": {"early": config}}
    record(stranger, "steps", SWEEP, **fields, training_samples={"mnist": 100})
    assert analysis.load_draws(stranger, "steps").cells["stored"].tolist() == [0, 0]


@pytest.mark.parametrize("seconds", [0, 1e308])
def test_with_any_speed_there_is_a_plan(stranger, seconds):
    names = ("optimizer_seconds", "overhead_seconds", "sample_seconds")
    times = dict.fromkeys(names, seconds) | {"step_seconds": [[1, seconds or 1e-300]]}
    stranger.write_record("speeds", "cpu-1", times | {"replicas": []})
    for name in ("gradient_competition", "recovery"):
        arguments = (name, "--plan", "--results", stranger.uri)
        assert command(*arguments, of=sweep_command).exit_code == 0
    frozen = ("gradient_competition", "--frozen", "--plan", "--results", stranger.uri)
    assert command(*frozen, of=sweep_command).exit_code == 0


def test_records_by_no_names_of_ours_are_left_alone(stranger, caplog):
    folder = Path(stranger.files.root) / "sweeps"
    text = (folder / "sound.json").read_text()
    for name in ("a\nb", "\x1b[2Jx", "<script>", "...", "..", "a\\..\\b", "\u202ex"):
        (folder / f"{name}.json").write_text(text)
    assert set(read_all(stranger).trials["sweep"]) == {"sound"}
    assert caplog.text == ""


@pytest.mark.parametrize("name", ["../../x", "..", "/etc/passwd", "\x1b[2J"])
def test_a_sweep_is_asked_for_by_a_name_in_the_results(stranger, name):
    result = command(name, "--results", stranger.uri)
    assert (result.exit_code, "No sweep" in result.output) == (2, True)


def test_what_a_terminal_obeys_is_not_printed(stranger):
    said = {state_keys(CONFIG, "f")[1]: "disk\x1b[2J\nfull\x9b\u202e"}
    record(stranger, "sound", SWEEP, title="A\x1b]0;x\x07 title\r\n\ud800", failed=said)
    trials = analysis.load(stranger).trials
    assert trials["title"].tolist() == ["A ]0;x  title   "]
    assert trials["message"].tolist() == ["disk [2J full  "]
    read_all(stranger)


SECRET = "hunter2"


@pytest.fixture
def victim(tmp_path):
    """A folder of the reader's own, of which nothing is read, moved or changed."""
    folder = tmp_path / "victim"
    folder.mkdir()
    files = {
        "settings.json": json.dumps({"password": SECRET}),
        "model-0.safetensors": SECRET,
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    yield folder
    assert {p.name: p.read_text() for p in folder.iterdir()} == files


EVIL = "</script><script>alert(1)</script>"


def test_names_are_only_text_in_tables(stranger, tmp_path):
    dataset = "<b>|[x](y)\\"
    config, prints = asdict(CONFIG) | {"dataset": dataset}, {dataset: "f"}
    record(stranger, "text", SWEEP, configs=[config], fingerprints=prints)
    figures = ("--figures", str(tmp_path), "--format", "md")
    command("text", "--results", stranger.uri, *figures)
    table = (tmp_path / "text/table.md").read_text("utf-8")
    assert r"\<b>\|\[x](y)\\," in table


@pytest.mark.slow
@pytest.mark.drawing
def test_charts_hold_names_as_text_and_take_the_place_of_links(tmp_path, victim):
    data = pd.DataFrame({"x": [1.0], "label": [EVIL]})
    chart = alt.Chart(data).mark_point().encode(x="x:Q", color="label:N")
    for kind in ("html", "png", "svg"):
        (tmp_path / f"c.{kind}").symlink_to(victim / "settings.json")
    theme.save(chart.properties(title=EVIL), tmp_path, "c")
    for kind in ("html", "svg"):
        text = (tmp_path / f"c.{kind}").read_text("utf-8")
        assert "alert(1)" in text
        assert EVIL not in text
        assert "<script>alert" not in text


def test_datasets_that_records_name_are_never_opened(stranger, tmp_path):
    trap = tmp_path / "trap.npz"
    trap.write_bytes(b"x")
    os.utime(trap, (0, 0))
    config = asdict(CONFIG) | {"dataset": str(trap)}
    record(stranger, "trap", SWEEP, configs=[config], fingerprints={str(trap): "f"})
    assert set(read_all(stranger).trials["sweep"]) == {"sound", "trap"}
    assert trap.stat().st_atime == 0
    trap.read_bytes()
    if trap.stat().st_atime == 0:
        pytest.skip("access times are not kept here")


def rows_of(num, **columns):
    """Rows of so many state keys, or what else is given for them."""
    keys = pa.array([f"k{i}" for i in range(num)])
    return pa.table({"state_key": keys} | columns)


def told(content, true, false):
    """Let the footer of a table say another number: of as many bytes."""

    def integer(value, length):
        value *= 2  # zigzag
        parts = [value >> 7 * i & 127 | 128 for i in range(length)]
        return bytes([*parts[:-1], parts[-1] & 127])

    length = -(-(2 * true).bit_length() // 7)
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    head, foot = content[:start], content[start:]
    lie = foot.replace(integer(true, length), integer(false, length))
    assert lie != foot
    return head + lie


MANY = 6_000_001
ZEROS = rows_of(1, layer_distance=pa.array([np.zeros(MANY)], pa.list_(pa.float64())))
SAME = pa.DictionaryArray.from_arrays(np.zeros(1000, np.int32), ["x" * 2**20])
PREFIX = ["x" * 2**20] * 100
PLAIN = {"use_dictionary": False, "compression": "zstd"}
BOMBS = {
    "one long list": parquet(ZEROS),
    "one that the footer denies": told(parquet(ZEROS), MANY, 1),
    "one that the footer makes longer": told(parquet(ZEROS), MANY, 2**26),
    "a million nulls": parquet(pa.table({"state_key": pa.nulls(MANY, pa.string())})),
    "columns that are missing": parquet(pa.table({"x": pa.nulls(MANY)})),
    "one long text": parquet(pa.table({"state_key": SAME})),
    "one long beginning": parquet(
        pa.table({"state_key": PREFIX}),
        column_encoding={"state_key": "DELTA_BYTE_ARRAY"},
        **PLAIN,
    ),
    "wide nulls": parquet(pa.table({"state_key": pa.nulls(9, pa.binary(2**24))})),
    "zeros": parquet(ZEROS, **PLAIN),
}


def test_tables_that_unpack_to_far_more_are_set_aside(stranger, caplog):
    paths = [plant(stranger, "rows", content, k) for k, content in BOMBS.items()]
    assert all(path.stat().st_size < 60_000 for path in paths)
    with little_memory():
        read_all(stranger)
    assert_set_aside(stranger, paths, caplog)


NOT_OURS = {
    "no keys": ("rows", {"state_key": pa.nulls(2, pa.string())}),
    "no epoch": ("rows", {"epoch": pa.nulls(2, pa.int32())}),
    "no status": ("rows", {"status": pa.nulls(2, pa.string())}),
    "words": ("rows", {"epoch": ["one", "two"]}),
    "lists": ("rows", {"state_key": [["a"], ["b"]]}),
    "fractions": ("rows", {"test_accuracy": [0.5, math.inf]}),
    "no draws": ("draws", {"order": pa.nulls(2, pa.list_(pa.int32()))}),
    "no norm": ("draws", {"straightness": [[1.0, None]] * 2}),
    "few norms": ("draws", {"straightness": [[1.0, 2.0], [1.0]]}),
    "few counts": ("draws", {"count": [[1], []]}),
    "counts below none": ("draws", {"count": [[-1], [1]]}),
    "norms below none": ("draws", {"sample_weighted_norm": [[-1.0, 1.0]] * 2}),
    "no seconds": ("draws", {"seconds": pa.nulls(2, pa.float64())}),
}


def test_tables_of_no_raybs_are_set_aside(stranger, caplog):
    rows = [row("k0", 0, 0.5), row("k1", 1, 0.5)]
    chunks = [chunk(cell_key="c0"), chunk(cell_key="c1")]
    ours = {
        "rows": pa.Table.from_pylist(rows, schema=ROW_SCHEMA),
        "draws": pa.Table.from_pylist(chunks, schema=CHUNK_SCHEMA),
    }
    paths = []
    for kind, (folder, columns) in NOT_OURS.items():
        table = ours[folder]
        for name, values in columns.items():
            table = table.set_column(table.column_names.index(name), name, [values])
        paths.append(plant(stranger, folder, parquet(table), kind))
    read_all(stranger)
    assert_set_aside(stranger, paths, caplog)


def test_a_table_cut_off_inside_is_set_aside(stranger, caplog):
    content = bytearray(parquet(rows_of(100)))
    content[4:40] = bytes(36)
    path = plant(stranger, "rows", bytes(content))
    read_all(stranger)
    assert_set_aside(stranger, [path], caplog)


def test_rows_without_numbers_are_drawn(stranger):
    sweep = TrainSweep(configs=(CONFIG,), until={"test_accuracy": 0.9, "seconds": 9})
    record(stranger, "until", sweep)
    other = TrainConfig(phases=CONFIG.phases, hidden=(4,), seed=1)
    record(stranger, "empty", TrainSweep(configs=(CONFIG, other)))
    empty = {name: None for name in ROW_SCHEMA.names}
    keys = state_keys(other, "f")
    stranger.write_rows(
        [
            empty | {"state_key": keys[k], "epoch": k, "status": "complete"}
            for k in (0, 1)
        ]
    )
    read_all(stranger)
    assert command("until", "empty", "--results", stranger.uri).exit_code == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_rows_of_any_number_are_drawn(stranger):
    kinds = zip(ROW_SCHEMA.names, ROW_SCHEMA.types, strict=True)
    names = [n for n, t in kinds if t == pa.float64() and "accuracy" not in n]
    for seed, value in enumerate((math.inf, -1e308, 0.0), 1):
        other = TrainConfig(phases=CONFIG.phases, hidden=(4,), seed=seed)
        record(stranger, f"number{seed}", TrainSweep(configs=(CONFIG, other)))
        for k, key in enumerate(state_keys(other, "f")):
            stranger.write_rows([row(key, k, 0.5, **dict.fromkeys(names, value))])
    read_all(stranger)
    names = [f"number{seed}" for seed in range(1, 4)]
    result = command(*names, "--results", stranger.uri)
    assert result.exit_code == 0, result.output


def test_a_file_that_is_a_link_is_set_aside_itself(stranger, victim, caplog):
    for folder, name in (
        ("sweeps", "settings.json"),
        ("states", "model-0.safetensors"),
    ):
        (Path(stranger.files.root) / folder / name).symlink_to(victim / name)
    read_all(stranger)
    assert SECRET not in caplog.text


@pytest.mark.parametrize("place", ["figures", "figures/sound"])
def test_charts_are_not_drawn_through_a_link(stranger, victim, place):
    link = Path(stranger.files.root) / place
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(victim)
    result = command("sound", "--results", stranger.uri, "--format", "png")
    assert (result.exit_code, "--figures" in result.output) == (2, True)


@pytest.mark.parametrize("kind", ["html", "md"])
@pytest.mark.parametrize("place", ["figures", "figures/sound", "out/mine"])
def test_what_is_no_folder_where_figures_go_is_named(stranger, tmp_path, place, kind):
    """The report goes to figures/ itself."""
    folder, _, name = place.partition("/")
    root = tmp_path if folder == "out" else Path(stranger.files.root)
    given = ("--figures", str(root / place)) if folder == "out" else ()
    (root / place).parent.mkdir(exist_ok=True)
    os.mkfifo(root / place)
    words = ("sound", "--results", stranger.uri, "--format", kind)
    result = command(*words, *given)
    if (kind, name) == ("html", "sound"):
        assert result.exit_code == 0
    else:
        assert result.exit_code == 2
        assert f"{root / place} is no folder" in result.output


@pytest.mark.parametrize(
    ("kind", "name"), [("html", "report.html"), ("md", "sound/table.md")]
)
def test_a_folder_where_a_figure_goes_is_named(stranger, kind, name):
    place = Path(stranger.files.root) / "figures" / name
    place.mkdir(parents=True)
    result = command("sound", "--results", stranger.uri, "--format", kind)
    assert (result.exit_code, str(place) in result.output) == (2, True)


def test_tables_take_the_place_of_links(stranger, victim):
    table = Path(stranger.files.root) / "figures/sound/table.md"
    table.parent.mkdir(parents=True)
    table.symlink_to(victim / "settings.json")
    read_all(stranger)
    assert "accuracy" in table.read_text("utf-8")


@pytest.mark.parametrize("folder", ["sweeps", "states", "set_aside"])
def test_a_results_folder_that_leads_out_of_itself_is_refused(stranger, victim, folder):
    (Path(stranger.files.root) / "sweeps/settings.json").write_text("{}")
    place = Path(stranger.files.root) / folder
    if place.exists():
        place.rename(place.with_suffix(".old"))
    place.symlink_to(victim)
    with pytest.raises(ValueError, match=folder):
        find_prunable(open_store(stranger.uri))


PARTS = {
    "x_train": np.arange(40, dtype=np.uint8).reshape(10, 2, 2),
    "y_train": np.arange(10) % 2,
    "x_test": np.ones((3, 2, 2), np.uint8),
    "y_test": np.arange(3) % 2,
}
MEMORY = 2**32
"""Of the machine that these datasets are read on."""


@pytest.fixture
def memory(monkeypatch):
    monkeypatch.setattr("raybs.datasets.archive.memory_bytes", lambda: MEMORY)


def npy(array, **head):
    """An array as .npy, of which the head may say something else."""
    buffer = io.BytesIO()
    fields = np.lib.format.header_data_from_array_1_0(array) | head
    np.lib.format.write_array_header_1_0(buffer, fields)
    return buffer.getvalue() + array.tobytes()


def archive(path, **members):
    """An .npz of PARTS and `members`: content, and what is said of it."""
    with zipfile.ZipFile(path, "w") as file:
        for name, array in PARTS.items():
            content, said = members.get(name, (npy(array), {}))
            with file.open(f"{name}.npy", "w") as member:
                member.write(content)
            for field, value in said.items():
                setattr(file.getinfo(f"{name}.npy"), field, value)
        for name in members.keys() - PARTS.keys():
            file.writestr(name, members[name])
    return str(path)


def zeros(num_bytes, head=b"", wbits=-15):
    """So many zeros behind `head`, deflated; made in no time."""
    deflate = zlib.compressobj(9, wbits=wbits)
    start = deflate.compress(head) + deflate.flush(zlib.Z_FULL_FLUSH)
    million = deflate.compress(bytes(2**20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return start + million * (num_bytes >> 20) + deflate.flush()


THREE_GB = 3 * 2**30
HEAD_OF_THREE_GB = npy(np.zeros(0, np.uint8), shape=(THREE_GB // 4, 2, 2))
DEFLATED = {"compress_type": zipfile.ZIP_DEFLATED}
REAL_BOMB = (
    zeros(THREE_GB, HEAD_OF_THREE_GB),
    DEFLATED | {"file_size": THREE_GB + len(HEAD_OF_THREE_GB)},
)
LABELS = PARTS["y_train"]
EMPTY = np.zeros(0, np.uint8)
ARCHIVES = {
    "ten terabytes, as it says": (
        {"x_test": (npy(LABELS), {"file_size": 10 * 2**40})},
        f"unpacks to 109951.* of {MEMORY}",
    ),
    "three gigabytes of zeros": ({"x_train": REAL_BOMB}, f"to 32212.* of {MEMORY}"),
    "many labels": ({"y_train": (npy(LABELS, shape=(2**60,)), {})}, "80 bytes for"),
    "labels that overflow": (
        {"y_train": (npy(LABELS, shape=(2**32, 2**32)), {})},
        "80 bytes for",
    ),
    "labels less than none": ({"y_train": (npy(LABELS, shape=(-10, -1)), {})}, "-10"),
    "empty labels, a lot": (
        {"y_train": (npy(EMPTY, descr="|S0", shape=(2**60,)), {})},
        str(2**60),
    ),
    "packed by another": (
        {"y_train": (npy(LABELS), {"compress_type": zipfile.ZIP_LZMA})},
        "not packed as",
    ),
    "locked": ({"y_train": (npy(LABELS), {"flag_bits": 1})}, "password"),
    "deep": ({"y_train": (b"\x93NUMPY\x01\0\x28\x23" + b"[" * 9000, {})}, "cannot"),
    "open": ({"y_train": (b"\x93NUMPY\x01\0\x08\0{'a': (\n", {})}, "cannot"),
    "objects": ({"y_train": (npy(LABELS, descr="|O"), {})}, "pickled"),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_npz_that_is_a_bomb_or_a_lie_is_refused(tmp_path, memory, kind):
    members, words = ARCHIVES[kind]
    name = archive(tmp_path / "bomb.npz", **members)
    assert Path(name).stat().st_size < 2**22
    for read in (describe, load_arrays):
        with little_memory(), pytest.raises(ValueError, match=words) as error:
            read(name)
        assert name in str(error.value)


def test_an_npz_is_read_by_the_members_that_were_checked(tmp_path, memory, canary):
    """np.load would take the ones without an ending."""
    evil = {name: pickle.dumps(canary) for name in PARTS}
    with zipfile.ZipFile(tmp_path / "two.npz", "w") as file:
        for name, array in PARTS.items():
            file.writestr(f"{name}.npy", npy(array))
            file.writestr(name, evil[name])
    arrays = load_arrays(str(tmp_path / "two.npz"))
    np.testing.assert_array_equal(arrays.x_train, PARTS["x_train"])


@pytest.mark.parametrize("part", PARTS)
def test_objects_in_an_npz_are_not_unpickled(tmp_path, canary, part):
    array = np.array([canary] * 10, dtype=object)
    path = tmp_path / "evil.npz"
    np.savez(path, **PARTS | {part: array}, allow_pickle=True)
    for read in (describe, load_arrays):
        with pytest.raises(ValueError, match="pickled"):
            read(str(path))


IDX = {
    "x_train": "train-images",
    "y_train": "train-labels",
    "x_test": "t10k-images",
    "y_test": "t10k-labels",
}


def idx_folder(folder, **contents):
    """IDX files of PARTS, or of what is given instead, by their names."""
    folder.mkdir(parents=True)
    for part, name in IDX.items():
        array = PARTS[part].astype(np.uint8)
        head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        (folder / name).write_bytes(head + array.tobytes())
    for name, content in contents.items():
        (folder / name.split(".")[0]).unlink()
        (folder / name).write_bytes(content)
    return str(folder)


def idx_head(*sizes):
    return struct.pack(f">HBB{len(sizes)}I", 0, 8, len(sizes), *sizes)


FILES = {
    "2**60 samples, as it says": (
        {"train-images": idx_head(2**20, 2**20, 2**20)},
        f"unpacks to {2**60} .*{MEMORY}",
    ),
    "three gigabytes of zeros": (
        {"train-images.gz": zeros(THREE_GB, idx_head(3, 2**15, 2**15), 31)},
        f"unpacks to {THREE_GB} .*{MEMORY}",
    ),
    "more zeros than it says": (
        {"train-images.gz": zeros(THREE_GB, idx_head(10, 2, 2), 31)},
        "41 bytes or more",
    ),
    "too much together": (
        {
            "train-images.gz": gzip.compress(idx_head(2, 2**10, 2**10) + bytes(2**21)),
            "train-labels": idx_head(2**31 - 2**20),
        },
        f"unpacks to {2**31 + 2**20} .*{MEMORY}",
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_an_idx_file_that_is_a_bomb_or_a_lie_is_refused(tmp_path, memory, kind):
    contents, words = FILES[kind]
    name = idx_folder(tmp_path / "idx", **contents)
    for read in (describe, load_arrays):
        with little_memory(), pytest.raises(ValueError, match=words) as error:
            read(name)
        assert name in str(error.value)


def test_what_is_no_file_among_idx_files_is_not_opened(tmp_path):
    name = idx_folder(tmp_path / "idx")
    (tmp_path / "idx/train-images").unlink()
    os.mkfifo(tmp_path / "idx/train-images")
    with pytest.raises(ValueError, match="has no train-images"):
        describe(name)


def test_pickles_beside_torchvisions_files_are_left_alone(
    tmp_path, canary, monkeypatch
):
    monkeypatch.setenv("RAYBS_DATA", str(tmp_path))
    idx_folder(tmp_path / "FashionMNIST/raw")
    evil = pickle.dumps(canary)
    for name in ("training.pt", "test.pt"):
        path = tmp_path / "FashionMNIST/processed" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(evil)
    assert describe("fashion_mnist").num_samples == 10
    for number in range(1, 7):
        name = f"data_batch_{number}" if number < 6 else "test_batch"
        path = tmp_path / "cifar-10-batches-py" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(evil)
    with pytest.raises(ValueError, match="corrupted"):
        describe("cifar10")


def test_a_bomb_is_refused_when_a_sweep_is_planned(tmp_path, memory, stranger):
    name = archive(tmp_path / "bomb.npz", x_train=REAL_BOMB)
    lists = ("--batch-size", "8", "--learning-rate", "0.1", "--epochs", "1")
    where = ("--dataset", name, "--plan", "--results", stranger.uri)
    with little_memory():
        result = command(*lists, *where, of=grid_command)
    assert (result.exit_code, "unpacks to" in result.output) == (2, True)
