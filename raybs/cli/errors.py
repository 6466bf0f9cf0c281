"""Errors of users, and Ctrl-C, as words and an exit status."""

import contextlib
import logging
import sys
from collections.abc import Iterator

import click

from raybs import interrupts
from raybs.launch.events import LaunchError
from raybs.store.files import StoreError


@contextlib.contextmanager
def said_politely(module: str = "raybs.sweep") -> Iterator[None]:
    """Turn errors of users, and Ctrl-C, into words and an exit status."""
    logging.basicConfig(format="%(message)s")
    again = interrupts.command(module)
    try:
        with interrupts.raising():
            yield
    except (KeyboardInterrupt, BrokenPipeError):  # Ctrl-C, or the reader is gone
        interrupts.say_stopped(again)
        sys.stdout = None  # no second complaint at exit
        sys.exit(130)
    except (StoreError, LaunchError) as error:
        click.echo(f"{error}\nOnce that is mended, go on by:\n  {again}", err=True)
        sys.exit(1)
    except (ValueError, OSError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)


def refuse_together(option: str, given: object, **others: object) -> None:
    """Refuse options that would silently be ignored beside `option`.

    Raises:
        ValueError: One of `others` is given as well.
    """
    for name, value in others.items():
        if given and value not in (None, ()):
            flag = "a sweep" if name == "names" else f"--{name.replace('_', '-')}"
            raise ValueError(f"{option} and {flag} exclude each other; leave one out.")
