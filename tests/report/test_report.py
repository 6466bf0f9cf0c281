"""The report on literal rows: what it holds, in which order; that it is one file."""

import base64
import hashlib
import json
import math
import shlex
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import altair as alt
import pandas as pd
import pytest
from helpers import record, row

import raybs
from analysis.charts.theme import PICKED
from analysis.claims.claim import Claim, Claims, Contrast, article, load_claims
from analysis.claims.results import Result, Verdict
from analysis.commands import sweep_command
from analysis.report import assemble as made
from analysis.report.assemble import assemble
from analysis.report.embed import columns, embed, script_json
from analysis.report.files import write_report
from analysis.report.page import contrasts_table, page, render
from analysis.report.tables import numbers_table
from raybs.config.gradient_sweep import GradientSweep, cells
from raybs.config.keys import state_keys
from raybs.config.sweep import TrainSweep, with_seeds
from raybs.store.draws import PER_DRAW
from raybs.store.opening import open_store

TITLES = [
    "Effect of batch size",
    "Effect of Learning Rate",
    "Can you recover good asymptotic behavior by lowering the batch size?",
    "Hypothesis: gradient competition",
    "Getting Far Enough",
    "ADAM vs SGD",
]
EVIL = "</script><script>alert(1)</script><img src=x>{{ 7 * 7 }}"


