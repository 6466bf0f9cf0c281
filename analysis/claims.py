"""What is claimed, as data: the article's findings and numbers, and a reader's own.

`findings.toml` has all of the article's, and says what its keys mean.
"""

import functools
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import pydantic_core

from raybs.checks import is_line, raise_all

Kind = Literal["finding", "statement", "number", "own"]
"""A finding of the article, another of its sentences, a printed number, a reader's."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A quantity of trials or draws, and the bounds (exclusive) that it lies between.

    The mean over seeds of `metric` of the config `of`, less `minus`, or divided by
    `over`. With `regime` the mean over sample sets: `of` and `minus` are batch sizes,
    of which `power_of`, if given, asks for the exponent.
    """

    metric: str
    of: str = ""
    minus: str = ""
    over: str = ""
    layer: int | None = None
    regime: str = ""
    minus_regime: str = ""
    power_of: tuple[int, ...] = ()
    low: float = -math.inf
    high: float = math.inf

    @property
    def configs(self) -> tuple[str, ...]:
        """The labels that are compared, or the batch sizes."""
        sizes = tuple(map(str, self.power_of))
        return sizes or tuple(name for name in (self.of, self.minus, self.over) if name)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence, and the contrasts that must all hold for it.

    `unit` is what repeats, seeds or draws, and `num_needed` how many of them it takes.
    `reproduced`: the project states that its runs support it. `printed`: the numbers
    that a claim of kind "number" is about.
    """

    kind: Kind
    sentence: str
    sweep: str
    contrasts: tuple[Contrast, ...]
    unit: Literal["seeds", "draws"] = "seeds"
    num_needed: int = 2
    protocol: str = ""
    finding: int | None = None
    reproduced: bool = False
    printed: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the article: the sweep that repeats it, and its figures."""

    title: str
    sweep: str
    says: str
    protocol: str
    figures: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What `load_claims` returns."""

    sections: tuple[Section, ...]
    claims: tuple[Claim, ...]


NUM_SEEDS = 5
"""That a printed number is compared by."""


@functools.cache
def article() -> Claims:
    """Return the sections, findings and numbers of the article."""
    text = (resources.files("analysis") / "findings.toml").read_text("utf-8")
    file = _read(tomllib.loads(text), "findings.toml")
    claims = list(_claims(file, "statement"))
    protocols = {section.sweep: section.protocol for section in file.section}
    return Claims(
        sections=tuple(Section(**dict(entry)) for entry in file.section),
        claims=tuple(
            replace(claim, protocol=claim.protocol or protocols[claim.sweep])
            for claim in claims
        ),
    )


def load_claims(path: str | None = None) -> Claims:
    """Return the article's claims, and those of the TOML file `path`.

    Raises:
        ValueError: The file is not of that form; all that is wrong is listed.
        OSError: It cannot be read.
    """
    known = article()
    if path is None:
        return known
    try:
        value = tomllib.loads(Path(path).read_text("utf-8"))
    except ValueError as error:  # of TOML, or of UTF-8
        raise ValueError(f"{path} is no TOML file: {error}") from None
    own = _claims(_read(value, path), "own")
    return replace(known, claims=(*known.claims, *own))


def printed_numbers() -> dict[str, dict[str, tuple[float, ...]]]:
    """Return the article's numbers by label and metric, accuracies in per cent."""
    found: dict[str, dict[str, tuple[float, ...]]] = {}
    for claim in article().claims:
        if claim.printed:
            contrast = claim.contrasts[0]
            found.setdefault(contrast.of, {})[contrast.metric] = claim.printed
    return found


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


