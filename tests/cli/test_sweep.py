"""The command line as a user meets it, on real data, without Ray."""

import contextlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import Subset, numbers
from waits import finish, run

from benchmarks.schedule import TRAINING_SWEEPS
from raybs import runner
from raybs.cli.values import Seeds, Share
from raybs.config.catalog import find_sweep
from raybs.config.units import size
from raybs.plan import cost
from raybs.plan.cost import Speed, speed_from_json
from raybs.plan.processor import processor
from raybs.store.opening import FORMAT, open_store
from raybs.sweep import main

FILE = '''"""Two rates side by side.

More words.
"""
from raybs import Phase, TrainConfig, TrainSweep

SWEEP = TrainSweep(
    configs=tuple(
        TrainConfig(
            phases=(Phase(batch_size={size}, learning_rate=rate, epochs={epochs}),),
            dataset={dataset!r},
            hidden=(16, 12),
        )
        for rate in {rates}
    ),
)
'''


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(subset: Subset, name="mine.py", size=64, epochs=2, rates=(0.01, 0.1)):
    text = FILE.format(size=size, epochs=epochs, rates=rates, dataset=subset.name)
    Path(name).write_text(text)
    return name


def call(*arguments, status=0):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result.output


@pytest.mark.slow
@pytest.mark.drawing
def test_a_users_file_runs_from_any_folder_to_table_and_charts(here, subset):
    output = call(write(subset), "--local")
    assert "mine: Two rates side by side." in output
    assert "64 @ 0.01 x 2, " in output
    assert "complete" in output
    written = {path.name for path in (here / "results/figures/mine").iterdir()}
    assert written == {
        "table.md",
        *(
            f"{n}.{kind}"
            for n in ("curves", "distance")
            for kind in ("html", "png", "svg")
        ),
    }


@pytest.mark.slow
def test_a_finished_sweep_answers_from_what_is_stored_without_ray_or_torch(
    here, subset
):
    call(write(subset), "--local")
    script = (
        "import sys; from raybs.sweep import main; "
        "main(['mine.py'], standalone_mode=False); "
        "print([name for name in ('ray', 'torch') if name in sys.modules])"
    )
    done = run([sys.executable, "-c", script], stderr=subprocess.PIPE)
    assert "all stored" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
@pytest.mark.drawing
def test_a_diverged_trial_is_a_result_and_the_other_is_as_without_it(here, subset):
    both = write(subset, rates=(1e9, 0.01), size=8)
    output = call(both, "--local", "--results", "both")
    assert re.search(r"8 @ 1000000000 x 2.* diverged", output)
    assert re.search(r"8 @ 0.01 x 2.* complete", output)
    svg = (here / "both/figures/mine/curves.svg").read_text()
    assert "diverged at epoch 1" in svg
    call(write(subset, "calm.py", rates=(0.01,), size=8), "--local", "--results", "one")
    pairs = {row["state_key"]: row for row in numbers(open_store("both"))}
    for row in numbers(open_store("one")):
        assert pairs[row["state_key"]] == row


def test_plan_says_what_would_be_trained_and_leaves_nothing(here, subset):
    name = write(subset)
    output = call(name, "--plan", "--seeds", 5)
    assert "10 trials ask for 20 epochs: 0 stored, 0 shared" in output
    assert "20 to train" in output
    assert not (here / "results").exists()
    call(name, "--local")
    assert "4 stored" in call(name, "--plan", "--seeds", "0,1,2,3,4")
    assert call("--plan", *TRAINING_SWEEPS).startswith(
        "21 trials ask for 1,621 epochs: 0 stored, 901 shared between trials,\n720 to"
    )
    drawn = call("--plan", "gradient_competition", "--draws", 20, "--regime", "late")
    assert "1 trial asks for 30 epochs: 0 stored" in drawn
    assert "300 draws: 0 stored, 300 to take in" in drawn


def test_list_names_every_sweep():
    output = call("--list")
    for name in ("adam_vs_sgd", "batch_size", "far_enough", "lr_compensation"):
        assert name in output