class Page(HTMLParser):
    """A page as a browser takes it: elements with their text, in order."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.open = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", "in": list(self.open), **dict(attributes)}
        self.elements.append(element)
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(element)

    def handle_endtag(self, tag):
        while self.open.pop()["tag"] != tag:
            pass
        if tag in ("td", "th"):
            self.handle_data(" ")

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag, within="", **attributes):
        """Elements of a tag, in the element of an id, by the attributes given."""
        return [
            element
            for element in self.elements
            if element["tag"] == tag
            and (not within or any(e.get("id") == within for e in element["in"]))
            and attributes.items() <= element.items()
        ]

    def texts(self, tag, within=""):
        return [" ".join(e["text"].split()) for e in self.all(tag, within)]

    def text_of(self, within):
        [element] = [e for e in self.elements if e.get("id") == within]
        return " ".join(element["text"].split())

    @property
    def data(self):
        """What its scripts hold as JSON."""
        return [
            json.loads(s["text"]) for s in self.all("script", type="application/json")
        ]


@pytest.fixture
def written(store, subset):
    return write(store, subset)


@pytest.fixture(scope="module")
def report(tmp_path_factory, subset):
    """The page of `written`, for those that only read it."""
    path = tmp_path_factory.mktemp("report") / "results"
    return read(write(open_store(str(path), create=True), subset))


def write(store, subset):
    """Of lr_compensation: two seeds complete, one trial of each other status."""
    good = with_seeds(TrainSweep(configs=(subset.config((64, 0.1, 3)),)), [0, 1])
    rest = [subset.config((b, 0.1, 3)) for b in (8, 4, 2)]
    gone, late, bad = (state_keys(config, "f") for config in rest)
    sweep = TrainSweep(configs=(*good.configs, *rest))
    record(store, "lr_compensation", sweep, failed={bad[3]: "disk <full>"})
    for config in good.configs:
        keys = state_keys(config, "f")
        store.write_rows([row(keys[k], k, 0.5 + k / 10) for k in range(4)])
    store.write_rows([row(gone[1], 1, 0.3), row(gone[2], 2, 0.3, status="diverged")])
    store.write_rows([row(late[1], 1, 0.2)])
    return store


def read(store, claims=None, **options):
    return Page(render(store, claims or article(), **options))


def test_sections_follow_the_article_with_the_summary_first_and_the_appendix_last(
    report,
):
    heads = report.texts("h2")
    assert heads == ["Contents", "Summary", *TITLES, "Appendix"]


def test_every_finding_is_in_the_summary_with_a_link_to_its_verdict(report):
    rows = report.all("tr", "summary")[1:]
    assert len(rows) == 13
    links = [a["href"] for a in report.all("a", "summary")][:13]
    assert links == [f"#finding-{number}" for number in range(1, 14)]
    articles = {e["id"] for e in report.all("article")}
    assert {link[1:] for link in links} <= articles
    assert "Of the article's 13 findings" in report.text_of("summary")


def test_what_is_not_in_the_results_is_not_run_and_says_by_which_command(report):
    for name in ("batch_size", "recovery", "far_enough", "adam_vs_sgd"):
        text = report.text_of(f"section-{name}")
        assert f"Not run. This runs it: python -m raybs.sweep {name} --seeds 5" in text
        assert not report.all("figure", f"section-{name}")
    text = report.text_of("section-gradient_competition")
    assert "Not run. This runs it: python -m raybs.sweep gradient_competition" in text
    assert [f["id"] for f in report.all("figure")] == ["lr_compensation-curves"]


def test_an_empty_results_folder_is_a_report_without_charts(store):
    document = read(store)
    assert document.texts("h2") == ["Contents", "Summary", *TITLES, "Appendix"]
    assert "hold no trials and no draws yet" in document.text_of("summary")
    assert not document.all("figure")


def test_a_sweep_without_rows_has_no_chart_and_says_so(store, subset):
    record(store, "recovery", TrainSweep(configs=(subset.config((64, 0.1, 3)),)))
    document = read(store)
    assert "Nothing is measured yet" in document.text_of("section-recovery")
    assert not document.all("figure")


def test_unfinished_failed_and_diverged_trials_are_told(report):
    text = report.text_of("section-lr_compensation")
    assert "Not finished: of 5 trials 3 ended, 1 failed, 1 missing." in text
    assert "goes on, as in python -m raybs.sweep lr_compensation --seeds 2" in text
    assert "Failed: disk <full>" in text
    assert "Diverged: 1 of 5 trials" in text
    summary = report.text_of("summary")
    assert "5 trials (2 complete, 1 diverged, 1 unfinished, 1 failed)" in summary


def test_the_appendix_lists_every_trial_with_where_and_how_it_ran(report):
    rows = [
        [" ".join(e["text"].split()) for e in report.elements if tr in e["in"]]
        for tr in report.all("tr", "trials-lr_compensation")
    ]
    cells = [[text for text in row if "python" not in text] for row in rows[1:]]
    assert [row[1:9] for row in cells] == [
        ["0", "complete", "3 of 3", "80.00", "6", "cpu", "1", "2"],
        ["1", "complete", "3 of 3", "80.00", "6", "cpu", "1", "2"],
        ["0", "diverged", "2 of 3", "-", "4", "cpu", "1", "2"],
        ["0", "unfinished", "1 of 3", "20.00", "3", "cpu", "1", "2"],
        ["0", "failed: disk <full>", "0 of 3", "50.00", "2", "cpu", "1", "2"],
    ]


def test_a_trials_command_is_python_that_asks_for_this_trial_alone(
    written, subset, monkeypatch
):
    asked = []
    monkeypatch.setattr(raybs, "run", lambda sweep, **where: asked.append(sweep))
    sweep = TrainSweep(
        configs=(subset.config((64, 0.1, 3), (8, 0.2, 1), seed=7, optimizer="adam"),),
        evaluate_every=2,
        until={"test_loss": 0.1},
    )
    record(written, "mine", sweep)
    document = read(written)
    codes = [e["text"] for e in document.all("code", "trials")]
    assert len(codes) == 6 + 1  # the first names a folder
    for code in codes[1:]:
        program, option, text = shlex.split(code)
        assert (program, option) == ("python", "-c")
        exec(text, {})
    assert len(asked) == len({*map(repr, asked)}) == 6
    assert sweep in asked


def test_draws_have_figures_tables_and_cells(store, subset):
    config = subset.config((8, 0.1, 1))
    sweep = GradientSweep(
        regimes={"early": config}, batch_sizes=(1, 4), num_draws=3, num_samples=8
    )
    empty, cell = reversed(cells(sweep, {subset.name: "f"}))
    lists = dict.fromkeys(PER_DRAW, [1.0, 2.0, 4.0])
    lists |= {"sample_set": [0, 1, 2], "order": [0, 1, 2], "num_steps": [8] * 3}
    rest = {"cell_key": cell.key, "bin": [16000], "count": [9], "seconds": 1.0}
    worker = {"device": "cpu", "num_threads": 1, "num_replicas": 1}
    status = {"status": ["complete"] * 3, "torch_version": "2"}
    store.write_chunk(lists | rest | worker | status)
    fields = asdict(sweep) | {"failed": {empty.key: "disk full"}}
    record(store, "gradient_competition", TrainSweep(configs=(config,)), **fields)
    document = read(store)
    section = "section-gradient_competition"
    figures = [f["id"] for f in document.all("figure", section)]
    assert figures[:2] == [
        "gradient_competition-norms",
        "gradient_competition-normalized",
    ]
    assert "gradient_competition-direction" in figures
    text = document.text_of(section)
    assert "Not finished: of 6 draws 3 ended, 3 failed." in text
    assert "--draws 3" in text
    listed = document.text_of("trials-gradient_competition")
    assert "complete 3 of 3 0 cpu 1 2" in listed
    assert "failed: disk full 0 of 3 0 - - -" in listed


def test_other_sweeps_come_after_the_article_with_their_advice(written, subset):
    configs = [
        subset.config((b, r, 1), seed=s)
        for b in (8, 64)
        for r in (0.01, 0.1)
        for s in (0, 1)
    ]
    record(written, "mine", TrainSweep(configs=tuple(configs)))
    for i, config in enumerate(configs):
        keys = state_keys(config, "f")
        written.write_rows([row(keys[k], k, 0.5 + k * i / 100) for k in (0, 1)])
    document = read(written)
    assert document.texts("h2")[-2:] == ["Other sweeps", "Appendix"]
    text = document.text_of("sweep-mine")
    assert "2 seeds cannot tell it from batch size" in text
    ids = [f["id"] for f in document.all("figure", "sweep-mine")]
    assert ids[0] == "mine-heat_map-1"
    assert ids[-2:] == ["mine-curves", "mine-distance"]


OWN = """
[[claim]]
sentence = "Mine <b>holds</b>."
sweep = "{sweep}"
metric = "final_test_accuracy"
contrasts = [{{ of = "64 @ 0.1 x 3, subset.npz, hidden 16-12", above = 50 }}]
seeds = 2
"""


@pytest.mark.parametrize(
    ("sweep", "place"),
    [("lr_compensation", "section-lr_compensation"), ("x", "claims")],
)
def test_a_readers_claim_stands_with_its_sweep_or_by_itself(
    written, tmp_path, sweep, place
):
    path = tmp_path / "mine.toml"
    path.write_text(OWN.format(sweep=sweep))
    document = read(written, load_claims(str(path)))
    assert "Your claim" in document.text_of(place)
    assert "Mine <b>holds</b>." in document.text_of(place)
    assert ("Other claims" in document.texts("h2")) == (place == "claims")


def test_of_the_sweeps_that_are_named_only_these_are_shown(written, subset):
    record(written, "mine", TrainSweep(configs=(subset.config((64, 0.1, 3)),)))
    document = read(written, names=["lr_compensation"])
    assert document.texts("h2") == ["Contents", "Summary", TITLES[1], "Appendix"]
    assert len(document.all("article")) == 1
    assert "mine" not in document.text_of("trials")
    with pytest.raises(ValueError, match="No sweep 'x' in .*, only lr_comp"):
        render(written, article(), names=["x"])


def test_names_of_a_stranger_are_text_everywhere(written, subset):
    dataset = "<img src=x onerror=alert(1)>.npz"
    config = replace(subset.config((64, 0.1, 2)), dataset=dataset)
    keys = state_keys(config, "f")
    sweep = TrainSweep(configs=(config,))
    for name in ("recovery", "mine"):
        record(written, name, sweep, title=EVIL, failed={keys[2]: EVIL})
    worker = {"device": EVIL, "torch_version": EVIL}
    written.write_rows([row(keys[k], k, 0.5, **worker) for k in (0, 1)])
    document = read(written)
    assert not document.all("img")
    assert len(document.all("script")) - len(document.data) == 4
    for place in ("section-recovery", "sweep-mine"):
        assert EVIL in document.text_of(place)
    assert EVIL in document.text_of("trials")
    assert dataset in document.text_of("trials")
    assert any(dataset in json.dumps(value) for value in document.data)


def test_the_page_holds_its_libraries_once_and_allows_its_own_scripts_alone(report):
    scripts = [s for s in report.all("script") if s.get("type") is None]
    assert [len(s["text"]) > 500_000 for s in scripts] == [*(False, False, True, False)]
    [policy] = [m["content"] for m in report.all("meta") if "http-equiv" in m]
    [allowed] = [p for p in policy.split("; ") if p.startswith("script-src")]
    digests = [hashlib.sha256(s["text"].encode()).digest() for s in scripts]
    assert set(allowed.split()[1:]) == {
        f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests
    }
    assert "default-src 'none'" in policy


def test_nothing_is_loaded_and_every_link_leads_somewhere(report):
    ids = [e["id"] for e in report.elements if "id" in e]
    assert len(ids) == len(set(ids))
    for element in report.elements:
        assert "src" not in element
        assert not any(name.startswith("on") for name in element)
        href = element.get("href", "#main")
        assert href.startswith("data:") or href[1:] in ids, href


def test_data_that_charts_share_is_there_once(report):
    [datasets] = [json.loads(s["text"]) for s in report.all("script", id="datasets")]
    [spec] = report.all("script", **{"class": "spec"})
    assert datasets
    assert all(name in spec["text"] for name in datasets)
    assert '"datasets"' not in spec["text"]


def test_headings_are_in_order_and_tables_have_heads_and_captions(report):
    levels = [int(e["tag"][1]) for e in report.elements if e["tag"] in ("h1", *HEADS)]
    assert levels.count(1) == 1
    for before, after in zip(levels, levels[1:], strict=False):
        assert after <= before + 1
    for table in report.all("table"):
        inside = [e["tag"] for e in report.elements if table in e["in"]]
        assert inside.count("caption") == 1
    assert all("scope" in th for th in report.all("th"))
    for figure in report.all("figure"):
        [chart] = [e for e in report.all("div", figure["id"]) if "aria-label" in e]
        assert chart["aria-label"].startswith("Chart: ")


HEADS = ("h2", "h3", "h4")


@pytest.mark.slow
def test_a_followed_page_says_when_it_was_written_and_stamps_what_it_says(written):
    pages = [read(written, follow=2.0), read(written, follow=2.0), read(written)]
    written.write_rows([row("other", 1, 0.5)])  # of no trial that was asked for
    pages.append(read(written))
    heads = [document.all("html")[0] for document in pages]
    stamps = [head["data-stamp"] for head in heads]
    assert stamps[0] == stamps[1] != stamps[2] == stamps[3]
    assert [bool(head["data-written"]) for head in heads] == [True, True, False, False]


def test_a_report_takes_the_place_of_a_link_and_leaves_nothing_beside(tmp_path):
    victim, path = tmp_path / "victim", tmp_path / "new" / "report.html"
    victim.write_text("kept")
    path.parent.mkdir()
    path.symlink_to(victim)
    write_report(path, "one")
    write_report(path, "two \ud800")
    assert path.read_text() == "two ?"
    assert victim.read_text() == "kept"
    assert not path.is_symlink()
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


CONTRAST = Contrast(
    metric="final_test_accuracy", of="64 @ 0.01 x 30", minus="1024 @ 0.01 x 30", low=0
)
CLAIM = Claim(
    kind="finding",
    sentence="Larger is worse.",
    sweep="lr_compensation",
    contrasts=(CONTRAST, CONTRAST, CONTRAST),
    num_needed=5,
    finding=1,
)
RESULTS = (
    Result(
        contrast=CONTRAST, num=5, mean=3.0, lower=2.5, upper=3.5,
        deviation=3.0 / 7.4483, p_for=0.00002, p_against=1.0,
    ),
    Result(contrast=CONTRAST, num=1, mean=2.0, num_diverged=1, needed=5),
    Result(contrast=CONTRAST, missing="no trial has ended"),
)  # fmt: skip


def test_contrasts_have_their_bounds_effect_and_p_or_say_what_is_missing():
    verdict = Verdict(claim=CLAIM, verdict="inconclusive", results=RESULTS)
    table = contrasts_table(verdict)
    assert table["contrast"].unique().tolist() == [
        "test accuracy of 64 @ 0.01 x 30 less that of 1024 @ 0.01 x 30"
    ]
    ours = "+3.00 points (2.50 to 3.50)"
    assert table.drop(columns="contrast").to_numpy().tolist() == [
        ["above 0", ours, "7.45", "5", "0", "< 0.0001", "1", "-"],
        ["above 0", "+2.00 points", "-", "1", "1", "1", "1", "5"],
        ["above 0", "no trial has ended", "-", "0", "0", "-", "-", "-"],
    ]


def test_numbers_per_layer_are_one_claim_and_one_row():
    layers = [
        Contrast(metric="final_cosine_to_init", of="a", layer=i, low=p, high=p + 0.02)
        for i, p in ((1, 0.97), (2, 0.89))
    ]
    numbers = Claim(
        **vars(CLAIM)
        | {"kind": "number", "contrasts": tuple(layers), "printed": (0.98, 0.9)}
    )
    results = tuple(
        Result(contrast=part, num=5, mean=mean, lower=mean - 0.01, upper=mean + 0.01)
        for part, mean in zip(layers, (0.981, 0.95), strict=True)
    )
    verdict = Verdict(claim=numbers, verdict="contradicted", results=results)
    assert numbers_table([verdict]).to_dict("records") == [
        {
            "config": "a",
            "quantity": "cosine to init",
            "printed": "0.98 ± 0.01; 0.9 ± 0.01",
            "ours": "0.981 (0.971 to 0.991); 0.950 (0.940 to 0.960), 5 seeds",
            "verdict": "contradicted",
        }
    ]


def test_a_readers_numbers_are_not_called_the_articles(written):
    own = Claim(
        **vars(CLAIM)
        | {"kind": "own", "finding": None, "contrasts": (CONTRAST,), "printed": (3.0,)}
    )
    document = read(written, Claims(sections=article().sections, claims=(own,)))
    heads = document.texts("h3", "section-lr_compensation")
    assert heads == ["Our runs", "Your numbers"]
    assert "Of the article's" not in document.text_of("summary")


def test_verdicts_stand_in_the_summary_and_with_their_section(written, monkeypatch):
    verdict = Verdict(
        claim=CLAIM, verdict="contradicted", results=RESULTS, sentence="It is not."
    )
    monkeypatch.setattr(made, "judge", lambda *evidence: [verdict])
    page = read(written)
    for place in ("summary", "finding-1"):
        assert "Larger is worse. contradicted" in page.text_of(place) or (
            "Finding 1 contradicted Larger is worse." in page.text_of(place)
        )
        assert verdict.sentence in page.text_of(place)
    [article_] = page.all("article", "section-lr_compensation")
    assert article_["id"] == "finding-1"
    assert "3 contrasts" in page.text_of("finding-1")


def test_a_column_of_texts_names_each_once_and_numbers_have_six_digits():
    rows = [
        {"label": "a", "epoch": 1, "value": 0.123456789, "low": None},
        {"label": "b", "epoch": 2, "value": 2.0, "low": 1e-9},
        {"label": "a", "epoch": 3, "value": 12345678.9},
    ]
    assert columns(rows) == {
        "size": 3,
        "columns": {
            "label": {"of": ["a", "b"], "at": [0, 1, 0]},
            "epoch": [1, 2, 3],
            "value": [0.123457, 2, 12345700],
            "low": [None, 1e-9, None],
        },
    }


def test_json_in_a_script_is_plain_and_has_null_for_what_is_no_number():
    assert json.loads(script_json({"a": EVIL})) == {"a": EVIL}
    assert "<" not in script_json({"a": EVIL})
    assert script_json([math.inf, {"b": (math.nan, 1.5)}]) == '[null,{"b":[null,1.5]}]'


def test_a_chart_in_words_says_what_is_drawn_and_its_legend_can_be_picked_from():
    data = pd.DataFrame({"epoch": [1, 2], "value": [0.5, 0.6], "label": ["a", "b"]})
    color = alt.Color("label:N").scale(domain=["a", "b"])
    picked = alt.selection_point(name=PICKED, fields=["label"], bind="legend")
    line = alt.Chart(data).mark_line()
    line = line.encode(x="epoch:Q", y=alt.Y("value:Q").title("loss"), color=color)
    words = alt.TitleParams("A sweep (2 of 3)", subtitle=["one seed", "faint"])
    chart = alt.hconcat(line.add_params(picked), line, title=words)
    datasets = {}
    figure = embed(
        chart, "curves", key="k", title="A sweep", datasets=datasets, shows="Loss: 0.6."
    )
    assert figure.picks == ("a", "b")
    assert figure.caption == ("(2 of 3)", "one seed", "faint")
    assert figure.alt == (
        "Chart: Accuracy and loss against epoch. (2 of 3). one seed. faint. loss "
        "against epoch. Drawn are: a; b. Loss: 0.6."
    )
    [held] = datasets.values()
    assert held["size"] == 2
    assert "title" not in json.loads(figure.spec)


@pytest.mark.parametrize(
    ("seeds", "options"),
    [([0], ""), ([0, 1, 2], " --seeds 3"), ([3, 7], " --seeds 3,7")],
)
def test_the_command_of_a_sweep_names_its_seeds(subset, seeds, options):
    sweep = with_seeds(TrainSweep(configs=(subset.config((8, 0.1, 1)),)), seeds)
    assert sweep_command("x", sweep) == f"python -m raybs.sweep x{options}"


def test_no_option_names_one_seed_that_is_not_0(subset):
    sweep = with_seeds(TrainSweep(configs=(subset.config((8, 0.1, 1)),)), [3])
    assert sweep_command("x", sweep) == ""


def test_the_command_of_draws_names_what_was_asked(subset):
    sweep = GradientSweep(
        regimes={"early": subset.config((8, 0.1, 1))},
        batch_sizes=(1,),
        num_draws=20,
        num_samples=8,
        crossed=(2, 3),
        frozen=True,
    )
    said = sweep_command("gradient_competition_frozen", sweep)
    assert said == (
        "python -m raybs.sweep gradient_competition --draws 20 --crossed 2x3 --frozen"
    )


def test_the_same_results_give_the_same_page(written):
    report = assemble(written, article())
    assert page(report) == page(report) == render(written, article())


def test_every_template_and_script_is_part_of_the_package():
    folder = Path(made.__file__).parent / "page"
    names = {path.name for path in folder.iterdir() if path.is_file()}
    assert names == {
        *("__init__.py", "main.html.jinja", "page.html.jinja"),
        *("page.css", "live.js", "follow.js", "charts.js"),
    }
