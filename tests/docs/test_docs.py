"""What the README and docs say holds."""

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest
from chaos import main as chaos
from click.testing import CliRunner

import analysis
from analysis.__main__ import advise_command, findings_command
from analysis.__main__ import main as analyze
from analysis.advice.pick import pick
from analysis.advice.words import MARGIN
from analysis.claims.results import VERDICTS
from analysis.frames.draws import ARTICLES_NORM, NORMS, complete
from analysis.frames.trials import only
from analysis.report.markdown import to_markdown
from analysis.report.tables import findings_table
from analysis.report.terminal import print_findings
from analysis.statistics.fits import fit_powers
from analysis.statistics.moments import summarize_entries
from raybs.cli.grid import grid_command
from raybs.config import TrainSweep
from raybs.config.catalog import find_sweep
from raybs.config.gradient_sweep import GradientSweep
from raybs.doctor import main as doctor
from raybs.export import main as export
from raybs.sweep import main

TOP = Path(__file__).parents[2]
ROOT_PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")
PAGES = [*(TOP / name for name in ROOT_PAGES), *(TOP / "docs").glob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)", page.read_text())
    for target in targets:
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_readme_example_is_a_sweep():
    blocks = re.findall(r"```python\n(.*?)```", PAGES[0].read_text(), re.DOTALL)
    [example] = [block for block in blocks if "SWEEP" in block]
    names: dict[str, object] = {}
    exec(example, names)
    assert isinstance(names["SWEEP"], TrainSweep)


def test_the_gradient_experiment_of_the_docs_is_a_sweep_and_so_is_the_crossed_one():
    page = (TOP / "docs/gradients.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    [example] = [block for block in blocks if "SWEEP" in block]
    names: dict[str, object] = {}
    exec(example, names)
    assert isinstance(names["SWEEP"], GradientSweep)
    _, title, sweep = find_sweep(str(TOP / "docs/crossed.py"))
    assert title.endswith("?")
    assert isinstance(sweep, GradientSweep)
    assert sweep.crossed == (30, 30)


def test_every_option_in_the_readme_exists():
    commands = (main, grid_command, doctor, chaos, analyze, advise_command)
    commands += (findings_command, export)
    help_text = "".join(CliRunner().invoke(c, ["--help"]).output for c in commands)
    pages = "".join(page.read_text() for page in (PAGES[0], TOP / "docs/grids.md"))
    of_others = {"--quiet", "--no-deps", "--wheel-dir", "--follow"}  # pip's and Ray's
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", pages)) - of_others:
        assert option in help_text, option


def test_the_reference_draws_say_what_the_docs_say(reference):
    stored = analysis.load_draws(reference)
    draws = complete(stored)
    assert len(draws) == 2 * 15 * 1000
    norms = draws.groupby(["regime", "batch_size"])[list(NORMS)].mean()
    weighted = norms["sample_weighted_norm"].unstack(0)
    assert weighted["early"].is_monotonic_increasing
    assert weighted["late"].idxmin() == 8
    assert weighted["late"].loc[8:].is_monotonic_increasing
    for column in NORMS:
        early, late = norms[column]["early"], norms[column]["late"]
        assert (early > late).all()
    for regime in ("early", "late"):
        assert norms["summed_gradient_norm"][regime].is_monotonic_decreasing
    fits = fit_powers(draws, ARTICLES_NORM).set_index(["regime", "quantity"])
    assert fits.loc[("early", "mean"), "exponent"] == pytest.approx(0.128, abs=5e-4)
    relative = fits.loc[("late", "relative deviation"), "exponent"]
    assert relative == pytest.approx(0.326, abs=5e-4)
    tails = summarize_entries(stored.histogram).set_index(["regime", "batch_size"])
    assert tails.loc["early", "kurtosis"].is_monotonic_increasing
    assert tails.loc["early", "beyond_8"].is_monotonic_increasing
    assert tails.loc["late", "beyond_8"].idxmin() == 8


@pytest.mark.slow
def test_the_verdicts_of_the_readme_are_those_of_the_reference_run(reference):
    verdicts = analysis.verdicts(reference)
    for kind in ("finding", "network"):
        of_kind = [verdict for verdict in verdicts if verdict.claim.kind == kind]
        assert to_markdown(findings_table(of_kind)) in PAGES[0].read_text()
    # What the project states as reproduced is what this run supports.
    for verdict in verdicts:
        if verdict.claim.kind in ("finding", "statement", "network"):
            assert verdict.claim.reproduced == (verdict.verdict == "supported")


@pytest.mark.slow
def test_every_verdict_has_its_place_on_a_terminal(capsys, reference):
    verdicts = analysis.verdicts(reference)
    print_findings(verdicts)
    *lines, _ = capsys.readouterr().out.strip().splitlines()
    for word in VERDICTS:
        num = sum(verdict.verdict == word for verdict in verdicts)
        assert "".join(lines).count(word) == num


@pytest.mark.slow
def test_the_report_is_of_these_findings_and_small_enough_to_be_sent(reference):
    page = TOP / "docs/report.html"
    assert page.stat().st_size < 4e6
    text = html.unescape(re.sub("</?code>", "", page.read_text("utf-8")))
    for verdict in analysis.verdicts(reference):
        assert verdict.claim.printed or verdict.sentence in text, verdict.claim.sentence


def test_tables_of_benchmarks_are_what_they_wrote():
    speed, verdicts = (
        (TOP / f"docs/{name}.md").read_text() for name in ("performance", "findings")
    )
    written = sorted((TOP / "benchmarks/results").glob("*.md"))
    assert len(written) == 9
    for table in written:
        page = verdicts if table.stem == "verdicts" else speed
        assert table.read_text().strip() in page, table.name


def test_the_grid_of_the_docs_is_what_the_reference_run_says(reference):
    frames = only(analysis.load(reference), "fashion")
    [advice] = analysis.advise(frames)
    page = (TOP / "docs/grids.md").read_text()
    trials = advice.trials.assign(half=advice.trials["seed"] // 3)
    halves = trials.groupby(["setting", "batch_size", "learning_rate", "half"])
    means = 100 * halves["final_test_accuracy"].mean()
    for point in advice.points[advice.points["best"]].to_dict("records"):
        key = (point["setting"], point["batch_size"], point["learning_rate"])
        line = (
            f"| {key[0]} | {key[1]} | {key[2]:g} | {point['mean']:.2f} "
            f"({point['lower']:.2f} to {point['upper']:.2f}) | "
            f"{means[(*key, 0)]:.2f} | {means[(*key, 1)]:.2f} |"
        )
        assert line in page
    headline = analysis.words(advice)["Advice"][0]
    assert headline in " ".join((TOP / "README.md").read_text().split())
    for half in (0, 1):
        mine = replace(frames, trials=frames.trials[frames.trials["seed"] // 3 == half])
        [again] = analysis.advise(mine)
        best = again.points[again.points["best"]][["batch_size", "learning_rate"]]
        all_six = advice.points[advice.points["best"]][["batch_size", "learning_rate"]]
        assert best.to_numpy().tolist() == all_six.to_numpy().tolist()
        highest = "Batch size 16 at learning rate 0.03 (sgd) ends highest, with "
        assert highest in headline
        assert highest in analysis.words(again)["Advice"][0]
        tied = [pick(each, MARGIN).tied for each in (advice, again)]
        sizes = [{(row["setting"], row["batch_size"]) for row in rows} for rows in tied]
        assert sizes[0] < sizes[1]
        assert len(sizes[1]) == {0: 6, 1: 4}[half]
