"""What is claimed, as data: the article's findings and numbers, and a reader's own.

`findings.toml` has all of the article's, and says what its keys mean; `networks.toml`
asks some of its findings of other networks.
"""

import functools
import math
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Literal

from analysis.claims.schema import ContrastEntry, File, read_file

Kind = Literal["finding", "statement", "number", "network", "own"]
"""A finding of the article, another of its sentences, a printed number, a finding asked
of another network, a reader's."""


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
    that a claim of kind "number" is about. `network`: what a claim of that kind asks
    its finding of.
    """

    kind: Kind
    sentence: str
    sweep: str
    contrasts: tuple[Contrast, ...]
    unit: Literal["seeds", "draws"] = "seeds"
    num_needed: int = 2
    protocol: str = ""
    finding: int | None = None
    network: str = ""
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
    file = _bundled("findings.toml")
    sections = tuple(Section(**dict(entry)) for entry in file.section)
    return Claims(sections=sections, claims=tuple(_claims(file, sections)))


@functools.cache
def of_networks() -> tuple[Claim, ...]:
    """Return the findings of the article that are asked of other networks."""
    return tuple(_claims(_bundled("networks.toml"), (), kind="network"))


def load_claims(path: str | None = None) -> Claims:
    """Return the article's claims, those of other networks, and of the file `path`.

    Raises:
        ValueError: The file is not of that form; all that is wrong is listed. Or it
            has sections or findings, which are the article's.
        OSError: It cannot be read.
    """
    known = article()
    known = replace(known, claims=(*known.claims, *of_networks()))
    if path is None:
        return known
    try:
        value = tomllib.loads(Path(path).read_text("utf-8"))
    except ValueError as error:  # of TOML, or of UTF-8
        raise ValueError(f"{path} is no TOML file: {error}") from None
    file = read_file(value, path)
    if file.section or any(entry.finding or entry.network for entry in file.claim):
        raise ValueError(
            f"{path}: [[section]], finding and network are the article's alone"
        )
    own = _claims(file, known.sections, kind="own")
    return replace(known, claims=(*known.claims, *own))


def _bundled(name: str) -> File:
    text = (resources.files("analysis.claims") / name).read_text("utf-8")
    return read_file(tomllib.loads(text), name)


def printed_numbers() -> dict[str, dict[str, tuple[float, ...]]]:
    """Return the article's numbers by label and metric, accuracies in per cent."""
    numbers: dict[str, dict[str, tuple[float, ...]]] = {}
    for claim in article().claims:
        if claim.printed:
            contrast = claim.contrasts[0]
            numbers.setdefault(contrast.of, {})[contrast.metric] = claim.printed
    return numbers


def _claims(
    file: File, sections: Sequence[Section], *, kind: Kind | None = None
) -> Iterator[Claim]:
    """Yield the claims of a file: all of one `kind`, or the article's."""
    protocols = {section.sweep: section.protocol for section in sections}
    for entry in file.claim:
        parts = [_expanded(part, entry.metric) for part in entry.contrasts]
        yield Claim(
            kind=kind or ("finding" if entry.finding else "statement"),
            sentence=entry.sentence,
            sweep=entry.sweep,
            protocol=entry.protocol or protocols.get(entry.sweep, ""),
            contrasts=tuple(contrast for part in parts for contrast in part),
            unit=entry.unit,
            num_needed=entry.seeds or entry.draws or 0,
            finding=entry.finding,
            network=entry.network,
            reproduced=entry.reproduced,
        )
    for numbers in file.numbers:
        for metric, given in numbers.__pydantic_extra__.items():
            printed = given if isinstance(given, tuple) else (given,)
            bounds = [file.tolerances[metric].around(number) for number in printed]
            yield Claim(
                kind=kind or "number",
                sentence=numbers.sentence,
                sweep=numbers.sweep,
                protocol=protocols.get(numbers.sweep, ""),
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


def _expanded(entry: ContrastEntry, metric: str) -> Iterator[Contrast]:
    """Yield one contrast, or those of neighbors in a list."""
    contrast = functools.partial(
        Contrast,
        metric=entry.metric or metric,
        layer=entry.layer,
        regime=entry.regime,
    )
    chain = [str(name) for name in entry.rising or entry.falling]
    for one, other in zip(chain, chain[1:], strict=False):
        if entry.rising:
            yield contrast(of=other, minus=one, low=0)
        else:
            yield contrast(of=other, minus=one, high=0)
    if not chain:
        low, high = entry.bounds
        yield contrast(
            of=str(entry.of),
            minus=str(entry.minus),
            over=entry.over,
            minus_regime=entry.minus_regime,
            power_of=entry.power_of,
            low=low,
            high=high,
        )
