"""The article's findings asked of other networks: their claims, and their sweep."""

import importlib

import pytest
from helpers import record, row

from analysis.claims.claim import article, load_claims, of_networks
from analysis.claims.evidence import read_evidence
from analysis.claims.judge import judge
from analysis.report.assemble import assemble
from analysis.report.page import page
from analysis.report.tables import HEADS, findings_tables, tally
from raybs.config.catalog import find_sweep
from raybs.config.keys import state_keys
from raybs.config.sweep import TrainSweep, with_seeds
from raybs.config.trial import label
from raybs.sweep import find_asked
from sweeps import other_networks

NETWORKS = {
    "cnn on MNIST": other_networks.CNN,
    "128 hidden units on Fashion-MNIST": other_networks.FASHION,
}


def test_findings_1_2_9_and_10_are_asked_of_each_network_in_the_articles_words():
    asked = [(claim.network, claim.finding) for claim in of_networks()]
    assert asked == [(name, number) for name in NETWORKS for number in (1, 2, 9, 10)]
    findings = {claim.finding: claim for claim in article().claims if claim.finding}
    for claim in of_networks():
        theirs = findings[claim.finding]
        assert claim.sentence == theirs.sentence
        bounds = [(c.metric, c.low, c.high) for c in claim.contrasts]
        assert bounds == [(c.metric, c.low, c.high) for c in theirs.contrasts]
        assert (claim.kind, claim.sweep) == ("network", "other_networks")
        assert claim.num_needed == 3


def test_every_contrast_names_configs_of_the_sweep_and_of_its_network():
    claimed = set()
    for claim in of_networks():
        known = {label(config) for config in NETWORKS[claim.network]}
        for contrast in claim.contrasts:
            assert set(contrast.configs) <= known, claim.sentence
            claimed |= {*contrast.configs}
    everything = {label(c) for configs in NETWORKS.values() for c in configs}
    assert claimed == everything  # nothing is trained that no finding asks for


def test_the_article_comes_first_and_is_as_without_other_networks():
    claims = load_claims()
    assert claims.claims == (*article().claims, *of_networks())
    assert claims.sections == article().sections


ENDS = {  # test accuracy and weight distance, and how both grow with the seed
    (64, 0.01, 10): (0.985, 4.0, 0),
    (256, 0.01, 10): (0.96, 3.0, 1),
    (1024, 0.01, 10): (0.92, 1.0, 2),
    (1024, 0.1, 10): (0.985, 4.0, 1),
    (1024, 0.01, 160): (0.985, 4.0, -1),
}
"""By batch size, learning rate and epochs: as the article has it."""


@pytest.fixture
def trained(store):
    """Results of cnn, as measured before training and after it, of three seeds."""
    sweep = with_seeds(TrainSweep(configs=other_networks.CNN), [0, 1, 2])
    record(store, "other_networks", sweep)
    for config in sweep.configs:
        [phase] = config.phases
        path = (phase.batch_size, phase.learning_rate, phase.epochs)
        accuracy, distance, slope = ENDS[path]
        grown = 1 + slope * config.seed / 10_000
        keys = state_keys(config, "f")
        last = row(
            *(keys[-1], phase.epochs, accuracy * grown),
            weight_distance=distance * grown,
        )
        store.write_rows([row(keys[0], 0, 0.1), last])
    return store


def test_they_are_judged_by_the_same_judge_where_the_sweep_was_run(trained):
    verdicts = judge(load_claims(), *read_evidence(trained))
    ours = [v for v in verdicts if v.claim.kind == "network"]
    cnn, fashion = ours[:4], ours[4:]
    assert [v.verdict for v in cnn] == ["supported"] * 4
    assert [v.verdict for v in fashion] == ["not run"] * 4
    assert "1024 @ 0.01 x 10, cnn" in cnn[2].sentence
    assert "fashion_mnist, hidden 128" in fashion[0].sentence
    assert "python -m raybs.sweep other_networks --seeds 3" in fashion[0].sentence
    # The findings themselves are of the article's network, and of it alone.
    findings = [v for v in verdicts if v.claim.kind == "finding"]
    assert [v.verdict for v in findings] == ["not run"] * 13
    assert tally(verdicts) == "Of the article's 13 findings: 13 not run."


def test_without_their_sweep_verdicts_tables_and_page_have_none_of_them(store):
    record(store, "mine", TrainSweep(configs=other_networks.CNN))
    assert judge(load_claims(), *read_evidence(store)) == judge(
        article(), *read_evidence(store)
    )
    assert judge(load_claims(), None, {}) == judge(article(), None, {})
    report = assemble(store, load_claims())
    assert report.networks == ()
    assert page(report) == page(assemble(store, article()))


def test_their_table_has_the_network_first(trained):
    verdicts = judge(load_claims(), *read_evidence(trained))
    tables = dict(findings_tables(verdicts))
    table = tables[HEADS["network"]]
    assert list(table.columns) == ["network", "finding", "says", "verdict", "our runs"]
    assert table["network"].unique().tolist() == list(NETWORKS)
    assert "network" not in tables[HEADS["finding"]]


def test_the_page_has_a_table_whose_rows_lead_to_their_verdicts(trained):
    report = assemble(trained, load_claims())
    assert len(report.findings) == 13
    text = page(report)
    section = text[text.index('<section id="networks">') :].split("</section>")[0]
    assert HEADS["network"] in section
    for judged in report.networks:
        assert section.count(f'href="#{judged.key}"') == 1
        assert text.count(f'id="{judged.key}"') == 1
    assert "Finding 9: cnn on MNIST" in text
    [part] = report.others
    assert part.judged == report.networks


@pytest.fixture
def imported(monkeypatch):
    """Import the sweep with another data folder; as it was afterwards."""

    def again(folder):
        monkeypatch.setenv("RAYBS_DATA", str(folder))
        return importlib.reload(other_networks).SWEEP

    yield again
    monkeypatch.undo()
    importlib.reload(other_networks)


def test_without_fashion_mnist_its_part_is_left_out_and_said_so(
    imported, tmp_path, capsys
):
    assert imported(tmp_path).configs == other_networks.CNN
    _, title, _ = find_sweep("other_networks")
    assert "(without Fashion-MNIST, which is not on this machine" in title
    [asked] = find_asked(("other_networks",), None)
    assert asked.title == title
    said = capsys.readouterr().out
    assert said.startswith("other_networks runs without Fashion-MNIST")
    assert "--data FOLDER" in said


def test_with_fashion_mnist_both_networks_are_asked(imported, tmp_path):
    (tmp_path / "fashion-mnist").mkdir()
    sweep = imported(tmp_path)
    assert sweep.configs == (*other_networks.CNN, *other_networks.FASHION)
    assert "(" not in find_sweep("other_networks")[1]
    long = {config.phases[0].epochs for config in sweep.configs}
    assert long == {10, 160, 30, 480}
