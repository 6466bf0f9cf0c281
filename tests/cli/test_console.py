"""The command `raybs`: one name for all commands, and nothing imported too early."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from helpers import record, row

import analysis
from raybs.cli import export
from raybs.cli.main import COMMANDS, EPILOG, main
from raybs.config import TrainSweep
from raybs.config.keys import state_keys

TOP = Path(__file__).parents[2]


def run(*words, **environment):
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(TOP)} | environment,
    )


def call(*words, status=0):
    result = CliRunner().invoke(main, [str(word) for word in words], prog_name="raybs")
    assert result.exit_code == status, result.output
    return result.output


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_h_is_help_of_every_command(name):
    output = call(name, "-h")
    assert output == call(name, "--help")
    assert output.startswith(f"Usage: raybs {name} [OPTIONS]")
    assert "-h, --help" in output
    assert "None" not in output  # as in x<=None
    assert name in call("-h")


def test_the_branches_of_a_command_are_reached():
    assert call("sweep", "grid", "-h").startswith("Usage: raybs sweep grid [OPTIONS]")
    assert "raybs, version" in call("--version")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["swep"], "No command 'swep'. Did you mean 'sweep'? Known: sweep, report"),
        (["zzz"], "No command 'zzz'. Known: sweep, report, advise"),
        (["recovery"], "To run this sweep: raybs sweep recovery"),
        (["mine.py", "--plan"], "To run this sweep: raybs sweep mine.py"),
        (["sweep", "recovry"], "Did you mean 'recovery'?"),
        (["--versio"], "No such option"),
    ],
)
def test_a_wrong_word_gets_the_one_that_was_meant(words, said):
    assert said in call(*words, status=2)


@pytest.mark.parametrize("examples", [EPILOG, export.EXAMPLES])
def test_examples_of_help_can_be_parsed(examples):
    lines = [line.strip() for line in examples.splitlines()]
    lines = [line for line in lines if line.startswith("raybs ")]
    assert len(lines) > 2
    for line in lines:
        _, name, *words = shlex.split(line, comments=True)
        main.commands[name].make_context(name, words)  # it exits on a wrong request


@pytest.mark.slow
def test_it_is_the_same_as_the_modules(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words, module in (
        (["sweep", "recovery", "--plan"], ["-m", "raybs.sweep", "recovery", "--plan"]),
        (["sweep", "--seeds", "x"], ["-m", "raybs.sweep", "--seeds", "x"]),
        (["report", "--results", "no"], ["-m", "analysis", "--results", "no"]),
    ):
        ours, theirs = run(script, *words), run(*module)
        assert ours.returncode == theirs.returncode
        assert (ours.stdout, ours.stderr) == (theirs.stdout, theirs.stderr)


@pytest.mark.parametrize(
    ("words", "without"),
    [
        ("['--help']", "torch ray pandas altair numpy pyarrow pydantic"),
        ("['sweep', '--help']", "torch ray pandas altair"),
        ("['sweep', '--list']", "torch ray pandas altair"),
        ("['sweep', 'lr_compensation', '--plan']", "torch ray pandas altair"),
    ],
)
def test_what_is_not_needed_is_not_imported(tmp_path, monkeypatch, words, without):
    monkeypatch.chdir(tmp_path)
    code = (
        "import sys, contextlib; from raybs.cli.main import main\n"
        f"with contextlib.suppress(SystemExit): main({words})\n"
        f"print({{*{without!r}.split()}} & {{*sys.modules}})"
    )
    done = run("-c", code)
    assert done.stdout.splitlines()[-1] == "set()", done.stderr


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("raybs do", {"plain,doctor"}),
        ("raybs sweep rec", {"plain,recovery", "file,rec"}),
        ("raybs sweep recovery --loc", {"plain,--local"}),
        ("raybs sweep grid --zi", {"plain,--zip"}),
    ],
)
def test_a_shell_completes_commands_sweeps_and_options(script, line, completed):
    place = str(len(line.split()) - 1)
    shell = {"_RAYBS_COMPLETE": "bash_complete", "COMP_CWORD": place}
    done = run(script, COMP_WORDS=line, **shell)
    assert {*done.stdout.split()} == completed


def test_a_file_may_import_what_is_beside_it(script, sweep_file, tmp_path):
    path = Path(sweep_file())
    Path("mine_too.py").write_text("x = 1")
    path.write_text(path.read_text() + "\nfrom mine_too import x\n")
    done = run(script, "sweep", path, "--plan")
    assert "4 trials ask for" in done.stdout, done.stderr


@pytest.fixture
def stored(store, subset):
    config = subset.config((8, 0.1, 2))
    record(store, "mine", TrainSweep(configs=(config,)))
    keys = state_keys(config, "f")
    store.write_rows([row(key, epoch, 0.5) for epoch, key in enumerate(keys)])
    return store


@pytest.mark.parametrize(
    ("kind", "read"), [("parquet", pd.read_parquet), ("csv", pd.read_csv)]
)
def test_export_writes_the_frames_that_python_loads(stored, tmp_path, kind, read):
    output = call(
        *("export", "mine", tmp_path / "out", "--results", stored.uri, "--format", kind)
    )
    assert f"trials.{kind}: 1 rows, " in output
    frames = analysis.load(stored)
    for name, frame in (("trials", frames.trials), ("history", frames.history)):
        written = read(tmp_path / f"out/{name}.{kind}")
        assert list(written.columns) == list(frame.columns)
        assert written["seed"].tolist() == frame["seed"].tolist()
    assert written["test_accuracy"].tolist() == frames.history["test_accuracy"].tolist()
    assert len(list((tmp_path / "out").iterdir())) == 2  # nothing half written


def test_export_of_draws_and_of_nothing(tmp_path, reference):
    call("export", "crossed", tmp_path, "--results", reference)
    draws = pd.read_parquet(tmp_path / "draws.parquet")
    pd.testing.assert_frame_equal(
        draws, analysis.load_draws(reference, "crossed").draws
    )
    output = call("export", "nosuch", tmp_path, "--results", reference, status=2)
    assert "No sweep 'nosuch'" in output
