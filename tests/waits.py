"""Waiting for what other processes do, as long as they do something.

No wait here has a fixed end: how long a sweep takes depends on the machine and on what
else it does. What hangs is told from what is slow by what happens meanwhile.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

QUIET = 180.0
"""Seconds without news after which what is waited for does not come any more."""

WORK = 25.0
"""CPU seconds that count as news. A Ray of three nodes that waits takes 7 of them in
`QUIET` seconds; what works on in silence is slow if it takes longer for so many."""

MOST_WORK = 600.0
"""CPU seconds without other news: a loop without end, on however slow a machine."""

GRACE = 30.0
"""Seconds in which what hangs may say where, and end what it has started."""


def cpu_times(pid):
    """CPU seconds so far of a process and of each one below it, by their ids."""
    parents, seconds = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "stat").read_text().rpartition(")")[2].split()
            parents[int(folder.name)] = int(words[1])
            ticks = int(words[11]) + int(words[12])
            seconds[int(folder.name)] = ticks / os.sysconf("SC_CLK_TCK")
    found = {}
    for one in parents:
        above = one
        while above in parents and above != pid:
            above = parents[above]
        if above == pid:
            found[one] = seconds[one]
    return found


class Patience:
    """Lasts as long as there is news.

    News are what the caller shows, files in this folder and two below it, and what the
    processes that this one has started have computed.
    """

    def __init__(self, quiet=QUIET):
        self.quiet = quiet
        self.look_at = 0.0
        self.news = self.times = None

    def lasts(self, shown=None):
        """Tell whether to go on waiting; looks around once a second at most."""
        now = time.monotonic()
        if now < self.look_at:
            return True
        self.look_at = now + min(1.0, self.quiet / 10)
        news, times = (shown, _files()), cpu_times(os.getpid())
        del times[os.getpid()]  # it only waits
        if news != self.news:
            self.news, self.since = news, now
            self.work = self.counted = 0.0  # CPU seconds since
        else:  # processes come and go, and take their seconds along
            pairs = ((self.times.get(pid, 0.0), new) for pid, new in times.items())
            self.work += sum(max(new - old, 0.0) for old, new in pairs)
        if self.counted + WORK <= self.work < MOST_WORK:
            self.counted, self.since = self.work, now
        self.times = times
        return now - self.since < self.quiet


def wait_for(what, process=None, *, shown=lambda: None, quiet=QUIET):
    """Return what `what` returns as soon as that is something.

    What `process` says is news, and so is a change of what `shown` returns. Once the
    process has ended there is nothing to wait for.
    """
    patience = Patience(quiet)
    while True:
        ended = process and process.poll() is not None
        if found := what():
            return found
        said = _heard(process, 0.05)
        if ended:
            raise AssertionError(f"It ended before that happened, and said:\n{said}")
        if not patience.lasts((shown(), said)):
            raise AssertionError(f"It never happened. What was said:\n{said}")


def finish(process, *, quiet=QUIET, grace=GRACE):
    """Wait until `process` has ended; return what it said, as `communicate` does.

    One that hangs is interrupted, so that it may say where and end what it has started,
    then killed.
    """
    patience = Patience(quiet)
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=0.2)
        if not patience.lasts(_heard(process, 0)):
            process.send_signal(signal.SIGINT)
            _heard(process, grace)
            process.kill()
            process.wait()
            raise AssertionError(f"It hangs, and said:\n{_heard(process, 1)}")


def patiently(*words):
    """The words of a command of python -m, for tests: see patiently.py."""
    return [sys.executable, "-u", str(Path(__file__).parent / "patiently.py"), *words]


def run(words, **options):
    """Run a command to its end, as `subprocess.run` does, however long it takes.

    `stdout` is all that it said, unless `stderr` is asked for apart.
    """
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | options
    with subprocess.Popen(words, text=True, **options) as process:
        try:
            said = finish(process)
        finally:
            process.kill()
    return subprocess.CompletedProcess(words, process.returncode, *said)


def _heard(process, seconds):
    """What a process has said so far; what comes is waited for, and not lost."""
    if process is None:
        time.sleep(seconds)
        return ""
    try:
        parts = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        parts = (error.output, error.stderr)
    return "".join(
        part.decode("utf-8", "replace") if isinstance(part, bytes) else part
        for part in parts
        if part
    )


def _files():
    """How many files there are here, and when the last one was written."""
    times = []
    seen = "[!.]*"  # git works in .git
    for depth in (1, 2, 3):
        for path in Path().glob("/".join([seen] * depth)):
            with contextlib.suppress(OSError):  # it has gone since
                times.append(path.stat().st_mtime_ns)
    return len(times), max(times, default=0)