def test_help_has_examples():
    output = call("--help")
    assert "python -m raybs.sweep recovery --plan" in output


def test_max_epochs_is_a_smoke_run_of_the_same_sweep(here, subset):
    call(write(subset, epochs=9), "--local", "--max-epochs", 1)
    rows = numbers(open_store("results"))
    assert sorted(row["epoch"] for row in rows) == [0, 1, 1]


def test_precision_is_part_of_what_a_row_is(here, subset):
    name = write(subset, epochs=1, rates=(0.1,))
    call(name, "--local")
    output = call(name, "--local", "--precision", "bfloat16", "--replace", "--yes")
    assert "bfloat16" in output
    rows = numbers(open_store("results"))
    assert len({row["state_key"] for row in rows}) == len(rows) == 4
    assert len({row["train_loss"] for row in rows}) == 3  # init is the same


def test_a_sweep_measures_the_machine_once_and_plans_by_it(here, subset, monkeypatch):
    """After the first sweep, whose start would have to wait for it."""
    from raybs.launch import local

    calls = []

    def probe(device, replicas):
        calls.append((device, replicas))
        packs = ((1, 2),) if replicas else ()
        return Speed(
            step_seconds=((1, 7200.0),),
            optimizer_seconds=0.0,
            overhead_seconds=0.0,
            sample_seconds=0.0,
            replicas=packs,
        )

    monkeypatch.setattr(local, "probe", probe)
    call(write(subset, "a.py", epochs=1), "--local")
    call(write(subset, "b.py", epochs=2), "--local")
    assert calls == [("cpu", False)]
    assert " h on " in call(write(subset, "c.py", epochs=3), "--plan")
    call(write(subset, "c.py", epochs=3), "--local", "--replicas", "auto")
    call(write(subset, "d.py", epochs=4), "--local", "--replicas", "auto")
    assert calls == [("cpu", False), ("cpu", True)]
    packs = {r["num_replicas"] for r in open_store("results").read_rows().to_pylist()}
    assert packs == {1, 2}


def test_an_unreadable_speed_is_set_aside_and_measured_again(here, subset):
    (here / "results/speeds").mkdir(parents=True)
    (here / "results/speeds/cpu-1.json").write_text('{"step_seconds": 3}')
    call(write(subset, epochs=1), "--local")
    [speed] = (here / "results/speeds").glob("*.json")
    assert speed_from_json(json.loads(speed.read_text())).step_seconds


def test_a_machine_that_cannot_be_measured_costs_a_sweep_nothing(
    here, subset, monkeypatch, caplog
):
    from raybs.launch import local

    def probe(device, replicas):
        raise ValueError("too warm")

    monkeypatch.setattr(local, "probe", probe)
    name = write(subset, epochs=1)
    assert "Written to" in call(name, "--local")
    assert "too warm" in caplog.text
    assert "too warm" in call(
        name, "--local", "--seeds", "2", "--replicas", "auto", status=2
    )


def test_prune_deletes_states_that_no_sweep_needs_and_no_row(here, subset):
    call(write(subset, "a.py", rates=(0.1,)), "--local")
    call(write(subset, "b.py", rates=(0.2,)), "--local")
    (here / "results/sweeps/b.json").unlink()
    left = here / "results/states/left-0.safetensors.1.tmp"
    new = here / "results/states/new-0.safetensors.1.tmp"
    for path in (left, new):
        path.write_bytes(b"half")
    os.utime(left, (0, 0))
    before = numbers(open_store("results"))
    plan = call("--prune", "--plan")
    kept, gone = (here / "results/states").glob("*.safetensors"), left.stat().st_size
    bytes_of_b = max(path.stat().st_size for path in kept)
    assert "a, 1 trial: 1 state (" in plan
    assert "to keep, 0 (0 B) to delete" in plan
    assert (
        f"or unfinished: 0 states (0 B) to keep, 2 ({size(bytes_of_b + gone)})" in plan
    )
    assert f"2 files, {size(bytes_of_b + gone)}, to delete in" in plan
    refused = call("--prune", status=2)
    assert f"--prune deletes 2 files, {size(bytes_of_b + gone)}" in refused
    assert "confirm it with --yes" in refused
    assert left.exists()
    assert "Deleted 2 files" in call("--prune", "--yes")
    assert numbers(open_store("results")) == before
    assert not left.exists()
    assert new.exists()  # its writer may live
    assert len(list((here / "results/states").glob("*.safetensors"))) == 1
    assert "all stored" in call("a.py", "--local")
    assert "all stored" in call("b.py", "--local")


