"""Follow a results folder while a sweep runs."""

import time
from collections.abc import Callable

from raybs.store.store import Store

SECONDS = 5.0
"""Between looks at what is stored, and of an open page at its file."""


def watch(store: Store, write: Callable[[], None]) -> None:
    """Call `write` at once, and whenever rows, draws or sweeps have changed.

    Ends by Ctrl-C alone: what is stored does not say whether a sweep still runs.
    """
    before = None
    while True:
        started, now = time.monotonic(), _stored(store)
        if now != before:
            write()
            before = now
        # At most a tenth of the time: the machine has a sweep to run.
        spent = time.monotonic() - started
        time.sleep(max(SECONDS, 9 * spent))


def _stored(store: Store) -> frozenset[tuple[str, int]]:
    folders = ("rows/", "draws/", "sweeps/")
    return frozenset(
        (path, size)
        for path, size in store.files.sizes().items()
        if path.startswith(folders)
    )
