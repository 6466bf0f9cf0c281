"""Each contract on imports is kept, and one forbidden import breaks it."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
SETTINGS = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["importlinter"]
NAMES = [contract["name"] for contract in SETTINGS["contracts"]]
RAYBS, TORCH, RAY, LAUNCH, ROOMS, ANALYSIS = NAMES

LINT = "from importlinter.cli import lint_imports_command as lint; lint()"

# A contract, a room, and what it keeps that room from importing.
FORBIDDEN = [
    (RAYBS, "raybs/store", "raybs.launch"),
    (RAYBS, "raybs/train", "raybs.gradients"),
    (TORCH, "raybs/plan", "torch"),
    (RAY, "raybs/trackers", "ray"),
    (LAUNCH, "raybs/launch", "raybs.launch.ray"),
    (ROOMS, "analysis/frames", "raybs.plan"),
    (ROOMS, "analysis/statistics", "torch"),
    (ANALYSIS, "analysis/advice", "analysis.charts"),
    (ANALYSIS, "analysis/claims", "analysis.charts"),
]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages' code and the contracts, alone in a folder."""
    folder = tmp_path_factory.mktemp("packages")
    shutil.copy(TOP / "pyproject.toml", folder)
    for package in SETTINGS["root_packages"]:
        for module in (TOP / package).rglob("*.py"):
            copied = folder / module.relative_to(TOP)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(module, copied)
    return folder


def broken_in(packages: Path) -> list[str]:
    """The contracts that are broken there."""
    done = subprocess.run(
        [sys.executable, "-c", LINT, "--no-logo", "--cache-dir", ".cache"],
        cwd=packages,
        env=os.environ | {"PYTHONPATH": str(packages), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    kept = [name for name in NAMES if f"\n{name} KEPT" in done.stdout]
    broken = [name for name in NAMES if f"\n{name} BROKEN" in done.stdout]
    assert sorted(kept + broken) == sorted(NAMES), done.stdout + done.stderr
    return broken


def test_all_contracts_are_kept(packages):
    assert broken_in(packages) == []


@pytest.mark.parametrize(("contract", "room", "imported"), FORBIDDEN)
def test_one_forbidden_import_breaks_its_contract(packages, contract, room, imported):
    added = packages / room / "added.py"
    added.write_text(f"import {imported}\n")
    try:
        assert broken_in(packages) == [contract]
    finally:
        added.unlink()


@pytest.mark.parametrize(
    ("contract", "package"), [(RAYBS, "raybs"), (ANALYSIS, "analysis")]
)
def test_a_new_room_needs_its_place_in_the_layers(packages, contract, package):
    added = packages / package / "added.py"
    added.write_text("")
    try:
        assert broken_in(packages) == [contract]
    finally:
        added.unlink()


def test_no_contract_is_left_out():
    assert {contract for contract, _, _ in FORBIDDEN} == set(NAMES)