def run_module(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "raybs.sweep", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="for oneDNN on x86 alone")
def test_bfloat16_is_refused_where_it_is_slower(here, subset):
    """For real: oneDNN is told to use AVX2 alone, as on older processors."""
    name = write(subset, epochs=1, rates=(0.1,))
    slow = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    arguments = (name, "--local", "--precision", "bfloat16")
    refused = run_module(*arguments, **slow)
    assert refused.returncode == 2, refused.stderr
    said = re.search(r"bfloat16 takes (\S+) times as long as float32", refused.stderr)
    assert said
    assert float(said[1]) > 2
    assert processor() in refused.stderr
    assert "confirm it with --yes" in refused.stderr
    assert not list((here / "results/rows").iterdir())
    assert not list((here / "results/sweeps").iterdir())  # it never ran
    # By now it is known, and the plan says so.
    planned = run_module(*arguments, "--plan", **slow)
    assert f"Note: bfloat16 takes {said[1]} times as long" in planned.stdout
    confirmed = run_module(*arguments, "--yes", **slow)
    assert confirmed.returncode == 0, confirmed.stderr
    assert len(numbers(open_store("results"))) == 2


def test_bfloat16_at_batch_sizes_that_never_use_it_is_not_measured(
    here, subset, monkeypatch
):
    """Plain SGD up to batch size 8 defers its updates, in float32."""
    # It would be an error to ask.
    monkeypatch.setattr("raybs.launch.calibration.check_half", None)
    call(write(subset, size=8, epochs=1), "--local", "--precision", "bfloat16")
    assert len(numbers(open_store("results"))) == 3  # init is shared


def test_a_replacement_that_was_interrupted_leaves_no_chart_of_the_old(
    here, subset, monkeypatch
):
    call(write(subset, rates=(0.01, 0.1)), "--local")
    other = write(subset, rates=(0.2,))

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr("raybs.launch.local.carry", interrupted)
        with pytest.raises(KeyboardInterrupt):
            runner.run(find_sweep(other)[2], name="mine", local=True, replace=True)
    assert list((here / "results/figures/mine").iterdir()) == []
    assert "64 @ 0.2 x 2" in call(other, "--local")  # the same, or with --replace


def test_the_same_data_under_another_path_is_the_same_sweep(here, subset):
    shutil.copy(subset.name, "one.npz")
    name = write(subset)
    text = Path(name).read_text()
    Path(name).write_text(text.replace(repr(subset.name), "'one.npz'"))
    call(name, "--local")
    Path(name).write_text(text.replace(repr(subset.name), "'./one.npz'"))
    assert "all stored" in call(name, "--local")
    shutil.copy(subset.name, "two.npz")
    with np.load(subset.name) as arrays:
        changed = {**arrays, "x_train": arrays["x_train"] // 2}
    np.savez("one.npz", **changed)
    assert "leaves out 2 trials" in call(name, "--local", status=2)


@pytest.mark.parametrize(
    ("has", "note"), [(False, "Note: bfloat16 takes 20 times"), (True, ""), (None, "")]
)
def test_a_plan_in_bfloat16_asks_the_processor(here, subset, monkeypatch, has, note):
    monkeypatch.setattr(cost, "has_bfloat16", lambda: has)
    plan = call(write(subset), "--plan", "--precision", "bfloat16")
    assert ("Note:" in plan) == bool(note)
    assert note in plan


@pytest.mark.parametrize(("answer", "left"), [("n", 2), ("y", 1)])
def test_prune_asks_at_a_terminal(here, subset, monkeypatch, answer, left):
    call(write(subset, "a.py", rates=(0.1,)), "--local")
    call(write(subset, "b.py", rates=(0.2,)), "--local")
    (here / "results/sweeps/b.json").unlink()
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda self: True)
    result = CliRunner().invoke(main, ["--prune"], input=f"{answer}\n")
    assert result.exit_code == 0, result.output
    assert "Delete 1 file, " in result.output
    assert "All rows stay. [y/N]" in result.output
    assert len(list((here / "results/states").glob("*.safetensors"))) == left


