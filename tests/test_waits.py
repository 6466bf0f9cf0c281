"""What is slow is waited for; what hangs is told, with its words, and ended."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import waits
from waits import MOST_WORK, WORK, Patience, cpu_times, finish, run, wait_for


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@contextlib.contextmanager
def python(code):
    with subprocess.Popen(
        [sys.executable, "-uc", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def later(monkeypatch):
    """A clock and CPU times of this test's own, and a patience of 100 s."""
    now, times = [0.0], {}
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(waits, "time", clock)
    monkeypatch.setattr(waits, "cpu_times", lambda pid: {pid: 9 * now[0]} | times)
    patience = Patience(100)

    def lasts(seconds, shown=None, **work):
        """Whether it lasts after so many seconds, in which processes have worked."""
        now[0] += seconds
        for name in {*times} - {*work}:
            del times[name]
        for name, spent in work.items():
            times[name] = times.get(name, 0.0) + spent
        return patience.lasts(shown)

    assert lasts(2)
    return lasts


def test_patience_lasts_anew_with_all_that_is_said_or_stored(later):
    assert later(99)
    assert later(99, "words")
    Path("results/rows").mkdir(parents=True)
    assert later(99, "words")
    Path("results/rows/one").touch()
    assert later(99, "words")
    os.utime("results/rows/one", ns=(0, 2**62))  # written again
    assert later(99, "words")
    assert later(99, "words")
    assert not later(1, "words")


def test_to_compute_is_news_up_to_what_a_loop_without_end_would(later):
    done = 0
    while later(90, one=WORK):
        done += WORK
    assert done + WORK == MOST_WORK + WORK
    assert later(1, "words")  # and all anew
    assert later(99, "words", other=WORK)  # the first one has ended


def test_what_a_ray_computes_that_waits_is_no_news(later):
    assert all(later(9, ray=0.1 * 9) for _ in range(11))
    assert not later(1, ray=0.1)


def test_cpu_times_are_those_of_a_process_and_of_all_below_it():
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', {!r}])"
    with python(code.format("while True: pass")) as process:
        wait_for(lambda: sum(cpu_times(process.pid).values()) > 0.3)
        [worker] = {*cpu_times(process.pid)} - {process.pid}
        assert {process.pid, worker} < {*cpu_times(os.getpid())}
        os.kill(worker, 9)
    assert cpu_times(process.pid) == {}


def test_what_a_process_says_is_news_and_none_of_it_is_lost(monkeypatch):
    def lasts(said):
        if said == "one\n":
            Path("heard").touch()
        return True

    monkeypatch.setattr(waits, "Patience", lambda quiet: SimpleNamespace(lasts=lasts))
    code = (
        "import pathlib, time; print('one')\n"
        "while not pathlib.Path('heard').exists(): time.sleep(0.01)\n"
        "print('two')"
    )
    with python(code) as process:
        assert finish(process) == ("one\ntwo\n", None)
        assert finish(process) == ("one\ntwo\n", None)


@pytest.mark.parametrize(
    ("stops", "cause"), [("SIG_IGN", ""), ("default_int_handler", "KeyboardInterrupt")]
)
def test_what_hangs_is_told_with_its_words_and_ended(stops, cause):
    code = (
        f"import signal, time; signal.signal(signal.SIGINT, signal.{stops})\n"
        "print('begun'); open('begun', 'w').close(); time.sleep(1000)"
    )
    with python(code) as process:
        wait_for(lambda: Path("begun").exists(), process)
        grace = 60 if cause else 0.1
        with pytest.raises(AssertionError, match=f"(?s)hangs.*begun.*{cause}"):
            finish(process, quiet=0.1, grace=grace)
        assert process.poll() is not None


def test_a_wait_ends_with_its_process_or_when_nothing_happens():
    with python("print('words')") as process:
        with pytest.raises(AssertionError, match="ended before that.*\nwords"):
            wait_for(lambda: False, process)
        # What has happened before its end counts.
        assert wait_for(lambda: process.returncode == 0, process)
    with pytest.raises(AssertionError, match="never happened"):
        wait_for(lambda: False, quiet=0.1)


def test_run_gives_status_and_words_apart_or_together():
    code = "import os, sys; print(os.environ['A']); sys.exit(sys.stdin.read() or 'b')"
    words = [sys.executable, "-c", code]
    options = {"env": os.environ | {"A": "a"}, "stdin": subprocess.DEVNULL}
    done = run(words, **options)
    assert (done.returncode, done.stdout, done.stderr) == (1, "a\nb\n", None)
    done = run(words, stderr=subprocess.PIPE, **options)
    assert (done.returncode, done.stdout, done.stderr) == (1, "a\n", "b\n")
