"""Modules of a user's that have the names of ours: ours are used, or it is said."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from raybs import beside

pytestmark = pytest.mark.slow

TOP = Path(__file__).parents[2]

CONSOLE = """
import sys
sys.path.remove("")  # what a script's own folder stands for
sys.argv[0] = "raybs"
from raybs.__main__ import main
main()
"""


def run(*words):
    """Run Python in this folder, from which `python -m` and `-c` import first."""
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(TOP)},
    )


def as_file(name):
    Path(f"{name}.py").write_text("")


def as_package(name):
    Path(name).mkdir()
    Path(name, "__init__.py").write_text("")


def as_folder(name):
    Path(name).mkdir()
    Path(name, "mine.py").write_text("")


@pytest.fixture(params=[as_file, as_package, as_folder])
def hide(request, sweep_file):
    sweep_file(1)
    return request.param


def test_a_sweep_runs_to_its_charts_beside_anything(hide):
    hide("analysis")
    hide("sweeps")
    done = run("-m", "raybs.sweep", "mine.py", "--local")
    assert done.returncode == 0, done.stderr
    assert Path("results/figures/mine/curves.png").exists()
    # One that comes with raybs and starts from another.
    assert "570 to train" in run("-m", "raybs.sweep", "adam_vs_sgd", "--plan").stdout


def test_the_report_is_made_beside_sweeps_of_ones_own(tmp_path, monkeypatch, reference):
    monkeypatch.chdir(tmp_path)
    as_package("sweeps")
    done = run("-m", "analysis", "findings", reference)
    assert "Of the article's 13 findings" in done.stdout, done.stderr


def test_an_analysis_without_raybs_says_what_hides_it(hide, reference):
    hide("raybs")
    done = run("-m", "analysis", "findings", reference)
    if hide is as_folder:  # of which Python makes a package only if there is no other
        assert "Of the article's 13 findings" in done.stdout, done.stderr
        return
    assert done.returncode != 0
    [line] = done.stderr.splitlines()
    assert "hides the raybs that analysis needs; rename it" in line
    assert str(Path.cwd() / "raybs") in line


def test_the_console_script_works_beside_a_raybs_of_ones_own(sweep_file):
    """But workers of Ray would import that one: they look in this folder first."""
    sweep_file(1)
    for name in ("raybs", "analysis", "sweeps"):
        as_package(name)
    done = run("-c", CONSOLE, "sweep", "mine.py", "--local")
    assert done.returncode == 0, done.stderr
    assert Path("results/figures/mine/curves.png").exists()
    done = run("-c", CONSOLE, "sweep", "mine.py", "--seeds", "0,1")
    assert done.returncode == 2, done.stdout
    [line] = done.stderr.splitlines()
    assert "hides raybs from Ray's workers; rename it" in line


@pytest.mark.parametrize("name", ["analysis", "sweeps"])
def test_a_script_that_has_imported_its_own_is_told_so(hide, name):
    hide(name)
    if hide is as_folder:
        hide = as_package
        Path(name, "__init__.py").write_text("")
    code = f"import {name}, raybs; raybs.run('adam_vs_sgd', local=True)"
    done = run("-c", code)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ValueError: "), done.stderr
    assert f"hides the '{name}' that comes with raybs; rename it." in last
    assert not Path("results").exists()


def test_what_is_beside_raybs_is_imported_once():
    import sweeps

    assert beside.import_beside("sweeps") is sweeps