def test_another_sweep_of_the_same_name_replaces_none_in_silence(here, subset):
    call(write(subset, rates=(0.01, 0.1)), "--local")
    before = numbers(open_store("results"))
    record = (here / "results/sweeps/mine.json").read_bytes()
    other = write(subset, rates=(0.1, 0.2), epochs=1)
    said = call(other, "--local", status=2)
    assert "holds a sweep 'mine'" in said
    assert "leaves out 2 trials ('64 @ 0.01 x 2" in said
    assert "--replace" in said
    assert "leaves out 2 trials" in call(other, "--plan")
    assert (here / "results/sweeps/mine.json").read_bytes() == record
    assert numbers(open_store("results")) == before
    old = here / "results/figures/mine/heat_map.png"  # a chart that the new one lacks
    theirs = here / "results/figures/mine/notes.png"
    for path in (old, theirs):
        path.write_bytes(b"")
    assert "64 @ 0.2 x 1" in call(other, "--local", "--replace")
    assert not old.exists()
    assert theirs.exists()
    rows = {row["state_key"]: row for row in numbers(open_store("results"))}
    assert all(rows[row["state_key"]] == row for row in before)


def test_what_only_adds_to_a_recorded_sweep_takes_its_place(here, subset):
    call(write(subset, rates=(0.01,), epochs=1), "--local")
    name = write(subset, rates=(0.01, 0.1), epochs=2)
    call(name, "--local")
    call(name, "--local", "--seeds", 2)
    assert "leaves out 2 trials" in call(name, "--local", status=2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lr_compensatoin"], "Did you mean 'lr_compensation'?"),
        (["nothing_like_it"], "Known: adam_vs_sgd, batch_size"),
        ([], "Name a sweep"),
        (["recovery", "--max-epoch", 1], "--max-epochs"),
        (["recovery", "--max-epochs", 0], "0"),
        (["missing.py"], "no such file"),
        (["a\x1b[2J\x07.py"], "a\\x1b[2J\\x07.py: there is no such file"),
        (["recovery", "--seeds", "x"], "--seeds 'x'"),
        (["recovery", "--seeds", "0"], "--seeds '0'"),
        (["recovery", "--seeds", "-1"], "--seeds '-1'"),
        (["recovery", "--seeds", "3,3"], "3 is given twice"),
        (["recovery", "--seeds", "9" * 30], "up to 10000"),
        (["recovery", "--gpus-per-trial", "1/1e9"], "1/2, 1/3, 1/4"),
        (["recovery", "--results", ""], "is no results folder"),
        (["recovery", "--gpus-per-trial", "0.3"], "1/2, 1/3, 1/4"),
        (["recovery", "--replicas", "0"], "--replicas '0'"),
        (["recovery", "--replicas", "many"], "or auto"),
        (["recovery", "--precision", "float16"], "bfloat16"),
        (["recovery", "--gpus-per-trial", "2"], "1/2, 1/3, 1/4"),
        (["recovery", "--local", "--address", "auto"], "exclude each other"),
        (["recovery", "--results", "mine.py/results"], "cannot be used"),
        (["recovery", "--results", "s4://bucket"], "give a path, s3://, gs://"),
        (["recovery", "--results", "hdfs://host/path"], "cannot be used: give a path"),
        (["recovery", "--results", "viewfs://host/path"], "give a path, s3://"),
        (["recovery", "--results", "mock://path"], "give a path, s3://"),
        (["recovery", "--results", "C:\\x"], "is no results folder"),
        (["recovery", "--results", "a\x1b[2Jb"], "'a\\x1b[2Jb' is no results folder"),
        (["recovery", "--workers", "1_6"], "'1_6' is no whole number"),
        (["recovery", "--workers", "\u0663"], "is no whole number"),
        (["recovery", "--workers", 10**6], "1<=x<=10000"),
        (["recovery", "--threads", 10**6], "1<=x<=1000"),
        (["recovery", "--max-epochs", "\uff12"], "is no whole number"),
        (["recovery", "--trial-timeout", "nan"], "'nan' is no finite number"),
        (["recovery", "--trial-timeout", "1_0"], "'1_0' is no finite number"),
        (["recovery", "--seeds", "\u0663"], "--seeds"),
        (["recovery", "--replicas", "\u0663"], "--replicas"),
        (["gradient_competition", "--draws", "1_6"], "'1_6' is no whole number"),
        (["gradient_competition", "--crossed", "\u0663x3"], "--crossed"),
        (["exits.py"], "cannot be imported (GeneratorExit"),
        (["numbered.py"], "its __doc__ is 5; use text"),
        (["--prune", "--results", "nowhere"], "no format.json"),
        (["recovery", "--prune"], "--prune and a sweep exclude"),
        (["recovery", "--local", "--workers", 2], "--local and --workers exclude"),
        (["recovery", "--address", "auto", "--num-gpus", 0], "exclude each other"),
        (["recovery", "--seeds", ""], "--seeds ''"),
        (["mine.py", "recovery.py"], "is a sweep of raybs"),
        (["mine.py", "./mine.py"], "Two sweeps are named 'mine'"),
    ],
)
def test_a_wrong_request_is_exit_2_with_a_word_of_help(here, subset, arguments, words):
    name = write(subset)
    Path("exits.py").write_text("raise GeneratorExit('now')")
    Path("numbered.py").write_text(Path(name).read_text() + "\n__doc__ = 5\n")
    output = call(*arguments, status=2)
    assert words in output
    assert len(output) < 1000
    assert {path.name for path in here.iterdir()} - {"__pycache__"} == {
        "mine.py",
        "exits.py",
        "numbered.py",
    }
    assert not (here / "results").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nothing_there", "No module named"),
        ("def (", "SyntaxError"),
        ("sweep = 1", "no SWEEP"),
        ("SWEEP = 1", "no SWEEP"),
        ("raise SystemExit(0)", "SystemExit"),
        (
            "from raybs import TrainSweep\nSWEEP = TrainSweep(configs=())",
            "at least one",
        ),
        (
            "from raybs import Phase\nPhase(batch_size=0, learning_rate=1, epochs=1)",
            "=0",
        ),
    ],
)
def test_a_wrong_sweep_file_is_exit_2_with_its_reason(here, text, words):
    Path("wrong.py").write_text(text)
    output = call("wrong.py", status=2)
    assert words in output
    assert "wrong.py" in output


