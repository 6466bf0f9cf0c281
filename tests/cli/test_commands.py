"""Every command that a message suggests is run: it is no wrong request."""

import ast
import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers import numbers, record, row, save_subset

import analysis
from analysis import __main__ as reader
from analysis.claims.claim import Claim, Contrast
from analysis.claims.judge import judge
from analysis.claims.sentences import sentence
from analysis.commands import cell_command, trial_command
from raybs import GradientSweep, TrainSweep, doctor, export, run, sweep
from raybs.cli import grid as grid_command
from raybs.config.keys import state_keys
from raybs.plan import resolve as asked
from raybs.store.opening import open_store
from raybs.store.records import record_from_json

ROOT = Path(__file__).parents[2]
COMMAND = re.compile(r"""python -m [^;:,()\\"\n]*[\w/*]""")
COMMANDS = {
    "raybs.sweep": sweep.main,
    "raybs.sweep grid": grid_command.grid_command,
    "analysis": reader.main,
    "analysis advise": reader.advise_command,
    "analysis findings": reader.findings_command,
}
EXAMPLES = {
    "raybs.sweep": sweep.EXAMPLES,
    "raybs.sweep grid": grid_command.EXAMPLES,
    "analysis": reader.EXAMPLES,
    "analysis advise": reader.ADVICE_EXAMPLES,
    "analysis findings": reader.FINDINGS_EXAMPLES,
}
ENDLESS = ("--watch", " ... ", " grid ...")
"""Of examples: what ends by Ctrl-C alone, and what is left out of a line."""


@pytest.fixture
def here(tmp_path, monkeypatch, subset):
    """A folder with a sweep file, data, claims, and results of a grid and draws."""
    monkeypatch.chdir(tmp_path)
    save_subset(Path("my.npz"))
    net = ROOT / "docs/net.py"
    Path("net.py").write_text(net.read_text())
    configs = [
        subset.config((size, rate, 2), seed=seed)
        for size in (8, 64)
        for rate in (0.01, 0.1)
        for seed in (0, 1)
    ]
    store = open_store("results", create=True)
    record(store, "grid", TrainSweep(configs=tuple(configs)))
    for config in configs:
        for epoch, key in enumerate(state_keys(config, "f")):
            store.write_rows([row(key, epoch, 0.9 + epoch / 50)])
    Path("my_sweep.py").write_text(
        "from raybs import Phase, TrainConfig, TrainSweep\n"
        "phase = Phase(batch_size=8, learning_rate=0.1, epochs=1)\n"
        "SWEEP = TrainSweep(configs=(TrainConfig(phases=(phase,)),))\n"
    )
    Path("mine.toml").write_text(
        '[[claim]]\nsentence = "x"\nsweep = "grid"\nseeds = 2\n'
        'metric = "final_test_accuracy"\n'
        'contrasts = [{ of = "8 @ 0.1 x 2", above = 0 }]\n'
    )
    return store


def execute(line):
    """Run a suggested command in this process; of sweeps their plan alone."""
    words = shlex.split(line, comments=True)
    assert words[:2] == ["python", "-m"]
    module, *rest = words[2:]
    if rest and f"{module} {rest[0]}" in COMMANDS:
        module, rest = f"{module} {rest[0]}", rest[1:]
    if module.startswith("raybs.sweep") and not {"--help", "--list"} & {*rest}:
        rest = [*rest, "--plan"]
    result = CliRunner().invoke(COMMANDS[module], rest)
    assert result.exit_code == 0, f"{line}\n{result.output}"
    assert "leaves out" not in result.output, f"{line}\n{result.output}"


def commands_in(text):
    """Return the commands that a message suggests, as they may be typed."""
    return [line.strip() for line in COMMAND.findall(" ".join(text.split()))]


def said_by(*words, of=reader.main, status=2):
    result = CliRunner().invoke(of, words)
    assert result.exit_code == status, result.output
    return result.output


def said_by_errors(store):
    """Yield what users are told when something is not there."""
    yield said_by("advise_nothing")
    yield said_by("batch_size")
    yield said_by("results")
    yield said_by("results", "lr_compensation", of=reader.advise_command)
    yield said_by("results", "nosuch", of=reader.advise_command)
    elsewhere = open_store("elsewhere", create=True)
    record(elsewhere, "mine", store.read_records("sweeps", record_from_json)["grid"][0])
    yield said_by("--results", "elsewhere", "nosuch")
    yield said_by("--results", "elsewhere", "recovery")
    yield said_by("elsewhere")
    empty = open_store("empty", create=True)
    yield said_by("--results", "empty")
    yield said_by("empty", of=reader.advise_command)
    yield said_by("recovery", "--draws", "5", of=sweep.main)
    yield said_by("recovery", "grid", of=sweep.main)
    yield said_by(of=sweep.main)
    with pytest.raises(ValueError, match="No sweep") as error:
        analysis.load_draws(empty, "gradient_competition")
    yield str(error.value)


