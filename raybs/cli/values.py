"""Values of command-line options that click does not know."""

import contextlib
from collections.abc import Sequence
from typing import Any, TypeVar

from raybs.cli.numbers import to_float, to_int
from raybs.launch.resources import MAX_REPLICAS

T = TypeVar("T")

MAX_SEEDS = 10_000

KINDS = {int: to_int, float: to_float}
"""How numbers in lists are read."""


def parse_seeds(text: str) -> list[int]:
    """Read "5" as the seeds 0 to 4, and "0,3,7" as these.

    Raises:
        ValueError: It is neither.
    """
    parts = [part.strip() for part in text.split(",")]
    numbers = [int(part) for part in parts if _is_digits(part)]
    count = len(numbers) if len(numbers) > 1 else sum(numbers)
    if len(numbers) < len(parts) or not 0 < count <= MAX_SEEDS:
        raise ValueError(
            f"--seeds {text!r}: give how many (5 means 0 to 4; up to {MAX_SEEDS}), or "
            "a list: 0,3,7."
        )
    return numbers if len(numbers) > 1 else list(range(numbers[0]))


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20


def parse_names(text: str | None) -> list[str] | None:
    """Read "early,late" as these names."""
    return None if text is None else [name.strip() for name in text.split(",")]


def parse_crossed(text: str | None) -> tuple[int, int] | None:
    """Read "30x20" as 30 sample sets under 20 orders each.

    Raises:
        ValueError: It is no such grid.
    """
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(_is_digits(part.strip()) for part in parts):
        raise ValueError(f"--crossed {text!r}: give sample sets x orders, as in 30x30.")
    return int(parts[0]), int(parts[1])


def parse_gpus(text: str | None) -> float | None:
    """Read a share of a GPU: "0", "1", "1/4" or "0.25".

    Raises:
        ValueError: It is another number, which Ray could not place.
    """
    if text is None:
        return None
    top, _, bottom = text.partition("/")
    with contextlib.suppress(ValueError, ZeroDivisionError):
        value = to_float(top) / to_float(bottom or "1")
        if value in (0.0, 1.0):
            return value
        if (
            0 < value < 1
            and 1 / value < 100
            and (abs(1 / value - round(1 / value)) < 0.01)
        ):
            return 1 / round(1 / value)
    raise ValueError(
        f"--gpus-per-trial {text!r}: trials share a GPU evenly; use 0, 1, "
        "1/2, 1/3, 1/4, 1/8 or any other 1/n."
    )


def parse_replicas(text: str) -> int | None:
    """Read a number of replicas; None for "auto".

    Raises:
        ValueError: It is neither.
    """
    if text == "auto":
        return None
    if _is_digits(text) and 0 < int(text) <= MAX_REPLICAS:
        return int(text)
    raise ValueError(f"--replicas {text!r}: give 1 to {MAX_REPLICAS}, or auto.")


def parse_list(text: str, kind: type[T]) -> list[T]:
    """Read "16,64" as a list of whole numbers, "0.1,1e-3" of numbers, or of words.

    Raises:
        ValueError: A part is none of that kind.
    """
    parts = [part.strip() for part in text.split(",")]
    try:
        if "" in parts:
            raise ValueError
        read: Any = KINDS.get(kind, kind)
        return [read(part) for part in parts]
    except ValueError:
        what = {int: "whole numbers", float: "numbers"}.get(kind, "values")
        raise ValueError(f"{text!r}: give {what}, with commas between them.") from None


def parse_widths(text: str) -> tuple[int, ...]:
    """Read "256,256" or "none" as the widths of hidden layers.

    Raises:
        ValueError: It is neither.
    """
    try:
        return () if text == "none" else tuple(parse_list(text, int))
    except ValueError as error:
        raise ValueError(f"--hidden {error}") from None


def parse_until(texts: Sequence[str]) -> dict[str, float]:
    """Read each of "test_accuracy=0.97" and the like as what ends a trial.

    Raises:
        ValueError: One is no such text, or a column is there twice.
    """
    found: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name in found:
            raise ValueError(f"--until {name} is given twice; give it once.")
        try:
            found[name] = to_float(value)
        except ValueError:
            raise ValueError(
                f"--until {text!r}: give a column and a number, as in "
                "test_accuracy=0.97."
            ) from None
    return found
