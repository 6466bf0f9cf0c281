"""The axes of a grid: lists of values, lists walked together, dependent values."""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from raybs.config.trial import LENGTHS
from raybs.config.validation import any_of, plain

T = TypeVar("T")
Values: TypeAlias = T | Sequence[T] | Callable[[Mapping[str, Any]], T]
"""One value, several, or a function of the point's other values."""

Point = Mapping[str, Any]

NEEDED = ("batch_size", "learning_rate", *LENGTHS)
"""Of which some must be given: they have no default."""


def values_of(name: str, value: Any) -> list[Any]:
    """Return the values of an axis, of which a scalar has one."""
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        return [value]
    values = [plain(item) for item in value]
    if not values:
        raise ValueError(f"{name}={value!r}; give at least one value.")
    return values


def make_axes(
    several: Mapping[str, list[Any]],
    zipped: Sequence[str],
    points: Sequence[Point],
    known: Sequence[str],
) -> list[list[Point]]:
    """Return the axes of the grid, each a list of partial points."""
    _check_axes(several, zipped, points, known)
    axes: list[list[Point]] = [
        [{name: value} for value in values]
        for name, values in several.items()
        if name not in zipped
    ]
    if zipped:
        columns = [several[name] for name in zipped]
        walked = zip(*columns, strict=True)
        axes.append([dict(zip(zipped, row, strict=True)) for row in walked])
    if points:  # the last ones, so that they overrule defaults
        axes.append([{n: plain(value) for n, value in p.items()} for p in points])
    return axes


def _check_axes(
    several: Mapping[str, list[Any]],
    zipped: Sequence[str],
    points: Sequence[Point],
    known: Sequence[str],
) -> None:
    """Refuse names that are not `known`, or given twice, and lists of other lengths."""
    wrong = [point for point in points if not isinstance(point, Mapping)]
    if wrong:
        raise ValueError(f"points: {wrong[0]!r}; give mappings from names to values.")
    for name in [*zipped, *(name for point in points for name in point)]:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise ValueError(f"'{name}' is not known.{hint} Use {any_of(known)}.")
    lengths = {name: len(several.get(name, ())) for name in zipped}
    if len({*lengths.values()}) > 1 or 0 in lengths.values():
        said = ", ".join(f"{name} {num}" for name, num in lengths.items())
        raise ValueError(f"zipped lists must have one length, these have {said}.")
    in_points = {name for point in points for name in point}
    # What has a default can be given once more: points overrule it.
    twice = [
        name
        for name in sorted(in_points)
        if name in zipped
        or len(several.get(name, ())) > 1
        or (name in NEEDED and name in several)
    ]
    if twice:
        raise ValueError(f"'{twice[0]}' is in points and besides; give it once.")


def merged(combination: Iterable[Point]) -> dict[str, Any]:
    """Join partial points, and call what depends on the other values."""
    point = {name: value for part in combination for name, value in part.items()}
    known = {n: v for n, v in point.items() if n == "schedule" or not callable(v)}
    for name, value in point.items():
        if name not in known:
            try:
                point[name] = plain(value(known))
            except KeyError as error:
                raise ValueError(
                    f"the function of {name} asks for {error}; it gets "
                    f"{any_of(known)}, of which none is a function itself."
                ) from None
    return point
