"""A gradient sweep from the command line to its charts, on real data, without Ray."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from helpers import Subset, fields_of

import analysis
from analysis.__main__ import main as analyze
from analysis.charts.figures import draw_figures
from analysis.frames.draws import complete
from raybs.store.opening import open_store
from raybs.store.schemas import DRAW_COLUMNS
from raybs.sweep import main

pytestmark = pytest.mark.slow

FILE = '''"""Draws from a small net."""
from raybs import GradientSweep, Phase, TrainConfig

def start(epochs, learning_rate=0.05):
    phase = Phase(batch_size=64, learning_rate=learning_rate, epochs=epochs)
    return TrainConfig(phases=(phase,), dataset={dataset!r}, hidden=(16, 12))

SWEEP = GradientSweep(
    regimes={{"early": start(1), "late": start(2)}},
    **({{"batch_sizes": (1, 3, 64), "num_draws": 6, "num_samples": 100}} | {fields}),
)
'''


@pytest.fixture
def write(tmp_path, monkeypatch, subset: Subset):
    monkeypatch.chdir(tmp_path)

    def written(**fields):
        Path("mine.py").write_text(FILE.format(dataset=subset.name, fields=fields))
        return "mine.py"

    return written


@pytest.fixture(autouse=True)
def undrawn(request, monkeypatch):
    """Not even as JSON, which takes half a second: only where charts are looked for."""
    if "drawing" not in request.keywords:
        monkeypatch.setattr("analysis.charts.theme.save", lambda *arguments: None)


def call(*arguments, status=0, command=main):
    result = CliRunner().invoke(command, [str(a) for a in arguments])
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result.output


def run(*arguments, status=0):
    return call("mine.py", "--local", *arguments, status=status)


def drawn(name="mine"):
    return analysis.load_draws("results", name)


@pytest.mark.drawing
def test_from_a_file_to_frames_table_and_charts(write, subset):
    write()
    output = run()
    assert "36 draws: 0 stored, 36 to take" in output
    assert "mine: Draws from a small net." in output
    stored = drawn()
    draws = stored.draws
    assert len(draws) == 2 * 3 * 6
    assert not draws[list(DRAW_COLUMNS)].isna().to_numpy().any()
    assert set(draws["status"]) == {"complete"}
    assert set(draws["num_threads"]) == {1}
    assert draws.groupby(["regime", "batch_size"])["num_steps"].first().tolist() == [
        *(100, 34, 2),
        *(100, 34, 2),
    ]
    entries = stored.histogram.groupby(["regime", "batch_size"])["count"].sum()
    assert set(entries) == {6 * 12 * 10}
    charts = {path.stem for path in Path("results/figures/mine").glob("*.png")}
    assert charts == {
        *("norms", "normalized", "norm_rows", "norm_rows_raw", "spread"),
        *("three_norms", "direction", "entries"),
    }
    table = Path("results/figures/mine/table.md").read_text()
    assert "| early | 64 | 6 |" in table
    # The figures are made again from what is stored, by the analysis alone.
    assert "early" in call("mine", command=analyze)


def test_asked_again_it_draws_only_what_is_missing(write):
    write()
    run("--draws", 2)
    before = drawn().draws
    assert "36 draws: 12 stored, 24 to take" in run()
    after = drawn().draws
    assert len(after) == 36
    kept = after[after["sample_set"] < 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before.reset_index(drop=True))
    assert "36 draws: all stored." in run()
    # Asked for less, the frames hold what is asked; the rest stays stored.
    assert "leaves out draws." in run("--draws", 2, "--plan")
    assert "12 draws: all stored." in run("--draws", 2, "--replace")
    assert len(drawn().draws) == 12
    assert len(list(Path("results/draws").glob("*.parquet"))) == 1


def test_parts_of_a_sweep_can_be_asked_for(write):
    write()
    output = run("--regime", "late", "--batch-size", "3,64", "--draws", 2)
    assert "4 draws: 0 stored" in output
    draws = drawn().draws
    assert set(draws["regime"]) == {"late"}
    assert set(draws["batch_size"]) == {3, 64}


def test_frozen_draws_are_a_control_beside_the_others(write):
    write()
    run("--draws", 2)
    run("--draws", 2, "--frozen")
    moving, frozen = drawn().draws, drawn("mine_frozen").draws
    assert (moving["distance_moved"] > 0).all()
    assert (frozen["distance_moved"] == 0).all()
    by_size = frozen.pivot(
        index=["regime", "sample_set"],
        columns="batch_size",
        values="sample_weighted_norm",
    )
    assert by_size[1].to_numpy() == pytest.approx(by_size[64].to_numpy(), rel=1e-5)
    assert by_size[3].to_numpy() == pytest.approx(by_size[64].to_numpy(), rel=1e-5)


def test_crossed_draws_are_split_and_do_not_enter_the_histograms(write):
    write()
    output = run("--draws", 5, "--crossed", "3x4", "--batch-size", "3,64")
    stored = drawn()
    assert len(stored.draws) == 2 * 2 * (5 + 3 * 4 - 3)
    assert len(complete(stored)) == 2 * 2 * 5
    assert set(stored.histogram["num_draws"]) == {5}
    entries = stored.histogram.groupby(["regime", "batch_size"])["count"].sum()
    assert set(entries) == {5 * 12 * 10}
    assert "What the variance of the norm is due to" in output
    assert "split" in draw_figures(stored)


def test_gradients_are_kept_on_request_and_the_plan_says_their_size(write):
    write()
    few = ("--draws", 3, "--batch-size", "3,64")
    assert "255 kB to write" in call("mine.py", "--plan", *few, "--keep-gradients")
    assert not Path("results").exists()
    run(*few)
    with pytest.raises(ValueError, match="0 of the 3 complete draws of regime 'late'"):
        analysis.load_gradients("results", "late", 64, "mine")
    run(*few, "--keep-gradients")  # the draws are stored, but not what they add up to
    draws = drawn().draws.query("regime == 'late' and batch_size == 64")
    kept = analysis.load_gradients("results", "late", 64, "mine")
    assert kept.shape == (3, 120)
    assert kept.dtype == np.float32
    norms = np.linalg.norm(kept.astype(float), axis=1)
    assert norms == pytest.approx(draws["sample_weighted_norm"].to_numpy(), rel=1e-6)
    assert "all stored" in run(*few, "--keep-gradients")
    assert len(list(Path("results/gradients").iterdir())) >= 4


def test_a_diverging_rate_is_counted_and_shown_and_never_averaged(write):
    write(learning_rate=1e30)
    output = run()
    stored = drawn()
    diverged = stored.cells.set_index(["regime", "batch_size"])["diverged"]
    assert diverged["early", 1] == 6
    assert diverged["early", 64] < 6 or (stored.draws["status"] == "diverged").all()
    assert "6 diverged" in output
    assert stored.draws.query("status == 'diverged'")["path_length"].isna().all()
    assert len(complete(stored)) == (stored.draws["status"] == "complete").sum()
    assert "all stored" in run()  # a diverged draw is a result


def test_a_start_that_diverges_fails_its_draws_in_words(write):
    write()
    text = Path("mine.py").read_text().replace("start(2)", "start(2, 1e30)")
    Path("mine.py").write_text(text)
    output = run("--draws", 2, status=1)
    assert "diverged" in output
    assert "the state that regime 'late' ends in is" in output
    assert set(drawn().draws["regime"]) == {"early"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--draws", 0), "num_draws=0; use 1 to"),
        (("--batch-size", "0,4"), "batch_size=0; a draw has 100 samples"),
        (("--batch-size", "128"), "batch_size=128; a draw has 100 samples"),
        (("--batch-size", "many"), "'many': give whole numbers"),
        (("--regime", "middle"), "No regime named 'middle'; known: early, late"),
        (("--crossed", "30"), "--crossed '30': give sample sets x orders"),
        (("--crossed", "0x3"), "use (sample sets, orders), 2 to 1000 each"),
        (("--seeds", 3), "--seeds: a gradient sweep draws from states of the seeds"),
    ],
)
def test_bad_requests_are_refused_before_anything_starts(write, arguments, words):
    write()
    assert words in run(*arguments, status=2)
    assert not Path("results").exists()


def test_more_samples_than_there_are_and_options_that_do_nothing_are_refused(write):
    write(num_samples=231, batch_sizes=(1,))
    assert "exceeds the 230 training samples" in run(status=2)
    output = call("lr_compensation", "--local", "--draws", 3, status=2)
    assert "Options about draws are for gradient sweeps" in output


def test_a_corrupt_chunk_is_set_aside_and_drawn_again(write):
    write()
    run("--draws", 2)
    before = drawn().draws
    [file] = Path("results/draws").glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-40])
    output = run("--draws", 2)
    assert "12 to take" in output
    assert len(list(Path("results/set_aside").iterdir())) == 1
    pd.testing.assert_frame_equal(drawn().draws, before)


def test_a_start_whose_rows_are_stored_but_not_its_state_is_trained_again(write):
    write()
    run("--draws", 1, "--regime", "late")
    store = open_store("results")
    rows = store.read_rows().num_rows
    for paths in store.state_files().values():
        store.files.delete(paths)
    assert "1 trial asks for 2 epochs: all stored" in run(
        "--draws", 1, "--regime", "late"
    )
    output = run("--draws", 2, "--regime", "late")
    assert "2 to train" in output
    assert len(drawn().draws) == 2 * 3
    assert store.read_rows().num_rows == rows


def test_two_sweeps_that_share_cells_get_the_draws_of_both(write):
    write()
    Path("other.py").write_text(
        Path("mine.py").read_text().replace('"num_draws": 6', '"num_draws": 2')
    )
    output = call("mine.py", "other.py", "--local")
    assert "36 draws: 0 stored, 36 to take" in output
    assert len(drawn("mine").draws) == 36
    assert len(drawn("other").draws) == 12


def test_a_truncated_file_of_gradients_is_set_aside_and_drawn_again(write):
    write()
    few = ("--draws", 3, "--batch-size", "64", "--regime", "late", "--keep-gradients")
    run(*few)
    before = analysis.load_gradients("results", "late", 64, "mine")
    file = sorted(Path("results/gradients").iterdir())[0]
    file.write_bytes(file.read_bytes()[:-4])
    output = run(*few)
    assert "3 draws: 2 stored, 1 to take" in output
    assert [path.name for path in Path("results/set_aside").iterdir()] == [file.name]
    after = analysis.load_gradients("results", "late", 64, "mine")
    assert np.array_equal(before, after)


def test_prune_keeps_the_states_that_draws_start_from(write):
    write()
    run("--draws", 1)
    states = {path.name for path in Path("results/states").iterdir()}
    call("--prune", "--yes")
    assert {path.name for path in Path("results/states").iterdir()} == states
    assert len(states) == 2


def test_every_field_that_a_chart_of_draws_reads_is_a_column(write):
    write()
    run("--draws", 4, "--crossed", "2x3")
    for chart in draw_figures(drawn()).values():
        spec = chart.to_dict()
        fields = list(fields_of(spec))
        assert fields
        for field, data in fields:
            rows = spec["datasets"][data["name"]]
            assert any(row.get(field) is not None for row in rows), field
            assert len(rows) < 5000


def test_frames_of_nothing_drawn_yet_are_empty_and_nothing_fails(write, subset):
    write()
    run("--draws", 1)
    store = open_store("results")
    store.files.delete(
        [f"draws/{path.name}" for path in Path("results/draws").iterdir()]
    )
    stored = drawn()
    assert len(stored.draws) == 0
    assert set(stored.cells["stored"]) == {0}
    assert draw_figures(stored) == {}
    assert "no chart" in call("mine", command=analyze)
    with pytest.raises(ValueError, match="No sweep 'other' in"):
        analysis.load_draws("results", "other")


def test_the_record_says_what_was_asked_and_reads_back(write):
    write()
    run("--draws", 2)
    value = json.loads(Path("results/sweeps/mine.json").read_text())
    assert value["num_draws"] == 2
    assert list(value["regimes"]) == ["early", "late"]
    assert drawn().sweep.num_draws == 2
