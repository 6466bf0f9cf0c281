"""Frames on literal values, charts whose fields are columns, tables."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from helpers import COSINES, Subset, check_fields, record, row

import analysis
from analysis.__main__ import findings_command, main
from analysis.charts.figures import figures
from analysis.charts.theme import color_of, save
from analysis.frames import series
from analysis.report import tables
from analysis.report.markdown import to_markdown
from analysis.report.terminal import draw_sweeps
from analysis.scales import REAL
from analysis.statistics.intervals import summarize_seeds
from raybs.config.catalog import find_sweep
from raybs.config.keys import state_keys
from raybs.config.sweep import TrainSweep, with_seeds
from raybs.config.trial import label


@pytest.fixture
def written(store, subset: Subset):
    """Trials of 3 epochs: two seeds complete, one diverged at 2, one unfinished."""
    good = subset.config((64, 0.1, 3))
    bad, late = subset.config((8, 9.0, 3)), subset.config((4, 0.1, 3))
    sweep = with_seeds(TrainSweep(configs=(good,)), [0, 1])
    record(store, "one", TrainSweep(configs=(*sweep.configs, bad, late)))
    for config, accuracies in zip(
        sweep.configs, ([0.1, 0.5, 0.7, 0.9], [0.1, 0.6, 0.7, 0.8]), strict=True
    ):
        keys = state_keys(config, "f")
        store.write_rows([row(keys[k], k, accuracies[k]) for k in range(4)])
    keys = state_keys(bad, "f")
    store.write_rows([row(keys[1], 1, 0.3), row(keys[2], 2, 0.3, status="diverged")])
    store.write_rows([row(state_keys(late, "f")[1], 1, 0.2)])
    return store


GOOD, BAD, LATE = (
    f"{name}, subset.npz, hidden 16-12"
    for name in ("64 @ 0.1 x 3", "8 @ 9 x 3", "4 @ 0.1 x 3")
)


def test_trials_have_a_status_and_the_numbers_of_their_last_row(written):
    trials = analysis.load(written.uri).trials
    assert trials["label"].tolist() == [GOOD, GOOD, BAD, LATE]
    assert trials["seed"].tolist() == [0, 1, 0, 0]
    assert trials["status"].tolist() == ["complete"] * 2 + ["diverged", "unfinished"]
    finals = trials["final_test_accuracy"].tolist()
    np.testing.assert_array_equal(finals, [0.9, 0.8, np.nan, 0.2])
    assert trials["final_generalization_gap"][0] == pytest.approx(0.01)
    assert trials["final_cosine_to_init"][0].tolist() == COSINES
    assert trials["num_rows"].tolist() == [4, 4, 3, 2]
    assert trials["seconds"].tolist() == [6.0, 6.0, 4.5, 3.0]
    assert set(trials["results"]) == {written.uri}


def test_history_has_a_row_per_trial_and_epoch_with_its_phase(store, subset):
    config = subset.config((64, 0.1, 1), (8, 0.2, 1))
    record(store, "switch", TrainSweep(configs=(config,)))
    keys = state_keys(config, "f")
    store.write_rows([row(keys[k], k, 0.5) for k in (2, 0, 1)])
    history = analysis.load(store).history
    assert history["epoch"].tolist() == [0, 1, 2]
    assert history["batch_size"].tolist() == [64, 64, 8]
    assert history["learning_rate"].tolist() == [0.1, 0.1, 0.2]
    assert history["sweep"].unique().tolist() == ["switch"]


def test_rows_shared_between_trials_count_in_each(written):
    """The row before training belongs to every trial of its seed."""
    history = analysis.load(written).history
    starts = history[history["epoch"] == 0]
    assert len(starts) == 4
    assert starts["state_key"].nunique() == 2


def test_what_lies_behind_a_divergence_is_dropped(written, subset):
    keys = state_keys(subset.config((8, 9.0, 3)), "f")
    written.write_rows([row(keys[3], 3, 0.9)])
    loaded = analysis.load(written)
    assert loaded.trials["status"].tolist()[2] == "diverged"
    assert loaded.history.query("label == @BAD")["epoch"].tolist() == [0, 1, 2]


def test_a_failed_trial_says_why(store, subset):
    config = subset.config((64, 0.1, 2))
    key = state_keys(config, "f")[-1]
    record(store, "one", TrainSweep(configs=(config,)), failed={key: "disk full"})
    trials = analysis.load(store).trials
    assert trials[["status", "message"]].values.tolist() == [["failed", "disk full"]]


def test_rows_of_an_older_trainer_are_found_under_their_own_keys(store, subset):
    config = subset.config((64, 0.1, 1))
    record(store, "old", TrainSweep(configs=(config,)), trainer_version=0)
    store.write_rows([row(state_keys(config, "f", 0)[1], 1, 0.5)])
    assert analysis.load(store).trials["status"].tolist() == ["complete"]


def test_no_sweep_is_no_trial(store):
    loaded = analysis.load(store)
    assert len(loaded.trials) == len(loaded.history) == 0
    assert {"sweep", "label", "status"} <= set(loaded.trials)


def test_curves_are_in_per_cent_from_epoch_1_without_the_diverged(written):
    curves = series.curves(analysis.load(written).history)
    accuracy = curves[(curves["metric"] == "test_accuracy") & (curves["seed"] == 0)]
    values = accuracy[accuracy["label"] == GOOD]
    assert values["epoch"].tolist() == [1, 2, 3]
    assert values["value"].tolist() == pytest.approx([50, 70, 90])
    assert accuracy[accuracy["label"] == BAD]["epoch"].tolist() == [1]
    assert set(curves["metric"]) == set(series.PANELS)


def test_a_window_shows_the_last_epochs_counted_from_its_start():
    history = pd.DataFrame(
        {
            "label": ["short"] * 3 + ["long"] * 6,
            "seed": 0,
            "epoch": [0, 1, 2, 0, 1, 2, 3, 4, 5],
            "num_epochs": [2] * 3 + [5] * 6,
            "last_epochs": 2,
            "status": "complete",
            **dict.fromkeys(series.PANELS, 0.5),
        }
    )
    curves = series.curves(history)
    one = curves[curves["metric"] == "test_loss"]
    assert one[one["label"] == "short"]["epoch"].tolist() == [1, 2]
    assert one[one["label"] == "long"]["epoch"].tolist() == [0, 1, 2]


def test_a_divergence_is_shown_where_the_window_has_it(store, subset):
    config = subset.config((64, 0.1, 6))
    record(store, "one", TrainSweep(configs=(config,), last_epochs=4))
    keys = state_keys(config, "f")
    rows = [row(keys[k], k, 0.5) for k in range(5)]
    store.write_rows([*rows, row(keys[5], 5, 0.5, status="diverged")])
    history = analysis.load(store).history
    assert series.divergences(history)["epoch"].tolist() == [3]
    curves = series.curves(history)
    assert sorted(set(curves["epoch"])) == [0, 1, 2]


def test_a_summary_is_mean_and_t_interval_over_seeds():
    long = pd.DataFrame(
        {"label": "a", "epoch": 1, "seed": [0, 1, 2], "value": [1.0, 2.0, 6.0]}
    )
    [one] = summarize_seeds(long, REAL).to_dict("records")
    assert one["mean"] == 3
    # Deviation sqrt(7), 2 degrees of freedom: t = 4.302653 (any table).
    assert one["upper"] - one["mean"] == pytest.approx(4.302653 * (7 / 3) ** 0.5)
    assert one["mean"] - one["lower"] == pytest.approx(4.302653 * (7 / 3) ** 0.5)
    assert one["num_seeds"] == 3
    [alone] = summarize_seeds(long[:1]).to_dict("records")
    assert alone["lower"] == alone["mean"] == alone["upper"] == 1


def charts(store):
    return figures(analysis.only(analysis.load(store), "one")).values()


def test_every_field_that_a_chart_reads_is_a_column_with_values(written):
    for chart in charts(written):
        check_fields(chart, 8)


def test_charts_have_axis_titles_with_units(written):
    text = json.dumps([chart.to_dict() for chart in charts(written)])
    accuracies = ("train accuracy (%)", "test accuracy (%)")
    losses = ("train loss (nats)", "test loss (nats)")
    for title in (*accuracies, *losses, "weight distance from init (L2)", "epoch"):
        assert title in text


def test_a_batch_size_has_one_color_everywhere():
    assert color_of(64) == "#ec6b00"
    assert color_of(100000) == color_of(2048)
    sizes = [2**k for k in range(12)]
    assert len({color_of(size) for size in sizes}) == 12


def test_the_table_puts_mean_and_deviation_beside_the_article(store):
    sweep = with_seeds(find_sweep("lr_compensation")[2], [0, 1])
    record(store, "lr_compensation", sweep)
    for config in sweep.configs:
        key = state_keys(config, "f")[-1]
        distance = 2.0 + config.seed
        values = row(key, 30, 0.98, weight_distance=distance)
        store.write_rows([values])
    table = tables.final_table(analysis.load(store).trials)
    assert table["config"].tolist() == [
        "64 @ 0.01 x 30",
        "1024 @ 0.01 x 30",
        "1024 @ 0.1 x 30",
    ]
    assert table["W"].tolist() == [
        "2.50 ± 0.71 (6.71)",
        "2.50 ± 0.71 (2.69)",
        "2.50 ± 0.71 (5.89)",
    ]
    assert table["test accuracy (%)"][0] == "98.00 ± 0.00 (98)"
    assert table["cosines"][0] == ".900 .800 .700 (.988 .993 .928)"
    assert table["status"].tolist() == ["2 complete"] * 3
    text = to_markdown(table)
    assert text.startswith("| config | status | test accuracy (%) |")
    assert text.count("\n") == 5


def test_only_complete_trials_are_averaged(written):
    table = tables.final_table(analysis.load(written).trials).set_index("config")
    assert table["test accuracy (%)"].to_dict() == {
        GOOD: "85.00 ± 7.07",
        BAD: "-",
        LATE: "-",
    }
    assert table["status"].to_dict() == {
        GOOD: "2 complete",
        BAD: "diverged",
        LATE: "unfinished",
    }


@pytest.mark.slow
@pytest.mark.drawing
def test_the_command_writes_figures_and_tables_of_the_kinds_asked_for(
    written, tmp_path
):
    arguments = ["--results", written.uri, "--figures", str(tmp_path / "out")]
    arguments += ["--format=pdf", "--format=md"]
    result = CliRunner().invoke(main, [*arguments, "one"])
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "out/findings.md").exists()  # there is none about "one"
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    files = {path.name for path in (tmp_path / "out/one").iterdir()}
    assert files >= {"curves.pdf", "distance.pdf", "table.md", "advice.md"}
    assert {name.rpartition(".")[2] for name in files} == {"pdf", "md"}
    said = (tmp_path / "out/findings.md").read_text()
    assert said.startswith("Of the article's 13 findings: 13 not run.")
    assert (tmp_path / "out/one/curves.pdf").read_bytes()[:4] == b"%PDF"
    assert not (tmp_path / "out/report.html").exists()


@pytest.mark.slow
@pytest.mark.drawing
def test_the_end_of_a_sweep_draws_files_that_need_no_network(written, tmp_path):
    runner = CliRunner()
    with runner.isolation() as (output, *_):
        draw_sweeps(written, ["one"], str(tmp_path / "out"))
    said = output.getvalue().decode()
    assert "About one." in said
    html = (tmp_path / "out/one/curves.html").read_text()
    assert not re.search(r"<script[^>]+src|<link[^>]+href=.http", html)
    assert (tmp_path / "out/one/curves.png").read_bytes()[1:4] == b"PNG"
    assert "(diverged at epoch 2)" in (tmp_path / "out/one/curves.svg").read_text()
    assert GOOD in (tmp_path / "out/one/table.md").read_text()


@pytest.mark.slow
@pytest.mark.drawing
def test_an_unchanged_chart_is_not_rendered_again_and_a_changed_one_is(
    written, tmp_path
):
    [chart, _] = charts(written)
    save(chart, tmp_path, "c")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("c.*")}
    save(chart, tmp_path, "c")
    assert all(path.stat().st_mtime_ns == before[path] for path in before)
    save(chart.properties(title="other"), tmp_path, "c")
    assert all(path.stat().st_mtime_ns > before[path] for path in before)
    (tmp_path / "c.png").unlink()
    save(chart.properties(title="other"), tmp_path, "c")
    assert (tmp_path / "c.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["two"], "No sweep 'two' in"),
        (["--results", "nowhere"], "no format.json"),
    ],
)
def test_a_wrong_request_is_exit_2(written, arguments, words):
    result = CliRunner().invoke(main, ["--results", written.uri, *arguments])
    assert result.exit_code == 2
    assert words in result.output


def test_results_without_a_sweep_are_said_so(store):
    result = CliRunner().invoke(main, ["--results", store.uri])
    assert result.exit_code == 2
    assert "holds no sweep" in result.output


def test_an_unmeasured_sweep_gives_a_table_and_no_empty_chart(store, subset, tmp_path):
    record(store, "one", TrainSweep(configs=(subset.config((64, 0.1, 3)),)))
    result = CliRunner().invoke(main, ["--results", store.uri, "--format", "md"])
    assert result.exit_code == 0, result.output
    assert "nothing measured yet" in result.output
    assert [p.name for p in (Path(store.files.root) / "figures/one").iterdir()] == [
        "table.md"
    ]


def test_of_many_configs_the_best_are_drawn_and_all_are_in_the_table(
    store, subset, tmp_path
):
    configs = [subset.config((64, 0.1 + i, 1)) for i in range(50)]
    record(store, "many", TrainSweep(configs=tuple(configs)))
    for i, config in enumerate(configs):
        if i != 40:  # one is not measured yet
            keys = state_keys(config, "f")
            store.write_rows([row(keys[0], 0, 0.1), row(keys[1], 1, 0.01 * i)])
    frames = analysis.only(analysis.load(store), "many")
    for chart in figures(frames).values():
        spec = chart.to_dict()
        drawn = {
            item["label"]
            for data in spec["datasets"].values()
            for item in data
            if "label" in item
        }
        assert drawn == {label(config) for config in configs[25:40] + configs[41:]}
        assert "24 of 50 configs" in spec["title"]["text"]
    output = (
        CliRunner()
        .invoke(
            main,
            ["many", "--results", store.uri, "--figures", str(tmp_path), "--format=md"],
        )
        .output
    )
    assert "and 10 more configs in table.md" in output
    assert len((tmp_path / "many/table.md").read_text().splitlines()) == 2 + 50


def test_too_many_seeds_are_drawn_as_means_and_intervals_alone(store, subset):
    sweep = with_seeds(TrainSweep(configs=(subset.config((64, 0.1, 9)),)), range(500))
    record(store, "seeds", sweep)
    rows = []
    for config in sweep.configs:
        keys = state_keys(config, "f")
        rows += [row(keys[k], k, 0.5 + 0.0001 * config.seed) for k in range(10)]
    store.write_rows(rows)
    for chart in figures(analysis.only(analysis.load(store), "seeds")).values():
        spec = chart.to_dict()
        assert "faint" not in spec["title"]["subtitle"]
        assert sum(len(data) for data in spec["datasets"].values()) < 1000


CLAIMS = """
[[claim]]
sentence = "It is accurate."
sweep = "one"
metric = "final_test_accuracy"
seeds = 2
reproduced = true
contrasts = [{ of = "%s", %s }]
"""


@pytest.mark.parametrize(
    ("bound", "verdict", "status"),
    [("above = 1", "supported", 0), ("below = 10", "contradicted", 1)],
)
def test_findings_are_printed_and_a_lost_one_is_exit_1(
    store, subset, tmp_path, bound, verdict, status
):
    sweep = with_seeds(TrainSweep(configs=(subset.config((64, 0.1, 3)),)), [0, 1])
    record(store, "one", sweep)
    for config, accuracy in zip(sweep.configs, (0.90, 0.91), strict=True):
        store.write_rows([row(state_keys(config, "f")[3], 3, accuracy)])
    (tmp_path / "mine.toml").write_text(CLAIMS % (GOOD, bound))
    result = CliRunner().invoke(
        findings_command, [store.uri, "--claims", str(tmp_path / "mine.toml")]
    )
    assert result.exit_code == status, result.output
    assert "Of the article's 13 findings: 13 not run." in result.output
    assert verdict in result.output
    assert ("No longer supported: It is accurate." in result.output) == bool(status)


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "No such file"), ("[[claim]]\nsweep = 'one'", "claim 1 sentence: Field")],
)
def test_claims_that_cannot_be_read_are_exit_2(written, tmp_path, text, words):
    path = tmp_path / "mine.toml"
    if text:
        path.write_text(text)
    for command, place in ((main, ["--results"]), (findings_command, [])):
        result = CliRunner().invoke(
            command, [*place, written.uri, "--claims", str(path)]
        )
        assert result.exit_code == 2
        assert words in result.output


def test_findings_of_no_sweep_are_exit_2(store):
    result = CliRunner().invoke(findings_command, [store.uri])
    assert result.exit_code == 2
    assert "holds no sweep yet" in result.output
