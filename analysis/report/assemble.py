"""The report: the article beside our runs, as one HTML file that needs no network."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from analysis.claims.claim import Claim, Claims, Section
from analysis.claims.evidence import read_evidence
from analysis.claims.judge import judge
from analysis.claims.results import Verdict
from analysis.claims.sentences import command
from analysis.commands import sweep_command
from analysis.frames.draws import Draws
from analysis.frames.sweeps import find_sweeps
from analysis.frames.trials import Frames, only
from analysis.report.appendix import Facts, Listing, facts, listings
from analysis.report.blocks import Block, of_draws, of_trials
from analysis.report.embed import Datasets
from analysis.report.tables import tally
from raybs.config.gradient_sweep import GradientSweep, Sweep
from raybs.store.store import Store


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A verdict, and the anchor under which it stands."""

    key: str
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Part:
    """A section of the article, or another sweep; `block` is None if it was not run.

    `command` runs it, or goes on with it. `numbers` are the article's, `claimed` the
    reader's.
    """

    key: str
    heading: str
    sweep: str
    says: str = ""
    protocol: str = ""
    block: Block | None = None
    command: str = ""
    judged: tuple[Judged, ...] = ()
    numbers: tuple[Verdict, ...] = ()
    claimed: tuple[Verdict, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that the page says; `unplaced` are claims about no sweep that it shows."""

    tally: str
    findings: tuple[Judged, ...]
    sections: tuple[Part, ...]
    others: tuple[Part, ...]
    unplaced: Part
    facts: Facts
    listings: tuple[Listing, ...]
    datasets: Datasets = field(repr=False)


def assemble(store: Store, claims: Claims, *, names: Sequence[str] = ()) -> Report:
    """Return what the report of a results folder says, of the sweeps `names` or of all.

    Raises:
        ValueError: The results hold no such sweep.
    """
    sweeps = find_sweeps(store, names)
    training, draws = read_evidence(store)
    verdicts = judge(claims, training, draws)
    shown = [v for v in verdicts if not names or v.claim.sweep in names]
    judged = [Judged(key=_key(v.claim, i), verdict=v) for i, v in enumerate(shown)]
    datasets: Datasets = {}
    sections = [
        _section(part, sweeps, training, draws, judged, datasets)
        for part in claims.sections
        if not names or part.sweep in names
    ]
    placed = {section.sweep for section in claims.sections}
    others = [
        _other(name, sweep, training, draws, judged, datasets)
        for name, sweep in sweeps.items()
        if name not in placed
    ]
    known = {part.sweep for part in (*sections, *others)}
    left = [j for j in judged if j.verdict.claim.sweep not in known]
    return Report(
        tally=tally(shown),
        findings=_of_kind(judged, "finding"),
        sections=tuple(sections),
        others=tuple(others),
        unplaced=Part(
            key="claims",
            heading="Other claims",
            sweep="",
            judged=_sentences(left),
            claimed=_numbers(left, "own"),
        ),
        facts=facts(sweeps, training, draws),
        listings=tuple(listings(sweeps, training, draws)),
        datasets=datasets,
    )


def _section(
    section: Section,
    sweeps: Mapping[str, Sweep],
    training: Frames,
    draws: Mapping[str, Draws],
    judged: Sequence[Judged],
    datasets: Datasets,
) -> Part:
    """Return a section of the article, whether its sweep was run or not."""
    name, sweep = section.sweep, sweeps.get(section.sweep)
    mine = [j for j in judged if j.verdict.claim.sweep == name]
    block, line = None, _command(name, mine)
    if isinstance(sweep, GradientSweep):
        block = of_draws(draws[name], datasets, only=section.figures)
    elif sweep is not None:
        found = only(training, name)
        block = of_trials(found, datasets, only=section.figures)
    if sweep is not None:
        line = sweep_command(name, sweep)
    return Part(
        key=f"section-{name}",
        heading=section.title,
        sweep=name,
        says=section.says,
        protocol=section.protocol,
        block=block,
        command=line,
        judged=_sentences(mine),
        numbers=_numbers(mine, "number"),
        claimed=_numbers(mine, "own"),
    )


def _other(
    name: str,
    sweep: Sweep,
    training: Frames,
    draws: Mapping[str, Draws],
    judged: Sequence[Judged],
    datasets: Datasets,
) -> Part:
    """Return a sweep of the reader's own, with advice on it."""
    mine = [j for j in judged if j.verdict.claim.sweep == name]
    if isinstance(sweep, GradientSweep):
        block = of_draws(draws[name], datasets)
    else:
        block = of_trials(only(training, name), datasets, advised=True)
    return Part(
        key=f"sweep-{name}",
        heading=name,
        sweep=name,
        block=block,
        judged=_sentences(mine),
        claimed=_numbers(mine, "own"),
    )


def _command(name: str, judged: Sequence[Judged]) -> str:
    """Return what runs a section's sweep, with the seeds that its claims take."""
    claims = [j.verdict.claim for j in judged]
    if not claims:
        return f"python -m raybs.sweep {name}"
    return command(max(claims, key=lambda claim: claim.num_needed))


def _key(claim: Claim, number: int) -> str:
    return f"finding-{claim.finding}" if claim.finding else f"claim-{number}"


def _of_kind(judged: Iterable[Judged], kind: str) -> tuple[Judged, ...]:
    return tuple(j for j in judged if j.verdict.claim.kind == kind)


def _sentences(judged: Iterable[Judged]) -> tuple[Judged, ...]:
    return tuple(j for j in judged if not j.verdict.claim.printed)


def _numbers(judged: Iterable[Judged], kind: str) -> tuple[Verdict, ...]:
    return tuple(j.verdict for j in _of_kind(judged, kind) if j.verdict.claim.printed)
