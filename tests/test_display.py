import io

import pytest
from rich.console import Console

from raybs.config import Phase, TrainConfig, TrainSweep
from raybs.data import DatasetInfo
from raybs.display import Display, duration, size
from raybs.launch import Event
from raybs.plan import make_plan, requests

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
        display.on_event(Event(kind="started", index=index))
    assert display.eta() is None
    for epoch in range(11):
        time[0] = 10.0 + 3 * epoch  # both trials take 3 s an epoch, side by side
        for index in (0, 1):
            display.on_event(Event(kind="epoch", index=index, epoch=epoch))
        if epoch:
            left = 3 * (10 - epoch)
            assert display.eta() == pytest.approx(left, rel=0.05, abs=1e-6)


def test_eta_waits_for_the_longest_chain_when_workers_run_dry():
    time = [0.0]
    display = Display(two_trials(), Console(file=io.StringIO()), lambda: time[0])
    display.on_event(Event(kind="epoch", index=0, epoch=0))
    time[0] = 10.0
    display.on_event(Event(kind="epoch", index=0, epoch=5))
    # One worker, half of one trial in 10 s: the other 1.5 trials take 30 s more.
    assert display.eta() == pytest.approx(30, rel=0.05)


def test_plain_output_is_a_line_now_and_then_and_one_at_each_end():
    events = [Event(kind="started", index=0)]
    events += [
        Event(kind="epoch", index=0, epoch=k, test_accuracy=0.9) for k in range(11)
    ]
    events += [Event(kind="finished", index=0)]
    text, _ = shown(events)
    assert text.count("seed 0") == 2  # the clock stands still
    assert "10 @ 0.1 x 10, seed 0: epoch 10 of 10, finished" in " ".join(text.split())


def test_failures_are_shown_as_they_happen_and_kept():
    text, display = shown([Event(kind="failed", index=1, message="disk full")])
    assert "failed: 10 @ 0.2 x 10, seed 0: disk full" in text
    assert display.failures == {1: "disk full"}
    text, _ = shown([Event(kind="diverged", index=0)])
    assert "diverged: 10 @ 0.1 x 10, seed 0" in text
    text, _ = shown([Event(kind="restarted", index=0, message="worker died")])
    assert "starting again: 10 @ 0.1 x 10, seed 0: worker died" in text


def test_square_brackets_in_a_message_are_no_markup():
    message = "[enforce fail at alloc_cpu.cpp:114] and [/tmp/a]"
    text, _ = shown([Event(kind="failed", index=1, message=message)])
    assert message in text


def test_a_terminal_shows_a_bar_and_a_line_per_running_stretch():
    text, _ = shown(
        [
            Event(kind="started", index=0),
            Event(kind="epoch", index=1, epoch=5, test_accuracy=0.5),
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
