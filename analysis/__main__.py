"""Report, tables, charts, findings and advice of stored sweeps: python -m analysis."""

from raybs import interrupts

if __name__ == "__main__":  # before all other imports, which take a while
    interrupts.install("python -m analysis")

import sys
from datetime import datetime
from pathlib import Path

import click

from analysis.advice.targets import check_target
from analysis.advice.words import MARGIN
from analysis.claims.claim import Claims, load_claims
from analysis.claims.evidence import read_evidence
from analysis.claims.judge import judge, verdicts
from analysis.frames.trials import load, only
from analysis.report.files import KINDS, figures_folder, write, write_findings
from analysis.report.terminal import advise_on, draw_sweeps, print_findings
from analysis.report.watch import SECONDS, watch
from raybs.cli.errors import said_politely
from raybs.cli.groups import SETTINGS, Branching, results_option
from raybs.cli.numbers import AnyNumber, Number
from raybs.store.opening import open_store
from raybs.store.store import Store

EXAMPLES = """
\b
Examples:
  python -m analysis                                     # the report of ./results
  python -m analysis --watch                             # the same, while a sweep runs
  python -m analysis --results docs/reference recovery   # the project's own run of one
  python -m analysis --format png --format md            # figures and tables as files
  python -m analysis findings                            # what holds, on the terminal
  python -m analysis advise results                      # what batch size, and why?
"""

FINDINGS_EXAMPLES = """
\b
Examples:
  python -m analysis findings                            # of ./results
  python -m analysis findings docs/reference             # of the project's own runs
  python -m analysis findings --claims mine.toml         # and claims of yours

\b
Exit status: 0; 1 if a finding that the project states as reproduced can be judged
and is not supported; 2 for a wrong request. docs/findings.md has the form of claims.
"""

ADVICE_EXAMPLES = """
\b
Examples:
  python -m analysis advise results                    # of every sweep that compares
  python -m analysis advise results grid --target 0.97  # how soon 97 % is reached
  python -m analysis advise results grid --margin 0.5  # half a point is no difference
"""

claims_option = click.option(
    "--claims",
    "claims_file",
    metavar="FILE",
    help="Claims of your own, in a TOML file (docs/findings.md).",
)


@click.command("report", epilog=EXAMPLES, context_settings=SETTINGS)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@results_option
@click.option(
    "--figures",
    metavar="FOLDER",
    help="Where report, tables and charts go.  [default: figures, in a local folder]",
)
@click.option(
    "--format",
    "kinds",
    type=click.Choice(KINDS),
    multiple=True,
    default=("html",),
    show_default=True,
    help="html is the report, one file; png, svg and pdf are figures, md is tables.",
)
@claims_option
@click.option(
    "--watch",
    "is_live",
    is_flag=True,
    help="Write the report again whenever something is stored, until Ctrl-C; a "
    "browser that has it open follows.",
)
def report_command(
    names: tuple[str, ...],
    results: str,
    figures: str | None,
    kinds: tuple[str, ...],
    claims_file: str | None,
    is_live: bool,
) -> None:
    """Write the report of sweeps, from what is stored so far, and print their tables.

    The report is one HTML file, which needs no network: the article's sections beside
    your runs, its findings judged on them, and all other sweeps.
    """
    with said_politely():
        if is_live and kinds != ("html",):
            raise ValueError("--watch writes the report, which is --format html.")
        claims = load_claims(claims_file)
        store = open_store(results)
        if is_live:
            return _follow(store, names, figures, claims)
        others = [kind for kind in dict.fromkeys(kinds) if kind != "html"]
        draw_sweeps(store, names, figures, others)
        if "md" in kinds:
            judged = judge(claims, *read_evidence(store))
            of_names = [v for v in judged if not names or v.claim.sweep in names]
            if of_names:
                write_findings(store, figures, of_names)
        if "html" in kinds:
            path = _report(store, names, figures, claims)
            click.echo(f"The report: {path}")


def _report(
    store: Store,
    names: tuple[str, ...],
    figures: str | None,
    claims: Claims,
    follow: float | None = None,
) -> Path:
    from analysis.report.files import write_report
    from analysis.report.page import render

    path = figures_folder(store, figures) / "report.html"
    write_report(path, render(store, claims, names=names, follow=follow))
    return path


def _follow(
    store: Store, names: tuple[str, ...], figures: str | None, claims: Claims
) -> None:
    """Write the report again and again, until Ctrl-C."""

    def again() -> None:
        path = _report(store, names, figures, claims, SECONDS)
        click.echo(f"{datetime.now():%H:%M:%S} {path}")

    click.echo("The report follows what is stored, and an open page the report; Ctrl-C")
    try:
        watch(store, again)
    except KeyboardInterrupt:
        interrupts.answered()
        # Once more, as a page that follows nothing.
        path = _report(store, names, figures, claims)
        click.echo(f"\nThe report: {path}")


@click.command("findings", epilog=FINDINGS_EXAMPLES, context_settings=SETTINGS)
@click.argument("results", default="results")
@claims_option
def findings_command(results: str, claims_file: str | None) -> None:
    """Judge the article's findings on the results folder RESULTS.

    Supported, contradicted, inconclusive or not run: by the means over seeds that are
    stored, whichever sweep they are from.
    """
    with said_politely():
        judged = verdicts(results, claims_file)
        print_findings(judged)
        lost = [verdict for verdict in judged if verdict.is_lost]
        for verdict in lost:
            click.echo(
                f"No longer supported: {verdict.claim.sentence} {verdict.sentence}",
                err=True,
            )
    if lost:
        sys.exit(1)


@click.command("advise", epilog=ADVICE_EXAMPLES, context_settings=SETTINGS)
@click.argument("results", default="results")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--target",
    type=AnyNumber(),
    metavar="ACCURACY",
    help="Test accuracy whose cost is compared, a fraction, as in 0.97.  [default: "
    "what trials stopped at, or a point below the best]",
)
@click.option(
    "--margin",
    type=Number(0, 100),
    default=MARGIN,
    show_default=True,
    metavar="POINTS",
    help="Percentage points of accuracy that make no difference to you.",
)
@click.option("--figures", metavar="FOLDER", help="Where advice and charts go.")
def advise_command(
    results: str,
    names: tuple[str, ...],
    target: float | None,
    margin: float,
    figures: str | None,
) -> None:
    """Say which batch size to train with, on what evidence, with which limits.

    From the sweeps NAME of the results folder RESULTS (all, if none is named) that have
    two batch sizes or more under one budget.
    """
    with said_politely():
        if target is not None:
            check_target(target)
        store = open_store(results)
        frames = load(store)
        known = sorted(frames.trials["sweep"].unique())
        num_advised = 0
        for name in names or known:
            part = only(frames, name)
            click.echo(f"\n{name}: {part.trials['title'].iloc[0]}")
            text, charts = advise_on(part, target=target, margin=margin)
            if text:
                num_advised += 1
                folder = figures_folder(store, figures, name)
                write(folder, {"advice": text}, charts)
            else:
                click.echo(
                    "No advice: of no two batch sizes under one budget have trials "
                    "ended, without diverging, at what they were to reach."
                )
        if not num_advised:
            raise ValueError(
                f"{results!r} holds nothing to advise on; run a grid first: "
                "python -m raybs.sweep grid --help"
            )


main = Branching(report_command, [advise_command, findings_command])

if __name__ == "__main__":
    interrupts.run(main)
