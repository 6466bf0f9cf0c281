"""Values of command-line options that click does not know."""

import abc
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from raybs.cli.errors import Refused
from raybs.cli.numbers import ParamType, to_float, to_int
from raybs.config.catalog import sweep_names
from raybs.launch.resources import MAX_REPLICAS

T = TypeVar("T")

MAX_SEEDS = 10_000

KINDS = {int: to_int, float: to_float}
"""How numbers in lists are read."""


class _Value(ParamType, abc.ABC):
    """Text that `read` understands, or that is refused by saying what is `wanted`."""

    wanted: str

    @abc.abstractmethod
    def read(self, text: str) -> Any:
        """Return what `text` means.

        Raises:
            ValueError: It means nothing, in words that do not matter.
        """

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Return what the text means; what is no text was read already."""
        if not isinstance(value, str):
            return value
        try:
            return self.read(value)
        except (ValueError, ZeroDivisionError):
            option = param.opts[0] if param else self.name
            raise Refused(f"{option} {value!r}: {self.wanted}.") from None


class Seeds(_Value):
    """A number of seeds, "5" for 0 to 4, or which ones: "0,3,7"."""

    name = "seeds"
    wanted = f"give how many (5 means 0 to 4; up to {MAX_SEEDS}), or a list: 0,3,7"

    def read(self, text: str) -> list[int]:
        """Return the seeds."""
        numbers = [_to_count(part) for part in text.split(",")]
        count = len(numbers) if len(numbers) > 1 else numbers[0]
        if not 0 < count <= MAX_SEEDS:
            raise ValueError(text)
        return numbers if len(numbers) > 1 else list(range(count))


class Crossed(_Value):
    """Sample sets and orders of each: "30x20"."""

    name = "crossed"
    wanted = "give sample sets x orders, as in 30x30"

    def read(self, text: str) -> tuple[int, int]:
        """Return how many sample sets, and how many orders of each."""
        sets, orders = map(_to_count, text.lower().split("x"))
        return sets, orders


class Share(_Value):
    """A share of a GPU that Ray can place: "0", "1", "1/4" or "0.25"."""

    name = "share"
    wanted = "trials share a GPU evenly; use 0, 1, 1/2, 1/3, 1/4, 1/8 or any other 1/n"

    def read(self, text: str) -> float:
        """Return the share, of 1/n the exact one."""
        top, _, bottom = text.partition("/")
        value = to_float(top) / to_float(bottom or "1")
        if value in (0.0, 1.0):
            return value
        if not 0.01 < value < 1 or abs(1 / value - round(1 / value)) >= 0.01:
            raise ValueError(text)
        return 1 / round(1 / value)


class Replicas(_Value):
    """A number of replicas; None for "auto"."""

    name = "replicas"
    wanted = f"give 1 to {MAX_REPLICAS}, or auto"

    def read(self, text: str) -> int | None:
        """Return the number, or None."""
        if text == "auto":
            return None
        if text != text.strip() or not 0 < (number := _to_count(text)) <= MAX_REPLICAS:
            raise ValueError(text)
        return number


class Widths(_Value):
    """Widths of hidden layers: "256,256", or "none"."""

    name = "widths"
    wanted = "give whole numbers, with commas between them"

    def read(self, text: str) -> tuple[int, ...]:
        """Return the widths."""
        return () if text == "none" else tuple(_to_list(text, int))


class Goal(_Value):
    """What ends a trial: "test_accuracy=0.97"."""

    name = "goal"
    wanted = "give a column and a number, as in test_accuracy=0.97"

    def read(self, text: str) -> tuple[str, float]:
        """Return the column and its value."""
        column, _, value = text.partition("=")
        return column, to_float(value)


class ListOf(ParamType):
    """Values with commas between them: whole numbers, numbers, or words."""

    name = "list"

    def __init__(self, kind: type) -> None:
        """Hold what each value is."""
        self.kind = kind

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[Any]:
        """Return the values as a list."""
        if isinstance(value, list):
            return value
        try:
            return _to_list(value, self.kind)
        except ValueError:
            what = {int: "whole numbers", float: "numbers"}.get(self.kind, "values")
            text = f"{value!r}: give {what}, with commas between them."
            self.fail(text, param, ctx)


class SweepName(ParamType):
    """The name of a sweep, or a file: a shell completes both."""

    name = "sweep"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin so, and let the shell add its files."""
        names = [name for name in sweep_names() if name.startswith(incomplete)]
        return [*map(CompletionItem, names), CompletionItem(incomplete, type="file")]


def _to_count(text: str) -> int:
    """Read digits alone, with spaces around them."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 20):
        raise ValueError(text)
    return int(digits)


def _to_list(text: str, kind: type[T]) -> list[T]:
    """Read "16,64" as a list of whole numbers, "0.1,1e-3" of numbers, or of words.

    Raises:
        ValueError: A part is none of that kind.
    """
    parts = [part.strip() for part in text.split(",")]
    if "" in parts:
        raise ValueError(text)
    read: Any = KINDS.get(kind, kind)
    return [read(part) for part in parts]
