"""Errors of users, and Ctrl-C, as words and an exit status."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import IO, Any

import click

from raybs import interrupts


@contextlib.contextmanager
def said_politely() -> Iterator[None]:
    """Turn errors of users, and Ctrl-C, into words and an exit status."""
    logging.basicConfig(format="%(message)s")
    try:
        with interrupts.raising():
            yield
    except (KeyboardInterrupt, BrokenPipeError):  # Ctrl-C, or the reader is gone
        interrupts.say_stopped()
        sys.stdout = None  # no second complaint at exit
        sys.exit(interrupts.STATUS)
    except (ValueError, OSError) as error:
        words = quoted(error)
        if not _is_of_others(error):
            click.echo(words, err=True)
            sys.exit(2)
        again = interrupts.again()
        click.echo(f"{words}\nOnce that is mended, go on by:\n  {again}", err=True)
        sys.exit(1)


class Refused(click.ClickException):
    """An option's value that cannot be, in words that name the option."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the words as those of all other errors."""
        click.echo(self.message, file, err=True)


def _is_of_others(error: Exception) -> bool:
    """Tell whether the store, or what a sweep ran on, has failed."""
    from raybs.launch.events import LaunchError  # these import much
    from raybs.store.files import StoreError

    return isinstance(error, StoreError | LaunchError)


def quoted(error: Exception) -> str:
    """Return what `error` says, with escapes for what a terminal would not show.

    Names of files, and values that users give, may hold anything.
    """
    return "\n".join(map(_shown, str(error).split("\n")))


def _shown(line: str) -> str:
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in line
    )


def refuse_together(option: str, given: object, **others: object) -> None:
    """Refuse options that would silently be ignored beside `option`.

    Raises:
        ValueError: One of `others` is given as well.
    """
    for name, value in others.items():
        if given and value not in (None, ()):
            flag = "a sweep" if name == "names" else f"--{name.replace('_', '-')}"
            raise ValueError(f"{option} and {flag} exclude each other; leave one out.")
