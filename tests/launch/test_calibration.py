from dataclasses import replace

import pytest
from helpers import plan_of

from raybs.launch.calibration import Calibration
from raybs.launch.resources import Resources
from raybs.plan.cost import USUAL
from raybs.plan.speeds import known_speed

FASTER = replace(USUAL, sample_seconds=USUAL.sample_seconds / 2)


@pytest.fixture
def told():
    return []


@pytest.fixture
def calibrate(store, subset, told):
    return Calibration(
        plan=plan_of([subset.config((64, 0.05, 2))], store),
        asked=[],
        store=store,
        resources=Resources(),
        confirmed=False,
        on_start=lambda: told.append("start"),
        on_plan=lambda plan, num_workers: told.append((plan, num_workers)),
    )


def broken():
    raise ValueError("no such device")


def test_a_first_sweep_on_a_cpu_is_measured_after_its_work(calibrate, store, told):
    before = calibrate.plan
    assert calibrate("cpu", broken, 2, at_end=False) is before
    assert told == ["start", (before, 2)]
    assert calibrate("cpu", lambda: FASTER, 2, at_end=True) is before
    assert known_speed(store, "cpu", 1) == FASTER


def test_a_second_sweep_plans_by_what_the_first_one_measured(calibrate, told):
    calibrate("cpu", lambda: FASTER, 1, at_end=True)
    plan = calibrate("cpu", broken, 1, at_end=False)
    assert plan.speed == FASTER
    assert told == ["start", (plan, 1)]


def test_a_gpu_is_measured_before_and_what_cannot_be_measured_does_not_start(
    calibrate, store, told
):
    with pytest.raises(ValueError, match="no such device"):
        calibrate("cuda", broken, 1, at_end=False)
    assert told == []
    assert calibrate("cuda", lambda: FASTER, 1, at_end=False).speed == FASTER
    assert known_speed(store, "cuda", 1) == FASTER


def test_a_measurement_that_fails_after_the_work_is_a_warning(calibrate, caplog):
    calibrate("cpu", broken, 1, at_end=True)
    assert "The speed of this machine is not known: no such device" in caplog.text
