import io
from dataclasses import replace

import pytest
from helpers import row
from rich.console import Console

from raybs.config import Phase, TrainConfig, TrainSweep
from raybs.config.gradient_sweep import GradientSweep, cells
from raybs.config.units import duration, size
from raybs.datasets.dataset import DatasetInfo
from raybs.launch.events import Event, EventKind
from raybs.plan.chunks import Chunk, Drawn
from raybs.plan.plan import make_plan
from raybs.plan.requests import requests
from raybs.trackers.terminal import Display

INFO = DatasetInfo(fingerprint="f", num_samples=100, num_features=4, num_classes=3)


def two_trials():
    configs = tuple(
        TrainConfig(phases=(Phase(batch_size=10, learning_rate=rate, epochs=10),))
        for rate in (0.1, 0.2)
    )
    return make_plan(
        requests(TrainSweep(configs=configs), lambda name: INFO), {}, set()
    )


def shown(events, *, terminal=False, clock=None):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, highlight=False)
    times = iter(clock or [0.0] * 99)
    with Display(two_trials(), console, clock=lambda: next(times, 99.0)) as display:
        for event in events:
            display.on_event(event)
    return out.getvalue(), display


def test_eta_is_right_at_constant_speed():
    time = [0.0]
    console = Console(file=io.StringIO())
    display = Display(two_trials(), console, clock=lambda: time[0])
    for index in (0, 1):
        display.on_event(Event(kind=EventKind.STARTED, index=index))
    assert display.tally.eta() is None
    for epoch in range(11):
        time[0] = 10.0 + 3 * epoch  # both trials take 3 s an epoch, side by side
        for index in (0, 1):
            display.on_event(Event(kind=EventKind.EPOCH, index=index, epoch=epoch))
        if epoch:
            left = 3 * (10 - epoch)
            assert display.tally.eta() == pytest.approx(left, rel=0.05, abs=1e-6)


def test_eta_waits_for_the_longest_chain_when_workers_run_dry():
    time = [0.0]
    display = Display(two_trials(), Console(file=io.StringIO()), lambda: time[0])
    display.on_event(Event(kind=EventKind.EPOCH, index=0, epoch=0))
    time[0] = 10.0
    display.on_event(Event(kind=EventKind.EPOCH, index=0, epoch=5))
    # One worker, half of one trial in 10 s: the other 1.5 trials take 30 s more.
    assert display.tally.eta() == pytest.approx(30, rel=0.05)


def test_plain_output_is_a_line_now_and_then_and_one_at_each_end():
    events = [Event(kind=EventKind.STARTED, index=0)]
    events += [
        Event(kind=EventKind.EPOCH, index=0, epoch=k, row=row("", k, 0.9))
        for k in range(11)
    ]
    events += [Event(kind=EventKind.FINISHED, index=0)]
    text, _ = shown(events, clock=[k / 5 for k in range(99)])
    assert text.count("seed 0") == 2  # after more than a second
    assert "10 @ 0.1 x 10, seed 0: epoch 10 of 10, finished" in " ".join(text.split())
    text, _ = shown(events)
    assert "finished" not in text  # of tiny ones a line a second will do


def test_failures_are_shown_as_they_happen_and_kept():
    text, display = shown([Event(kind=EventKind.FAILED, index=1, message="disk full")])
    assert "failed: 10 @ 0.2 x 10, seed 0: disk full" in text
    assert display.failures == {1: "disk full"}
    text, _ = shown([Event(kind=EventKind.DIVERGED, index=0)])
    assert "diverged: 10 @ 0.1 x 10, seed 0" in text
    text, _ = shown([Event(kind=EventKind.RESTARTED, index=0, message="worker died")])
    assert "starting again: 10 @ 0.1 x 10, seed 0: worker died" in text


def test_square_brackets_in_a_message_are_no_markup():
    message = "[enforce fail at alloc_cpu.cpp:114] and [/tmp/a]"
    text, _ = shown([Event(kind=EventKind.FAILED, index=1, message=message)])
    assert message in text


def test_a_terminal_shows_a_bar_and_a_line_per_running_stretch():
    text, _ = shown(
        [
            Event(kind=EventKind.STARTED, index=0),
            Event(kind=EventKind.EPOCH, index=1, epoch=5, row=row("", 5, 0.5)),
        ],
        terminal=True,
    )
    assert "5 of 20 epochs" in text
    assert "10 @ 0.1 x 10, seed 0" in text
    assert "epoch 5 of 10" in text
    assert "50.00 %" in text


def test_units_are_the_largest_that_fit():
    assert [duration(s) for s in (5, 89, 600, 9000)] == [
        "5 s",
        "89 s",
        "10 min",
        "2.5 h",
    ]
    assert [size(b) for b in (5, 7.5e6, 2e9)] == ["5 B", "7.5 MB", "2 GB"]


def with_draws(num_workers):
    """The two trials, and four chunks of 10 s that start where the first one ends."""
    plan = two_trials()
    config = plan.stretches[0].config
    sweep = GradientSweep(
        regimes={"end": config}, batch_sizes=(4,), num_samples=50, num_draws=8
    )
    [cell] = cells(sweep, {"mnist": "f"})
    chunks = tuple(
        Chunk(cell=cell, pairs=((n, n), (n + 1, n + 1)), seconds=10.0, num_bytes=1)
        for n in range(0, 8, 2)
    )
    out = io.StringIO()
    console = Console(file=out, width=200, highlight=False)
    display = Display(
        replace(plan, chunks=chunks), console, lambda: 0.0, num_workers=num_workers
    )
    return display, out, cell


def finish(display, index, seconds, num_diverged=0):
    drawn = Drawn(seconds=seconds, num_diverged=num_diverged)
    display.on_event(Event(kind=EventKind.STARTED, index=index))
    display.on_event(Event(kind=EventKind.FINISHED, index=index, drawn=drawn))


def test_chunks_that_wait_for_a_state_are_part_of_the_eta():
    display, _, cell = with_draws(num_workers=2)
    stretches = display.plan.stretches
    assert cell.state_key in stretches[0].keys
    finish(display, 2, seconds=20.0)  # twice as long as planned
    training = stretches[0].seconds
    # The longest chain is one trial; three chunks wait for it, on two workers.
    expected = 2 * max((30 + 2 * training) / 2, training + 30 / 2)
    assert display.tally.eta() == pytest.approx(expected)
    for index in (0, 1):
        display.on_event(Event(kind=EventKind.FINISHED, index=index))
    assert display.tally.eta() == pytest.approx(2 * 30 / 2)


def test_draws_are_counted_and_diverged_ones_are_named():
    display, out, _ = with_draws(num_workers=1)
    finish(display, 2, seconds=1.0, num_diverged=1)
    finish(display, 3, seconds=1.0, num_diverged=2)
    display.line_at = -1e9
    finish(display, 4, seconds=1.0)
    text = out.getvalue()
    assert "0 of 20 epochs, 2 of 8 draws, 1 diverged" in text
    assert "6 of 8 draws, 3 diverged" in text
    assert "end, batch size 4, draws 4 to 5: done" in text


def test_a_failure_that_many_chunks_share_is_said_once():
    display, out, _ = with_draws(num_workers=1)
    for index in (2, 3, 4):
        display.on_event(Event(kind=EventKind.FAILED, index=index, message="no state"))
    assert out.getvalue().count("no state") == 1
    assert set(display.failures) == {2, 3, 4}
