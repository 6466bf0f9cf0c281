"""The form of files of claims: `findings.toml` says what their keys mean."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
import pydantic_core

from raybs.config.validation import is_line, raise_all


def _line(text: str) -> str:
    if not is_line(text):
        raise ValueError("text on one line, please")
    return text


Text = Annotated[str, pydantic.AfterValidator(_line)]

Size = Annotated[int, pydantic.Field(gt=0)]

Count = Annotated[int, pydantic.Field(ge=2)]  # no test has fewer

Sizes = Annotated[tuple[Size, ...], pydantic.Field(min_length=2)]

Labels = Annotated[tuple[Text, ...], pydantic.Field(min_length=2)]

Values = Annotated[tuple[float, ...], pydantic.Field(min_length=1)]


class Entry(pydantic.BaseModel):
    """A table of the file."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, strict=True
    )


class SectionEntry(Entry):
    """A section of the article."""

    title: Text
    sweep: Text
    says: Text
    protocol: Text
    figures: Labels | tuple[Text]


class ContrastEntry(Entry):
    """A contrast, or a list of configs that gives one for each pair of neighbors."""

    metric: Text = ""
    of: Text | Size = ""
    minus: Text | Size = ""
    over: Text = ""
    rising: Labels | Sizes = ()
    falling: Labels | Sizes = ()
    layer: Size | None = None
    regime: Text = ""
    minus_regime: Text = ""
    power_of: Sizes = ()
    above: float | None = None
    below: float | None = None
    near: float | None = None
    tolerance: Annotated[float, pydantic.Field(gt=0)] | None = None

    @pydantic.model_validator(mode="after")
    def _check(self) -> "ContrastEntry":
        bounds = [self.above, self.below, self.near, self.tolerance]
        num_bounds = 4 - bounds.count(None)
        if self.rising or self.falling:
            names = ("of", "minus", "over", "minus_regime", "power_of")
            if num_bounds or (self.rising and self.falling) or self._given(*names):
                raise ValueError("a list that rises or falls is all of a contrast")
            return self
        if self._given("of", "power_of") != 1:
            raise ValueError("give one of: of, rising, falling, power_of")
        if self._given("minus", "over", "minus_regime", "power_of") > 1:
            raise ValueError("give at most one of: minus, over, minus_regime, power_of")
        if self.tolerance is None and self.near is not None:
            raise ValueError("near needs a tolerance")
        if num_bounds == 0 or (
            self.tolerance and (self.above, self.below) != (None,) * 2
        ):
            raise ValueError("give bounds: above, below, or a tolerance (and near)")
        low, high = self.bounds
        if low >= high:
            raise ValueError(f"nothing is above {low:g} and below {high:g}")
        return self

    def _given(self, *names: str) -> int:
        return sum(bool(getattr(self, name)) for name in names)

    @property
    def bounds(self) -> tuple[float, float]:
        """Low and high; infinite where there is none."""
        if self.tolerance is not None:
            near = self.near or 0.0
            return near - self.tolerance, near + self.tolerance
        return (
            -math.inf if self.above is None else self.above,
            math.inf if self.below is None else self.below,
        )


class ClaimEntry(Entry):
    """A sentence, and the contrasts that it comes to."""

    sentence: Text
    sweep: Text
    finding: Size | None = None
    network: Text = ""
    protocol: Text = ""
    metric: Text = ""
    contrasts: Annotated[tuple[ContrastEntry, ...], pydantic.Field(min_length=1)]
    seeds: Count | None = None
    draws: Count | None = None
    reproduced: bool = False

    @pydantic.model_validator(mode="after")
    def _check(self) -> "ClaimEntry":
        if (self.seeds is None) == (self.draws is None):
            raise ValueError("give one of: seeds, draws")
        kind, what = (str, "labels") if self.seeds else (int, "batch sizes")
        for number, part in enumerate(self.contrasts, 1):
            where = f"contrast {number}"
            if not (self.metric or part.metric):
                raise ValueError(f"{where} has no metric, nor has the claim")
            names = [part.of, part.minus, *part.rising, *part.falling]
            if not all(isinstance(name, kind) for name in names if name):
                raise ValueError(f"{where} compares {what}, by {self.unit}")
            if bool(part.regime) != (self.draws is not None):
                raise ValueError(f"{where}: draws have a regime, and only draws")
            if self.seeds and part.minus_regime + str(part.power_of or ""):
                raise ValueError(f"{where}: minus_regime and power_of are of draws")
            if self.draws and (part.over or part.layer):
                raise ValueError(f"{where}: over and layer are of trials")
        return self

    @property
    def unit(self) -> Literal["seeds", "draws"]:
        """What repeats."""
        return "draws" if self.seeds is None else "seeds"


class Tolerance(Entry):
    """How far a mean may lie from a printed number."""

    absolute: Annotated[float, pydantic.Field(gt=0)] | None = None
    relative: Annotated[float, pydantic.Field(gt=0)] | None = None

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Tolerance":
        if (self.absolute is None) == (self.relative is None):
            raise ValueError("give one of: absolute, relative")
        return self

    def around(self, number: float) -> tuple[float, float]:
        """Return the bounds around a number."""
        half = self.absolute or (self.relative or 0) * abs(number)
        return number - half, number + half


class NumbersEntry(Entry):
    """Its other entries are numbers, by their metric; a tuple has one per layer."""

    model_config = pydantic.ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | Values]
    sentence: Text
    sweep: Text
    of: Text


class File(Entry):
    """All tables of a file."""

    section: tuple[SectionEntry, ...] = ()
    claim: tuple[ClaimEntry, ...] = ()
    tolerances: dict[str, Tolerance] = {}
    numbers: tuple[NumbersEntry, ...] = ()

    @pydantic.model_validator(mode="after")
    def _check(self) -> "File":
        if not self.claim and not self.numbers:
            raise ValueError("there is no [[claim]]")
        for entry in self.numbers:
            for metric in entry.__pydantic_extra__.keys() - self.tolerances.keys():
                raise ValueError(f"[tolerances] has none for {metric}")
        return self


def read_file(value: Mapping[str, Any], name: str) -> File:
    """Return what a file holds.

    Raises:
        ValueError: It is not of that form; all that is wrong is listed.
    """
    try:
        return File.model_validate_json(pydantic_core.to_json(value))
    except pydantic.ValidationError as error:
        raise_all(name, [_said(problem) for problem in error.errors()])
        raise


def _said(problem: Any) -> str:
    """Say where something is wrong, counting from 1, and what."""
    place = [str(p + 1) if isinstance(p, int) else str(p) for p in problem["loc"]]
    what = problem["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{' '.join(place)}: {what}" if place else what