def test_a_file_may_define_what_it_likes_and_need_not_say_what_it_is(here, subset):
    text = Path(write(subset)).read_text().split('"""')[2]
    defined = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    defined += "@dataclass\nclass Mine:\n    size: int\n"
    Path("mine.py").write_text('"""  """\n' + defined + text)
    assert "2 trials ask for 4 epochs" in call("mine.py", "--plan")


@pytest.mark.slow
def test_folders_named_as_our_packages_do_not_hide_them(here, subset):
    write(subset)
    Path("sweeps.py").write_text("")
    Path("analysis").mkdir()
    Path("analysis/__init__.py").write_text("")
    with started("mine.py", "--local") as process:
        output, _ = finish(process)
    assert process.returncode == 0, output
    assert Path("results/figures/mine/curves.png").exists()


def test_a_figures_folder_that_cannot_be_written_is_exit_2(here, subset):
    output = call(write(subset), "--local", "--figures", "mine.py/x", status=2)
    assert "mine.py" in output
    assert "all stored" in call("mine.py", "--local")


def test_a_device_that_is_not_there_is_exit_2(here, subset):
    output = call(write(subset), "--local", "--device", "mps", status=2)
    assert "--device mps" in output


def test_a_refused_request_leaves_the_record_of_the_last_one(here, subset):
    call(write(subset), "--local")
    record = Path("results/sweeps/mine.json").read_text()
    with np.load(subset.name) as arrays:
        np.savez("wrong.npz", **{**arrays, "y_test": arrays["y_test"][:-1]})
    text = Path("mine.py").read_text().replace(subset.name, "wrong.npz")
    Path("mine.py").write_text(text)
    assert "y_test (99,)" in call("mine.py", "--local", "--replace", status=2)
    assert Path("results/sweeps/mine.json").read_text() == record


