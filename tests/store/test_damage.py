"""Random damage to a finished results folder: what is left is right, the rest missed.

Never a traceback, never a wrong number, never waiting for a pipe.
"""

import faulthandler
import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers import Subset

import analysis
from analysis.frames.sweeps import find_sweeps
from raybs.launch.resources import Resources
from raybs.plan.overrides import Changes
from raybs.plan.resolve import Asked, find
from raybs.runner import carry_out, first_plan
from raybs.store.draws import stored_pairs
from raybs.store.opening import open_store
from raybs.store.store import Store
from raybs.sweep import main

TRIALS = '''"""Two rates, one of which diverges, and a fork."""
from raybs import Phase, TrainConfig, TrainSweep

def config(*phases):
    named = [Phase(batch_size=b, learning_rate=r, epochs=n) for b, r, n in phases]
    return TrainConfig(phases=tuple(named), dataset={dataset!r}, hidden=(4,))

start = (64, 0.05, 2)
SWEEP = TrainSweep(configs=(config(start, (32, 0.01, 2)), config(start, {other})))
'''
DRAWS = '''"""Draws from a small net."""
from raybs import GradientSweep, Phase, TrainConfig

phase = Phase(batch_size=64, learning_rate=0.05, epochs=2)
start = TrainConfig(phases=(phase,), dataset={dataset!r}, hidden=(4,))
SWEEP = GradientSweep(
    regimes={{"early": start}}, batch_sizes=(4, 32), num_draws=3, num_samples=64
)
'''
FILES = ["one.py", "two.py", "draws.py"]
FOLDERS = ["sweeps", "speeds", "rows", "draws", "gradients", "states"]


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A finished folder, and all that can be read from it."""

    folder: Path
    asked: list[Asked]
    held: dict[str, dict[object, str]]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, subset: Subset):
    """Three sweeps; their files are not merged, so that a part of them can be lost."""
    root = tmp_path_factory.mktemp("damage")
    folder = root / "sound"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(Store, "compact_rows", lambda self: None)
        patch.setattr(Store, "compact_chunks", lambda self, fold: None)
        texts = [
            TRIALS.format(dataset=subset.name, other=(64, 0.1, 1)),
            TRIALS.format(dataset=subset.name, other=(8, 1e9, 3)),
            DRAWS.format(dataset=subset.name),
        ]
        for file, text in zip(FILES, texts, strict=True):
            Path(file).write_text(text)
        asked = find(FILES, Changes(keep_gradients=True))
        store = open_store(str(folder), create=True)
        plan = first_plan(asked, store, Resources())
        carry_out(asked, plan, store, Resources(), local=True)
        [speed] = store.read_records("speeds", dict).values()
        store.write_record("speeds", "cpu-2", speed)
        assert all(len(list((folder / name).iterdir())) > 1 for name in FOLDERS)
        yield Sound(folder=folder, asked=asked, held=read(store))


def read(store: Store) -> dict[str, dict[object, str]]:
    """All that is stored, by what it is; as text, which is exact, of NaN as well."""
    frames = analysis.load(store)
    contents = {
        "rows": by(["state_key"], store.read_rows().to_pylist()),
        "history": by(["sweep", "trial", "epoch"], frames.history.to_dict("records")),
        "trials": by(["sweep", "trial"], frames.trials.to_dict("records")),
        "pairs": {
            (key, pair): ""
            for key, pairs in stored_pairs(store.read_chunks()).items()
            for pair in pairs
        },
        "states": {
            key: str(sorted((n, a.tobytes()) for n, a in state[0].items()))
            + str(state[1])
            for key in store.state_files()
            if (state := store.read_state(key))
        },
        "gradients": {
            (key, pair): str(gradient.tobytes())
            for key in store.kept_pairs()
            for pair, gradient in store.read_gradients(key).items()
        },
        "records": {name: "" for name in store.read_records("sweeps", dict)},
        "draws": {},
        "histogram": {},
    }
    if "draws" in contents["records"]:
        drawn = analysis.load_draws(store, "draws")
        contents["draws"] = by(
            ["batch_size", "sample_set"], drawn.draws.to_dict("records")
        )
        whole = drawn.histogram[drawn.histogram["num_draws"] == 3]
        contents["histogram"] = by(["batch_size", "lower"], whole.to_dict("records"))
    return contents


def by(names: list[str], rows: list[dict[str, object]]) -> dict[object, str]:
    texts = {}
    for row in rows:
        row.pop("results", None)  # the folder's name
        plain = {n: v.tolist() if hasattr(v, "tolist") else v for n, v in row.items()}
        texts[tuple(row[name] for name in names)] = str(plain)
    return texts


KINDS = {
    "another byte": 21,
    "another digit": 21,
    "another letter": 21,
    "cut off": 14,
    "longer": 14,
    "zeros": 14,
    "empty": 14,
    "gone": 14,
    "swapped": 24,
    "renamed": 21,
    "a folder": 7,
    "a pipe": 7,
    "a file for a folder": 9,
}
"""Of damage, and how many of each: 201."""


def damage(root: Path, kind: str, seed: int) -> list[Path]:
    """Do `kind` of damage to a file of `root`, or to two; return which.

    Seeds in a row take all folders by turns.
    """
    chance = random.Random(f"{kind} {seed}")
    if kind == "a file for a folder":
        places = [*FOLDERS, "rolling", "set_aside", "probes"]
        place = root / places[seed % len(places)]
        shutil.rmtree(place, ignore_errors=True)
        place.write_text("x")
        return [place]
    is_record = kind in ("another digit", "another letter")
    folders = [*(FOLDERS[:2] if is_record else FOLDERS), "."]
    folder = folders[seed % (len(folders) - (kind == "swapped"))]
    files = sorted(path for path in (root / folder).iterdir() if path.is_file())
    path = chance.choice(files)
    content = bytearray(path.read_bytes())
    place, end = sorted(chance.choices(range(len(content)), k=2))
    if kind == "another byte":
        content[place] = chance.choice([*{*range(256)} - {content[place]}])
    elif is_record:
        wanted = str.isdigit if kind == "another digit" else str.isalpha
        place = chance.choice([i for i, c in enumerate(content) if wanted(chr(c))])
        others = {*b"0123456789abcdefxyzENT"} - {content[place]}
        content[place] = chance.choice(sorted(others))
    elif kind == "cut off":
        del content[place:]
    elif kind == "longer":
        content += bytes(chance.choices(range(256), k=chance.randint(1, 99)))
    elif kind == "zeros":
        content[place : end + 1] = bytes(end + 1 - place)
    elif kind == "empty":
        content.clear()
    elif kind == "swapped":
        other = chance.choice([file for file in files if file != path])
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)
        return [path, other]
    elif kind == "renamed":
        names = [f"{path.name}.bak", f"x-{path.name}", f"y{path.suffix}"]
        return [path, path.rename(path.with_name(chance.choice(names)))]
    if kind in ("gone", "a folder", "a pipe"):
        path.unlink()
        if kind == "a folder":
            path.mkdir()
        elif kind == "a pipe":
            os.mkfifo(path)
    else:
        path.write_bytes(content)
    return [path]


def left_to_train(asked: list[Asked], store: Store) -> int:
    """Count epochs, one by one, from each missing row back to a stored state."""
    rows, states = store.read_statuses(), store.state_files()
    left = set()
    for request in (request for item in asked for request in item.requests):
        keys = request.keys
        ends = [k for k, key in enumerate(keys) if rows.get(key) == "diverged"]
        for k in request.measured:
            if keys[k] not in rows and k < min(ends, default=len(keys)):
                while k and keys[k] not in states:
                    left.add(keys[k])
                    k -= 1
    return len(left)


@pytest.fixture(autouse=True)
def no_waiting():
    """Nothing else ends the wait for a pipe."""
    faulthandler.dump_traceback_later(3600, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_after_damage_all_is_right_or_named(sound, tmp_path, monkeypatch, caplog, kind):
    monkeypatch.chdir(sound.folder.parent)
    for seed in range(KINDS[kind]):
        root = tmp_path / str(seed)
        shutil.copytree(sound.folder, root)
        paths = damage(root, kind, seed)
        where = [str(path.relative_to(tmp_path)) for path in paths]
        print(f"{kind}: {', '.join(where)}")  # what pytest shows of a failure
        caplog.clear()
        check(root, kind, paths, sound, caplog)
        shutil.rmtree(root)


def opened(root: Path) -> tuple[Store | None, str]:
    """The results folder, or why it is none."""
    try:
        return open_store(str(root)), ""
    except ValueError as error:
        return None, str(error)


def check(root: Path, kind: str, paths: list[Path], sound: Sound, caplog) -> None:
    arguments = [*FILES, "--plan", "--local", "--results", str(root)]
    planned = CliRunner().invoke(main, arguments)
    assert planned.exception is None or isinstance(planned.exception, SystemExit)
    store, why = opened(root)
    if store is None:
        assert paths[0].name in why
        if planned.exit_code:
            assert planned.output == f"{why}\n"
        else:  # a plan takes a folder without format.json for one to be made
            assert not paths[0].exists()
            assert planned.output.count("all stored") == 2
        return
    assert planned.exit_code == 0
    left = read(store)
    lost = {part: items.keys() - left[part] for part, items in sound.held.items()}
    check_what_is_there(left, sound.held, lost, kind)
    # The plan counts what is missing.
    num_left = left_to_train(sound.asked, store)
    epochs = f"{num_left} to train in" if lost["rows"] else "epochs: all stored."
    draws = (
        f"{len(lost['pairs'])} to take in" if lost["pairs"] else "draws: all stored."
    )
    assert epochs in planned.output
    assert draws in planned.output
    plan = first_plan(sound.asked, store, Resources())
    assert plan.to_train == num_left
    assert plan.to_draw == len(lost["pairs"] | lost["gradients"])
    # What is damaged is named, and nothing else; what has gone is looked for by name.
    if any(lost.values()) and kind not in ("gone", "renamed"):
        assert all(path.name in caplog.text for path in paths)
    aside = {path.name for path in root.glob("set_aside/*")}
    assert aside <= {path.name for path in paths}
    for name in lost["records"]:
        with pytest.raises(ValueError, match=f"No sweep '{name}'"):
            find_sweeps(store, [str(name)])


def check_what_is_there(left, held, lost, kind) -> None:
    """All of it is as it was; trials without their last row are unfinished."""
    for part, items in left.items():
        # A state by another name is nobody's.
        assert items.keys() <= held[part].keys() or kind == "renamed"
        for key in items.keys() & held[part].keys():
            whole = part != "trials" or not any(key == k[:2] for k in lost["history"])
            assert not whole or items[key] == held[part][key], (part, key)
    ends = {}
    for *trial, epoch in sorted(held["history"], key=lambda key: key[2]):
        ends[tuple(trial)] = (*trial, epoch)
    for trial, text in left["trials"].items():
        missed = ends[trial] in lost["history"]
        assert ("'status': 'unfinished'" in text) == missed
