"""Why work failed, in words."""

import faulthandler
import re
import sys

import ray

from raybs.store.files import StoreError

NODE_IS_GONE, DIED = "its node is gone", "its worker died"

UNREACHABLE = "its worker cannot be reached"

CAUSES = {
    NODE_IS_GONE: r"node (has )?died|node was terminated",
    UNREACHABLE: r"ActorUnavailableError",
    "the machine ran out of memory": r"ray\.exceptions\.OutOfMemory|low on memory",
    DIED: r"[Aa]ctor died",
}
"""What Ray's accounts of a failure say, in order."""


def what_happened(text: str) -> str:
    """Return the line that matters in Tune's account of all failures of a trial."""
    account = text.rpartition("Failure #")[2].strip().partition("\n")[2]
    starting = "creation task" in account  # then the last line says why
    for cause, pattern in CAUSES.items():
        if re.search(pattern, account) and not (starting and cause == DIED):
            return cause
    last: str = account.strip().splitlines()[-1].strip()
    return last.removeprefix(f"{StoreError.__module__}.")


def last_line(error: BaseException) -> str:
    """Return the line that matters of an account of Ray's."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def why(error: Exception) -> str:
    """Return the line that matters of Ray's account."""
    cause = getattr(error, "cause", None)
    if cause is not None:
        return f"{type(cause).__name__}: {cause}"
    if isinstance(error, ray.exceptions.WorkerCrashedError):
        return "its worker died, or took longer than --trial-timeout"
    return last_line(error)


def watch(seconds: float) -> None:
    """End this process, with a traceback, unless called again within `seconds`.

    With 0 the watch ends. It is a thread in C: what hangs may hold Python's lock.
    """
    if seconds:
        stderr = sys.__stderr__ or 2  # not sys.stderr, which notebooks replace
        faulthandler.dump_traceback_later(seconds, exit=True, file=stderr)
    else:
        faulthandler.cancel_dump_traceback_later()
