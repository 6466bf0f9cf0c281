"""Checks of what users give, and words for it: small helpers without a home."""

import math
from collections.abc import Iterable, Mapping


def any_of(values: Iterable[object]) -> str:
    """Join as in 'sgd, adam or adamw'."""
    *most, last = map(str, values)
    return f"{', '.join(most)} or {last}" if most else last


def count(number: int, what: str) -> str:
    """Say how many there are: "1 trial", "2,000 trials"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def to_tuples(self: object, *names: str) -> list[str]:
    """Make fields tuples; return what is wrong with those that are no sequences."""
    problems = []
    for name in names:
        value = getattr(self, name)
        if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
            problems.append(f"{name}={value!r}; use a tuple or a list")
        else:
            object.__setattr__(self, name, tuple(value))
    return problems


def is_integer(value: object) -> bool:
    """Tell whether it is a whole number of 64 bits; True and False are none."""
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return -(2**63) <= value < 2**63


def is_number(value: object) -> bool:
    """Tell whether it is a finite number."""
    return is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def is_line(value: object) -> bool:
    """Tell whether it is text that a terminal shows as it is, on one line."""
    return isinstance(value, str) and value.isprintable()


def to_line(text: str) -> str:
    """Put spaces for what a terminal would not show, but obey, and for new lines."""
    return "".join(c if c.isprintable() else " " for c in text)


def plain(value: object) -> object:
    """Turn NumPy's scalars, as of a range or a logspace, into Python's."""
    return value.item() if hasattr(value, "item") else value


def raise_all(what: str, problems: list[str]) -> None:
    """Raise one ValueError that lists all `problems`, if there are any."""
    if problems:
        raise ValueError(f"{what}: " + "; and ".join(problems) + ".")
