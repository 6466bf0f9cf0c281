"""Fixtures of tests of commands."""

import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


@pytest.fixture
def script(tmp_path):
    """What pip writes for the entry point, into a folder of its own."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    module, _, function = project["scripts"]["raybs"].partition(":")
    (tmp_path / "bin").mkdir()
    path = tmp_path / "bin/raybs"
    path.write_text(
        f"import sys\nfrom {module} import {function}\nsys.exit({function}())"
    )
    return str(path)
