"""The picture of the rooms is drawn from the imports there are."""

import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs.rooms import PICTURE, draw, one_way, rows_of, without_implied

TOP = Path(__file__).parents[2]


def test_the_committed_picture_is_of_todays_imports():
    assert PICTURE.read_text() == draw(), "python -m docs.rooms draws it again"


def test_every_folder_of_code_has_one_box():
    texts = ElementTree.parse(PICTURE).iter("{http://www.w3.org/2000/svg}text")
    names = Counter(text.text for text in texts if text.get("class") is None)
    folders = [path.parent.name for path in TOP.glob("*/*/__init__.py")]
    assert {"store", "frames"} < set(folders)
    assert [names[name] for name in folders] == [1] * len(folders)
    modules = {name for name in names if name.endswith(".py")}
    assert modules == {
        *("__main__.py", "sweep.py", "doctor.py", "export.py"),
        *("trained.py", "runner.py"),
    }


def test_the_map_names_every_room_and_modules_that_exist():
    page = (TOP / "docs/design.md").read_text()
    rows = re.findall(r"^\| `([a-z/]+)/` \| .* \| (.*) \|$", page, re.MULTILINE)
    mapped = {room for room, _ in rows}
    assert {"raybs/store", "tests"} < mapped
    packages = [*TOP.glob("*/*/__init__.py"), *TOP.glob("raybs/*/*/__init__.py")]
    assert {str(path.parent.relative_to(TOP)) for path in packages} <= mapped
    for room, modules in rows:
        for module in re.findall(r"`([a-z_]+)`", modules):
            assert (TOP / room / f"{module}.py").is_file(), f"{room}/{module}"


def test_a_room_stands_below_all_that_import_it():
    arrows = {("a", "b"), ("b", "d"), ("a", "d"), ("d", "e"), ("lone", "e")}
    assert rows_of(arrows) == {"a": 0, "b": 1, "d": 2, "e": 3, "lone": 2}


def test_an_arrow_that_a_longer_way_implies_is_left_out():
    arrows = {("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d")}
    assert without_implied(arrows) == [("a", "b"), ("b", "c"), ("c", "d")]


def test_of_two_rooms_that_import_one_another_the_busier_way_counts():
    arrows = Counter({("a", "b"): 1, ("b", "a"): 4, ("b", "c"): 1})
    assert one_way(arrows) == {("b", "a"), ("b", "c")}


def test_a_circle_of_rooms_is_named():
    with pytest.raises(ValueError, match=re.escape("b, c, d import one another")):
        rows_of({("a", "b"), ("b", "c"), ("c", "d"), ("d", "b")})
