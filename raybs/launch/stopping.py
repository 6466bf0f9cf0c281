"""How a launch hears that it is to stop: a flag at the first signal."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from raybs import interrupts


@contextlib.contextmanager
def stopping() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into a flag; a second one interrupts.

    Raises:
        KeyboardInterrupt: At the end of the block, if there was one.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            interrupts.interrupt()
        stop.set()
        said = "\nFinishing what is under way; once more to stop at once."
        interrupts.say(said)

    # Python lets only the main thread handle signals.
    main = threading.current_thread() is threading.main_thread()
    numbers = interrupts.SIGNALS if main else ()
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            signal.signal(number, on_signal)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stop.is_set():  # here, where no signal can come after the look
        raise KeyboardInterrupt
