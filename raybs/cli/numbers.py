"""Numbers as users type them: in the digits 0 to 9, and finite."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from click.types import FloatParamType, IntParamType

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:  # it takes no parameter before click 8.4
    ParamType = click.ParamType


def to_int(text: str) -> int:
    """Read a whole number in the digits 0 to 9: not "1_6", nor other alphabets.

    Raises:
        ValueError: It is none.
    """
    return int(_plain(text))


def to_float(text: str) -> float:
    """Read a finite number, as in "0.1" or "1e-3", in the digits 0 to 9.

    Raises:
        ValueError: It is none.
    """
    value = float(_plain(text))
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _plain(text: str) -> str:
    if "_" in text or not text.isascii():
        raise ValueError(text)
    return text


class _Typed(ParamType):
    """Reads text by `read` before click looks at the bounds."""

    read: Callable[[str], float]

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Return the number."""
        try:
            number = type(self).read(value) if isinstance(value, str) else value
        except ValueError:
            self.fail(f"{value!r} is no {self.name}.", param, ctx)
        return super().convert(number, param, ctx)


class AnyWholeNumber(_Typed, IntParamType):
    """A whole number in the digits 0 to 9; who uses it knows the bounds."""

    name = "whole number"
    read = staticmethod(to_int)


class AnyNumber(_Typed, FloatParamType):
    """A finite number in the digits 0 to 9; who uses it knows the bounds."""

    name = "finite number"
    read = staticmethod(to_float)


class WholeNumber(_Typed, click.IntRange):
    """A whole number within bounds, in the digits 0 to 9."""

    name = "whole number"
    read = staticmethod(to_int)


class Number(_Typed, click.FloatRange):
    """A finite number within bounds, in the digits 0 to 9."""

    name = "finite number"
    read = staticmethod(to_float)
