"""The report is written again when what is stored changes, and until Ctrl-C."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers import record, row

from analysis.__main__ import main
from analysis.report import watch
from raybs.config import TrainSweep
from raybs.config.keys import state_keys


@pytest.fixture
def stored(store, subset):
    """A sweep without rows, and its keys."""
    config = subset.config((64, 0.1, 3))
    record(store, "one", TrainSweep(configs=(config,)))
    return store, state_keys(config, "f")


def meanwhile(monkeypatch, *changes):
    """What happens in each pause; then Ctrl-C."""
    left = list(changes)

    def sleep(seconds):
        assert seconds >= watch.SECONDS
        if not left:
            raise KeyboardInterrupt
        left.pop(0)()

    monkeypatch.setattr(watch.time, "sleep", sleep)


def test_it_writes_at_once_and_after_changes_only(stored, monkeypatch):
    store, keys = stored
    written = []

    def add():
        store.write_rows([row(keys[1], 1, 0.5)])

    meanwhile(monkeypatch, lambda: None, add, lambda: None)
    with pytest.raises(KeyboardInterrupt):
        watch.watch(store, lambda: written.append(len(store.read_statuses())))
    assert written == [0, 1]


def test_states_and_figures_are_no_change(stored, monkeypatch, tmp_path):
    store, _ = stored
    written = []
    path = f"{store.files.root}/figures/report.html"

    def draw():
        Path(path).write_text("x")

    (tmp_path / "results/figures").mkdir()
    meanwhile(monkeypatch, draw)
    with pytest.raises(KeyboardInterrupt):
        watch.watch(store, lambda: written.append(1))
    assert written == [1]


def test_the_command_follows_until_ctrl_c_and_its_last_page_follows_nothing(
    stored, monkeypatch
):
    store, keys = stored
    pages = []

    def render(store, claims, *, names, follow):
        pages.append((len(store.read_statuses()), follow))
        return "<p>page</p>"

    monkeypatch.setattr("analysis.report.page.render", render)
    meanwhile(monkeypatch, lambda: store.write_rows([row(keys[1], 1, 0.5)]))
    result = CliRunner().invoke(main, ["--results", store.uri, "--watch"])
    assert result.exit_code == 0, result.output
    assert pages == [(0, watch.SECONDS), (1, watch.SECONDS), (1, None)]
    assert "figures/report.html" in result.output


def test_it_watches_no_pictures(stored):
    store, _ = stored
    arguments = ["--results", store.uri, "--watch", "--format", "png"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "--watch writes the report" in result.output