class _Entry(pydantic.BaseModel):
    """A table of the file."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, strict=True
    )


class _Section(_Entry):
    title: Text
    sweep: Text
    says: Text
    protocol: Text
    figures: Labels | tuple[Text]


class _Contrast(_Entry):
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
    def _check(self) -> "_Contrast":
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
        if self.tolerance is not None:
            near = self.near or 0.0
            return near - self.tolerance, near + self.tolerance
        return (
            -math.inf if self.above is None else self.above,
            math.inf if self.below is None else self.below,
        )

    def expanded(self, metric: str) -> Iterator[Contrast]:
        """Yield one contrast, or those of neighbors in a list."""
        shared: dict[str, Any] = {
            "metric": self.metric or metric,
            "layer": self.layer,
            "regime": self.regime,
        }
        chain = [str(name) for name in self.rising or self.falling]
        for one, other in zip(chain, chain[1:], strict=False):
            if self.rising:
                yield Contrast(of=other, minus=one, low=0, **shared)
            else:
                yield Contrast(of=other, minus=one, high=0, **shared)
        if not chain:
            low, high = self.bounds
            yield Contrast(
                of=str(self.of),
                minus=str(self.minus),
                over=self.over,
                minus_regime=self.minus_regime,
                power_of=self.power_of,
                low=low,
                high=high,
                **shared,
            )


class _Claim(_Entry):
    sentence: Text
    sweep: Text
    finding: Size | None = None
    protocol: Text = ""
    metric: Text = ""
    contrasts: Annotated[tuple[_Contrast, ...], pydantic.Field(min_length=1)]
    seeds: Count | None = None
    draws: Count | None = None
    reproduced: bool = False

    @pydantic.model_validator(mode="after")
    def _check(self) -> "_Claim":
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
        return "draws" if self.seeds is None else "seeds"


class _Tolerance(_Entry):
    absolute: Annotated[float, pydantic.Field(gt=0)] | None = None
    relative: Annotated[float, pydantic.Field(gt=0)] | None = None

    @pydantic.model_validator(mode="after")
    def _check(self) -> "_Tolerance":
        if (self.absolute is None) == (self.relative is None):
            raise ValueError("give one of: absolute, relative")
        return self

    def around(self, number: float) -> tuple[float, float]:
        """Return the bounds around a number."""
        half = self.absolute or (self.relative or 0) * abs(number)
        return number - half, number + half


class _Numbers(_Entry):
    """Its other entries are numbers, by their metric; a tuple has one per layer."""

    model_config = pydantic.ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | Values]
    sentence: Text
    sweep: Text
    of: Text


class _File(_Entry):
    section: tuple[_Section, ...] = ()
    claim: tuple[_Claim, ...] = ()
    tolerances: dict[str, _Tolerance] = {}
    numbers: tuple[_Numbers, ...] = ()

    @pydantic.model_validator(mode="after")
    def _check(self) -> "_File":
        if not self.claim and not self.numbers:
            raise ValueError("there is no [[claim]]")
        for entry in self.numbers:
            for metric in entry.__pydantic_extra__.keys() - self.tolerances.keys():
                raise ValueError(f"[tolerances] has none for {metric}")
        return self


def _read(value: Mapping[str, Any], name: str) -> _File:
    try:
        return _File.model_validate_json(pydantic_core.to_json(value))
    except pydantic.ValidationError as error:
        raise_all(name, [_said(problem) for problem in error.errors()])
        raise


def _said(problem: Any) -> str:
    """Say where something is wrong, counting from 1, and what."""
    place = [str(p + 1) if isinstance(p, int) else str(p) for p in problem["loc"]]
    what = problem["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{' '.join(place)}: {what}" if place else what


def _claims(file: _File, kind: Kind) -> Iterator[Claim]:
    for entry in file.claim:
        parts = [part.expanded(entry.metric) for part in entry.contrasts]
        yield Claim(
            kind="finding" if entry.finding and kind == "statement" else kind,
            sentence=entry.sentence,
            sweep=entry.sweep,
            protocol=entry.protocol,
            contrasts=tuple(contrast for part in parts for contrast in part),
            unit=entry.unit,
            num_needed=entry.seeds or entry.draws or 0,
            finding=entry.finding,
            reproduced=entry.reproduced,
        )
    for numbers in file.numbers:
        for metric, given in numbers.__pydantic_extra__.items():
            printed = given if isinstance(given, tuple) else (given,)
            bounds = [file.tolerances[metric].around(number) for number in printed]
            yield Claim(
                kind="number" if kind == "statement" else kind,
                sentence=numbers.sentence,
                sweep=numbers.sweep,
                contrasts=tuple(
                    Contrast(
                        metric=metric,
                        of=numbers.of,
                        layer=layer if len(printed) > 1 else None,
                        low=low,
                        high=high,
                    )
                    for layer, (low, high) in enumerate(bounds, 1)
                ),
                num_needed=NUM_SEEDS,
                printed=printed,
            )
