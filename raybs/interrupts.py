"""How a command ends on Ctrl-C and on SIGTERM, whatever it is at: in words, as 130.

A command imports this before all else, so this imports next to nothing.
"""

import atexit
import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)

STATUS = 130

_again = "the same command"  # what was typed, once `install` was called
_raises = False  # or else a signal ends the process where it is
_arrived = False  # since a signal raises
_said = False


def install(command: str) -> None:
    """Answer signals from here on, as `command` with the arguments that were typed.

    While it imports what it needs, and once its work is done, a signal ends it where it
    is; within `raising` it raises.
    """
    global _again
    _again = " ".join([command, *map(shlex.quote, sys.argv[1:])])
    for number in SIGNALS:
        signal.signal(number, _on_signal)
    # What is registered first is called last: behind it Python sets signals back to
    # what the system does, which would end a sweep that is done by a signal.
    atexit.register(_deafen)


def again() -> str:
    """Return what was typed, to go on by."""
    return _again


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Let a signal raise KeyboardInterrupt: there is something to put in order.

    Raises:
        KeyboardInterrupt: A signal came, whatever has become of it: C code that imports
            makes an ImportError of it, and what collects garbage drops it.
    """
    global _raises, _arrived
    _arrived = False
    try:
        _raises = True
        yield
    except BaseException:
        if _arrived:
            raise KeyboardInterrupt from None
        raise
    finally:
        _raises = False
    if _arrived:
        raise KeyboardInterrupt


def interrupt() -> NoReturn:
    """Raise KeyboardInterrupt, on a signal."""
    global _arrived
    _arrived = True
    raise KeyboardInterrupt


def answered() -> None:
    """Let a signal count no more: it ended what it was to end, and work goes on."""
    global _arrived
    _arrived = False


def run(main: Callable[[], object]) -> None:
    """Call the `main` of a command; if a signal came meanwhile, end as for a signal.

    Of two signals at once, the second interrupts the answer to the first.
    """
    try:
        main()
    except BaseException as error:
        if _arrived and getattr(error, "code", None) != STATUS:
            say_stopped()
            sys.exit(STATUS)
        raise


def say_stopped() -> None:
    """Say, once, that the command was stopped, and how to go on."""
    global _raises, _said
    _raises = False
    if not _said:
        say(f"Stopped; what is done is kept. To go on:\n  {_again}")
        _said = True  # not before: a signal may come here, too, and end it


def say(text: str) -> None:
    """Print on stderr, also from a handler, which may interrupt another print."""
    try:
        print(text, file=sys.stderr, flush=True)
    except RuntimeError:  # print is not for two at a time
        os.write(2, f"{text}\n".encode())
    except (OSError, ValueError):  # nobody listens
        pass


def _on_signal(number: int, frame: FrameType | None) -> None:
    if _raises:
        interrupt()
    say_stopped()
    for other in SIGNALS:  # once more, where the last output finds no reader
        signal.signal(other, lambda *_: os._exit(STATUS))
    with contextlib.suppress(AttributeError, RuntimeError, OSError, ValueError):
        sys.stdout.flush()
    os._exit(STATUS)


def _deafen() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
