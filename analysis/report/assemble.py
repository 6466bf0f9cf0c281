"""The report: the article beside our runs, as one HTML file that needs no network."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from analysis.claims.claim import Claim, Claims, Section
from analysis.claims.evidence import read_evidence
from analysis.claims.judge import judge
from analysis.claims.results import Verdict
from analysis.claims.sentences import command
from analysis.commands import sweep_command
from analysis.frames.draws import Draws
from analysis.frames.sweeps import find_sweeps
from analysis.frames.trials import Frames
from analysis.frames.trials import only as only_sweep
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
    """All that the page says; `unplaced` are claims about no sweep that it shows.

    `networks` are findings asked of other networks, none where their sweep was not run.
    """

    tally: str
    findings: tuple[Judged, ...]
    networks: tuple[Judged, ...]
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
    held = _Held(sweeps=sweeps, training=training, draws=draws, judged=judged)
    sections = [
        _section(section, held)
        for section in claims.sections
        if not names or section.sweep in names
    ]
    placed = {section.sweep for section in claims.sections}
    others = [_other(name, held) for name in sweeps if name not in placed]
    known = {part.sweep for part in (*sections, *others)}
    return Report(
        tally=tally(shown),
        findings=_of_kind(judged, "finding"),
        networks=_of_kind(judged, "network"),
        sections=tuple(sections),
        others=tuple(others),
        unplaced=_unplaced([j for j in judged if j.verdict.claim.sweep not in known]),
        facts=facts(sweeps, training, draws),
        listings=tuple(listings(sweeps, training, draws)),
        datasets=held.datasets,
    )


@dataclass(frozen=True, kw_only=True)
class _Held:
    """What the results hold, and the verdicts on it; `datasets` are what charts show.

    The charts of each block add theirs.
    """

    sweeps: Mapping[str, Sweep]
    training: Frames
    draws: Mapping[str, Draws]
    judged: Sequence[Judged]
    datasets: Datasets = field(default_factory=dict)

    def block(
        self, name: str, *, only: Collection[str] = (), advised: bool = False
    ) -> Block | None:
        """Return a sweep as far as it is stored; None if it is not."""
        if name not in self.sweeps:
            return None
        if isinstance(self.sweeps[name], GradientSweep):
            return of_draws(self.draws[name], self.datasets, only=only)
        frames = only_sweep(self.training, name)
        return of_trials(frames, self.datasets, only=only, advised=advised)

    def judged_of(self, name: str) -> list[Judged]:
        """Return the verdicts on claims about one sweep."""
        return [j for j in self.judged if j.verdict.claim.sweep == name]


def _section(section: Section, held: _Held) -> Part:
    """Return a section of the article, whether its sweep was run or not."""
    name = section.sweep
    judged = held.judged_of(name)
    if name in held.sweeps:
        line = sweep_command(name, held.sweeps[name])
    else:
        line = _command(name, judged)
    return Part(
        key=f"section-{name}",
        heading=section.title,
        sweep=name,
        says=section.says,
        protocol=section.protocol,
        block=held.block(name, only=section.figures),
        command=line,
        judged=_sentences(judged),
        numbers=_numbers(judged, "number"),
        claimed=_numbers(judged, "own"),
    )


def _other(name: str, held: _Held) -> Part:
    """Return a sweep of the reader's own, with advice on it."""
    judged = held.judged_of(name)
    return Part(
        key=f"sweep-{name}",
        heading=name,
        sweep=name,
        block=held.block(name, advised=True),
        judged=_sentences(judged),
        claimed=_numbers(judged, "own"),
    )


def _unplaced(judged: Sequence[Judged]) -> Part:
    """Return the claims about no sweep that the page shows."""
    return Part(
        key="claims",
        heading="Other claims",
        sweep="",
        judged=_sentences(judged),
        claimed=_numbers(judged, "own"),
    )


def _command(name: str, judged: Sequence[Judged]) -> str:
    """Return what runs a section's sweep, with the seeds that its claims take."""
    claims = [j.verdict.claim for j in judged]
    if not claims:
        return f"python -m raybs.sweep {name}"
    return command(max(claims, key=lambda claim: claim.num_needed))


def _key(claim: Claim, number: int) -> str:
    return f"finding-{claim.finding}" if claim.kind == "finding" else f"claim-{number}"


def _of_kind(judged: Iterable[Judged], kind: str) -> tuple[Judged, ...]:
    return tuple(j for j in judged if j.verdict.claim.kind == kind)


def _sentences(judged: Iterable[Judged]) -> tuple[Judged, ...]:
    return tuple(j for j in judged if not j.verdict.claim.printed)


def _numbers(judged: Iterable[Judged], kind: str) -> tuple[Verdict, ...]:
    return tuple(j.verdict for j in _of_kind(judged, kind) if j.verdict.claim.printed)
