"""Ctrl-C and SIGTERM at exact moments of a command: real signals, from within it."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import numbers, undisturbed
from waits import run, wait_for

import raybs
from raybs import interrupts
from raybs.config.catalog import find_sweep
from raybs.launch.stopping import stopping
from raybs.store.opening import open_store

WRAPPER = """
import atexit, importlib.abc, runpy, signal, subprocess, sys, threading

_, moment, signals, module, *sys.argv[1:] = sys.argv
numbers = [int(number) for number in signals.split(",")]
place, _, name = moment.partition(":")

def send():
    global numbers
    # Held until all are sent, so that two arrive as one.
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    now, numbers = numbers, []
    for number in now:
        print(f"sent {number}", file=sys.stderr, flush=True)
        signal.pthread_kill(threading.get_ident(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, now)

def patched(function):
    def sending(*arguments, **options):
        if not moment.endswith("+"):
            send()
        result = function(*arguments, **options)
        send()
        return result
    return sending

class Importing(importlib.abc.MetaPathFinder):
    def find_spec(self, wanted, path, target=None):
        if wanted == place and numbers:
            sys.meta_path.remove(self)
            if not name:
                send()
            spec = importlib.util.find_spec(wanted)
            run = spec.loader.exec_module
            def run_and_patch(module):
                run(module)
                *owners, last = name.rstrip("+").split(".")
                for owner in owners:
                    module = getattr(module, owner)
                if last:
                    setattr(module, last, patched(getattr(module, last)))
            spec.loader.exec_module = run_and_patch
            return spec

class Gone:
    def __del__(self, send=send):
        send()

start = subprocess.Popen.__init__

def starting(self, words, *arguments, **options):
    start(self, words, *arguments, **options)
    with open("started", "a") as file:
        print(self.pid, file=file)
    if moment == "raylet" and any(str(word).endswith("/raylet") for word in words):
        send()

subprocess.Popen.__init__ = starting
if moment == "gone":
    sys.modules["gone"] = Gone()
elif moment == "leaving":
    from raybs import interrupts
    install = interrupts.install
    def installed(command):
        install(command)
        atexit.register(send)
    interrupts.install = installed
else:
    sys.meta_path.insert(0, Importing())
if "/" in module:
    runpy.run_path(module, run_name="__main__")
else:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def signalled(moment, numbers, *words, module="raybs.sweep"):
    """Run a module, or a script, that is sent signals: exit status, what it said."""
    sent = ",".join(str(int(number)) for number in numbers)
    done = run([sys.executable, "-c", WRAPPER, moment, sent, module, *words])
    for number in numbers:
        assert f"sent {number}" in done.stdout, done.stdout
    return done.returncode, done.stdout


def check_stopped(status, said, again):
    assert status == 130, said
    assert said.count(f"Stopped; what is done is kept. To go on:\n  {again}\n") == 1
    for word in ("Traceback", "Error", "Exception ignored", "Aborted"):
        assert word not in said, said


BOTH = [signal.SIGINT, signal.SIGTERM]


def in_turn(*moments):
    """Each moment with one of the two signals, which one handler answers."""
    pairs = [*zip(moments, itertools.cycle(BOTH), strict=False)]
    return pytest.mark.parametrize(("moment", "number"), pairs)


@pytest.mark.slow
@in_turn(
    "click",  # the first import of another's
    "pyarrow",  # written in C
    "raybs.cli.values:Seeds.read",
    "raybs.plan.plan:make_plan",
    "torch",
    "raybs.trackers.terminal:Display.on_event",  # training
    "raybs.store.store:Store.compact_rows",  # after it
    "altair",
    "analysis.charts.theme:_rendered",
    "leaving",
)
def test_at_any_moment_a_signal_ends_in_words(sweep_file, moment, number):
    words = [sweep_file(), "--local", "--seeds", "1"]
    status, said = signalled(moment, [number], *words)
    check_stopped(status, said, "python -m raybs.sweep mine.py --local --seeds 1")
    assert not list(Path().rglob("*.tmp"))


@pytest.mark.slow
@in_turn("click", "raybs.plan.plan:make_plan", "leaving")
def test_a_signal_ends_the_script_in_words_that_name_it(
    script, sweep_file, moment, number
):
    words = ["sweep", sweep_file(), "--local"]
    status, said = signalled(moment, [number], *words, module=script)
    check_stopped(status, said, "raybs sweep mine.py --local")


@pytest.mark.ray
@in_turn(
    "ray",
    "ray:init",
    "raylet",  # just started, within ray.init
    "raybs.trackers.terminal:Display.on_event",
    "ray:shutdown",
    # Ray has set handlers in C++, and taken them away: of either signal.
    *["ray._private.worker:connect+"] * 2,
    *["ray._private.node:Node.kill_all_processes"] * 2,
)
def test_while_ray_starts_runs_and_ends_nothing_of_it_is_left(
    sweep_file, moment, number
):
    status, said = signalled(moment, [number], sweep_file(), "--workers", "1")
    check_stopped(status, said, "python -m raybs.sweep mine.py --workers 1")
    assert "once more to stop at once" in said
    pids = Path("started").read_text().split() if Path("started").exists() else []
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


@pytest.mark.ray
def test_the_doctor_ends_in_words_while_ray_starts(tmp_path, monkeypatch, subset):
    monkeypatch.chdir(tmp_path)
    words = ["--dataset", subset.name]
    status, said = signalled("raylet", BOTH[1:], *words, module="raybs.doctor")
    check_stopped(status, said, f"python -m raybs.doctor --dataset {subset.name}")
    pids = Path("started").read_text().split()
    assert pids
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


@pytest.mark.ray
@pytest.mark.parametrize(
    "moment",
    [
        "click",
        "raybs.plan.plan:make_plan",
        "raybs.trackers.terminal:Display.on_event",
        "raylet",
    ],
)
def test_two_signals_at_once_end_it_at_once_and_in_words(sweep_file, moment):
    where = ["--workers", "1"] if moment == "raylet" else ["--local"]
    status, said = signalled(moment, BOTH, sweep_file(), *where)
    check_stopped(status, said, f"python -m raybs.sweep mine.py {' '.join(where)}")


@pytest.mark.slow
def test_once_all_is_done_signals_change_nothing(sweep_file):
    """Python sets signals back to the system's before it clears what modules hold."""
    status, said = signalled("gone", BOTH, sweep_file(), "--local")
    assert status == 0, said
    assert "Written to" in said
    assert "Stopped" not in said


SWALLOWED = """
import os
try:
    os.kill(os.getpid(), {number})
    print("not reached")
except KeyboardInterrupt:
    {then}
"""


@pytest.mark.slow
@pytest.mark.parametrize("then", ["pass", "raise ImportError('torch')"])
def test_a_signal_that_a_sweep_file_swallows_counts(sweep_file, then):
    """As C code does that imports; the file is still planned, but not trained."""
    path = Path(sweep_file())
    swallowed = SWALLOWED.format(number=int(signal.SIGTERM), then=then)
    path.write_text(path.read_text() + swallowed)
    done = subprocess.run(
        [sys.executable, "-m", "raybs.sweep", "mine.py", "--plan"],
        capture_output=True,
        text=True,
    )
    check_stopped(done.returncode, done.stderr, "python -m raybs.sweep mine.py --plan")
    assert "not reached" not in done.stdout


@pytest.mark.slow
@in_turn("numpy", "analysis.frames.trials:load", "leaving")
def test_the_analysis_ends_likewise(sweep_file, moment, number):
    raybs.run(find_sweep(sweep_file())[2], results="results", local=True)
    status, said = signalled(moment, [number], module="analysis")
    check_stopped(status, said, "python -m analysis")


@pytest.mark.slow
def test_a_sweep_stopped_after_training_goes_on_without_it(sweep_file):
    expected = undisturbed(sweep_file())
    signalled("raybs.store.store:Store.compact_rows", BOTH[:1], "mine.py", "--local")
    again = subprocess.run(
        [sys.executable, "-m", "raybs.sweep", "mine.py", "--local"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "all stored" in again.stdout
    assert numbers(open_store("results")) == expected


def test_words_are_said_even_while_others_are(capfd, monkeypatch):
    """A handler may come while stderr is written to, which Python refuses to nest."""

    class Busy:
        def write(self, text):
            raise RuntimeError("reentrant call")

    monkeypatch.setattr(sys, "stderr", Busy())
    interrupts.say("Stopped.")
    assert capfd.readouterr().err == "Stopped.\n"


def test_a_signal_at_the_very_end_of_a_launch_interrupts():
    with pytest.raises(KeyboardInterrupt), stopping():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_what_raybs_offers_is_imported_once_it_is_used():
    said = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys, raybs.interrupts, analysis; before = {*sys.modules};"
            "print({'click', 'numpy', 'pandas', 'pyarrow', 'raybs.config'} & before);"
            "import raybs.config.grid; from raybs import *; from analysis import *;"
            "print(grid.__name__, run.__name__, raybs.grid is grid, words.__name__)",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said == "set()\ngrid run True words\n"


def test_what_raybs_does_not_offer_is_an_attribute_error():
    assert {*raybs.__all__} <= {*dir(raybs)}
    with pytest.raises(AttributeError, match="'raybs' has no attribute 'sweeep'"):
        raybs.sweeep  # noqa: B018