def said_by_verdicts():
    """Yield the sentences of claims on sweeps that are bundled, and that are not."""
    for name in ("far_enough", "gradient_competition", "x_frozen", "my_sweep"):
        unit = "draws" if "gradient" in name or "frozen" in name else "seeds"
        contrast = Contrast(metric="final_test_accuracy", of="64 @ 0.01 x 30")
        claim = Claim(
            kind="own",
            sentence="x",
            sweep=name,
            unit=unit,
            num_needed=5,
            contrasts=(contrast,),
        )
        [verdict] = judge(
            analysis.claims.claim.Claims(sections=(), claims=(claim,)), None, {}
        )
        yield sentence(verdict)


@pytest.mark.slow
def test_commands_that_messages_suggest_are_no_wrong_requests(here):
    texts = [*said_by_errors(here), *said_by_verdicts()]
    lines = {line for text in texts for line in commands_in(text)}
    assert len(lines) >= 8
    for line in sorted(lines):
        execute(line)


def literals():
    """Yield the commands in strings of the code, up to what is filled in."""
    known = [*EXAMPLES.values(), export.EXAMPLES]  # of trials that are not here
    for path in [*ROOT.glob("raybs/**/*.py"), *ROOT.glob("analysis/**/*.py")]:
        tree = ast.parse(path.read_text("utf-8"))
        documented = (ast.Module, ast.FunctionDef, ast.ClassDef)
        docstrings = {
            ast.get_docstring(node, clean=False)
            for node in ast.walk(tree)
            if isinstance(node, documented)
        }
        for node in ast.walk(tree):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
            if is_text and "python -m" in node.value and node.value not in docstrings:
                if not any(node.value in text for text in known):
                    yield from commands_in(node.value)


def test_every_command_in_the_code_is_one_that_was_run(here):
    """A new message with a command joins the ones above."""
    texts = [*said_by_errors(here), *said_by_verdicts()]
    run_before = {line for text in texts for line in commands_in(text)}
    lines = {*literals()}
    assert len(lines) > 5
    bare = ("python -m analysis", "python -m raybs.doctor", "python -m raybs.export")
    for line in lines - {*bare}:
        filled_in = any(known.startswith(line) for known in run_before)
        if not filled_in and "doctor" not in line:
            execute(line)


@pytest.mark.slow
@pytest.mark.parametrize("module", EXAMPLES)
def test_examples_of_help_are_no_wrong_requests(here, subset, module):
    whole = EXAMPLES[module].replace("\\\n", " ")
    lines = [line.strip() for line in whole.splitlines()]
    lines = [line for line in lines if line.startswith("python -m")]
    assert len(lines) > 2
    if module == "raybs.sweep grid":  # of a newcomer, who has none yet
        here.files.delete(["sweeps/grid.json"])
    reference = open_store("docs/reference", create=True)
    record(reference, "recovery", TrainSweep(configs=(subset.config((8, 0.1, 2)),)))
    for line in lines:
        if not any(word in line for word in ENDLESS):
            execute(line)


def test_commands_of_the_appendix_run_a_trial_and_a_cell_again(here, subset):
    config = subset.config((8, 0.1, 1))
    one = TrainSweep(configs=(config,))
    run(one, name="one", results="once", local=True)
    trained(trial_command(config, one))
    assert numbers(open_store("rerun")) == numbers(open_store("once"))
    draws = GradientSweep(
        regimes={"early": config}, batch_sizes=(4, 8), num_draws=2, num_samples=16
    )
    trained(cell_command("early", 4, draws))
    assert analysis.load_draws("rerun", "rerun").cells["stored"].tolist() == [2]


def trained(line):
    """Run a `python -c` command, but in this process, and in place of what was."""
    python, flag, code = shlex.split(line)
    assert (python, flag) == ("python", "-c")
    local = code.replace('results="rerun", ', 'results="rerun", local=True, ')
    assert local != code
    with contextlib.redirect_stdout(io.StringIO()):
        exec(local, {})


def test_a_sweep_that_is_there_is_never_called_missing():
    assert asked.find(["recovery"])[0].name == "recovery"
    assert doctor.EXAMPLES.count("python -m raybs.doctor") == 3