@pytest.mark.parametrize("wrong", ["[]", '{"configs": []}', "{"])
def test_a_record_of_the_wrong_shape_is_named_and_set_aside(
    here, subset, wrong, caplog
):
    call(write(subset), "--local")
    Path("results/sweeps/other.json").write_text(wrong)
    assert "64 @ 0.1 x 2" in call("mine.py", "--local")
    assert "other.json" in caplog.text
    assert Path("results/set_aside/other.json").exists()


def test_a_reader_that_leaves_stops_it_cleanly(here, subset):
    command = [sys.executable, "-m", "raybs.sweep", write(subset), "--local"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert "To go on:" in process.stderr.read()
    assert process.returncode == 130


def test_a_batch_larger_than_the_data_is_exit_2(here, subset):
    output = call(write(subset, size=231), "--local", status=2)
    assert "batch_size=231" in output
    assert "use 1 to 230" in output


def test_a_folder_of_a_newer_format_is_exit_2(here, subset):
    Path("results").mkdir()
    Path("results/format.json").write_text(json.dumps({"format": FORMAT + 1}))
    assert "upgrade" in call(write(subset), "--local", status=2)
    assert [p.name for p in Path("results").iterdir()] == ["format.json"]


def test_too_little_disk_is_exit_2_before_anything_starts(here, subset, monkeypatch):
    usage = type(shutil.disk_usage("."))(10, 9, 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert "1 B free" in call(write(subset), "--local", status=2)
    assert numbers(open_store("results")) == []


def test_a_failed_trial_is_exit_1_and_the_others_are_kept(here, subset, monkeypatch):
    from raybs.launch import local

    real = local.carry

    def failing(stretches, *args):
        if stretches[0].config.phases[0].learning_rate == 0.01:
            raise OSError(28, "No space left on device")
        return real(stretches, *args)

    monkeypatch.setattr(local, "carry", failing)
    output = call(write(subset), "--local", status=1)
    assert "No space left on device" in output
    assert re.search(r"64 @ 0.01 x 2.* failed", output)
    assert re.search(r"64 @ 0.1 x 2.* complete", output)
    monkeypatch.setattr(local, "carry", real)
    output = call("mine.py", "--local")
    assert re.search(r"64 @ 0.01 x 2.* complete", output)


def test_seeds_are_a_number_or_a_list():
    assert Seeds()("3") == [0, 1, 2]
    assert Seeds()("0,3,7") == [0, 3, 7]


def test_shares_of_a_gpu_are_whole_parts():
    assert Share()(None) is None
    shares = [Share()(text) for text in ("0", "1", "1/3", "0.25", "0.333")]
    assert shares == [0, 1, 1 / 3, 1 / 4, 1 / 3]


@contextlib.contextmanager
def started(*arguments):
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "raybs.sweep", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_cleanly_and_the_same_command_continues(here, subset, number):
    name = write(subset, epochs=4000, rates=(0.001, 0.01), size=8)
    with started(name, "--local", "--max-epochs", "3000") as process:
        lines = iter(process.stdout.readline, "")
        assert any("epoch 0 of 3000" in line for line in lines)
        process.send_signal(number)
        output, _ = finish(process)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert "python -m raybs.sweep mine.py --local --max-epochs 3000" in output
    done = len(numbers(open_store("results")))
    assert done >= 1
    plan = call(name, "--plan", "--max-epochs", "3000")
    assert f"{done - 1} stored" in plan
