"""What CONTRIBUTING.md and the pre-commit configuration say is so."""

import re
from pathlib import Path

import yaml

TOP = Path(__file__).parents[2]
PAGE = (TOP / "CONTRIBUTING.md").read_text()


def test_what_a_newcomer_looks_for_is_where_the_page_says():
    rows = re.findall(r"^\| .+ \| `([a-z/]+)/` \| (`.+`) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 5
    for folder, names in rows:
        code = "\n".join(path.read_text() for path in (TOP / folder).glob("*.py"))
        for name in re.findall(r"`(\w+)`", names):
            defined = rf"^(def {name}\(|{name}(: .+)? = )"
            assert re.search(defined, code, re.MULTILINE), f"{name} in {folder}"


def test_every_file_and_folder_that_the_page_names_exists():
    words = re.findall(r"`([\w./-]+)`", PAGE)
    paths = [word for word in words if "/" in word and not word.startswith("/")]
    assert len(paths) > 20
    for path in paths:
        assert (TOP / path).exists(), path


def test_pre_commit_runs_the_linters_of_ci():
    [repository] = yaml.safe_load((TOP / ".pre-commit-config.yaml").read_text())[
        "repos"
    ]
    script = (TOP / ".ci/run").read_text()
    linters = script.partition('echo "== ruff, mypy, import-linter"\n')[2]
    assert [hook["entry"] for hook in repository["hooks"]] == linters.splitlines()
