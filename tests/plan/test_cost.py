import json
from dataclasses import asdict, replace

import pytest

from raybs.config import Phase, TrainConfig, TrainSweep
from raybs.config.keys import Epoch
from raybs.datasets.dataset import DatasetInfo
from raybs.launch.frontier import Frontier
from raybs.plan.cost import Speed, epoch_seconds, measuring_seconds, speed_from_json
from raybs.plan.plan import make_plan
from raybs.plan.requests import requests
from raybs.train import probe

SPEED = Speed(
    step_seconds=((1, 0.001), (64, 0.008), (1024, 0.1)),
    optimizer_seconds=0.002,
    overhead_seconds=0.0001,
    sample_seconds=50e-6,
    replicas=((1, 4), (1024, 1)),
)
INFO = DatasetInfo(fingerprint="x", num_samples=60000, num_features=784, num_classes=10)


def config(batch_size=64, **fields):
    phase = Phase(batch_size=batch_size, learning_rate=0.1, epochs=1)
    return TrainConfig(phases=(phase,), **fields)


def test_the_article_network_costs_what_was_measured():
    # Weights without their biases are the reference: 2058 of 1,863,690 more.
    seconds = epoch_seconds(config(), Epoch(64, 0.1), INFO, SPEED)
    assert seconds == pytest.approx(938 * 0.008, rel=0.002)
    adam = epoch_seconds(config(optimizer="adam"), Epoch(64, 0.1), INFO, SPEED)
    assert adam == pytest.approx(938 * 0.010, rel=0.002)
    measuring = measuring_seconds(config(), INFO, SPEED)
    assert measuring == pytest.approx(70000 * 50e-6, rel=0.002)


def test_costs_between_and_beyond_what_was_measured():
    steps = {
        size: epoch_seconds(config(), Epoch(size, 0.1), INFO, SPEED) / -(-60000 // size)
        for size in (1, 8, 64, 256, 1024, 2048)
    }
    assert list(steps.values()) == sorted(steps.values())
    assert steps[8] == pytest.approx((0.001 * 0.008) ** 0.5, rel=0.01)  # half-way
    assert steps[2048] == pytest.approx(0.2, rel=0.01)


def test_a_tiny_network_costs_its_overhead_alone():
    tiny = epoch_seconds(config(hidden=(1,)), Epoch(64, 0.1), INFO, SPEED)
    assert tiny == pytest.approx(938 * 0.0001, rel=0.05)


def test_a_speed_survives_json():
    assert speed_from_json(json.loads(json.dumps(asdict(SPEED)))) == SPEED


@pytest.mark.parametrize(
    "fields",
    [
        {"step_seconds": []},
        {"step_seconds": [[0, 1.0]]},
        {"step_seconds": [[64, 1.0], [1, 1.0]]},
        {"step_seconds": [[float("inf"), 1.0]]},
        {"step_seconds": [[1, float("nan")]]},
        {"step_seconds": 3},
        {"overhead_seconds": "x"},
        {"sample_seconds": -1.0},
        {"replicas": [[1, 0]]},
        {"replicas": None},
    ],
)
def test_a_wrong_speed_is_refused(fields):
    with pytest.raises(ValueError, match="not a speed"):
        speed_from_json(asdict(SPEED) | fields)
    with pytest.raises(ValueError, match="not a speed"):
        speed_from_json({})


def test_the_best_pack_is_that_of_the_nearest_batch_size():
    assert [SPEED.num_replicas(size) for size in (1, 16, 64, 4096)] == [4, 4, 1, 1]
    assert replace(SPEED, replicas=()).num_replicas(1) == 1


def test_automatic_packs_are_as_large_as_is_best_for_their_batch_size():
    configs = [config(size, seed=seed) for size in (1, 1024) for seed in range(5)]
    asked = requests(TrainSweep(configs=tuple(configs)), lambda name: INFO)
    frontier = Frontier(make_plan(asked, {}, set(), SPEED), num_replicas=None)
    taken = []
    while indices := frontier.take():
        size = frontier.plan.stretches[indices[0]].config.phases[0].batch_size
        taken.append((size, len(indices)))
    assert sorted(taken) == [(1, 1), (1, 4)] + 5 * [(1024, 1)]


def test_automatic_packs_leave_something_for_every_worker():
    configs = [config(1, seed=seed) for seed in range(5)]
    asked = requests(TrainSweep(configs=tuple(configs)), lambda name: INFO)
    made = make_plan(asked, {}, set(), SPEED)
    frontier = Frontier(made, num_replicas=None, num_workers=4)
    taken = []
    while indices := frontier.take():
        taken.append(len(indices))
    assert taken == [2, 1, 1, 1]
    assert len(Frontier(made, num_replicas=4, num_workers=4).take()) == 4  # as asked


def test_a_probe_takes_the_largest_pack_that_is_still_worth_it(monkeypatch):
    times = {1: 1.0, 2: 0.8, 4: 0.75, 8: 0.1}  # 4 brings less than 10 per cent

    def step_seconds(data, config, num=1):
        return times[num] * config.phases[0].batch_size

    monkeypatch.setattr(probe, "_step_seconds", step_seconds)
    speed = probe.probe("cpu", replicas=True)
    assert speed.replicas == ((1, 2), (8, 2), (64, 2), (1024, 2))
    assert speed.step_seconds == ((1, 1), (8, 8), (64, 64), (1024, 1024))


def test_a_probe_measures_real_steps():
    speed = probe.probe("cpu")
    steps = [seconds for _, seconds in speed.step_seconds]
    assert steps[0] < steps[-1]
    assert 0 < speed.overhead_seconds < steps[-1]
    assert speed.optimizer_seconds > 0
    assert speed.sample_seconds > 0
    assert speed.replicas == ()


def test_bfloat16_costs_what_was_measured_above_the_deferred_batch_sizes():
    speed = replace(SPEED, bfloat16=20.0)
    half = config(precision="bfloat16")
    plain, slow = (
        epoch_seconds(c, Epoch(64, 0.1), INFO, speed) for c in (config(), half)
    )
    assert slow == pytest.approx(20 * plain)
    small = Epoch(8, 0.1)  # whose updates are deferred, in float32
    assert epoch_seconds(half, small, INFO, speed) == epoch_seconds(
        config(), small, INFO, speed
    )
    unknown = epoch_seconds(half, Epoch(64, 0.1), INFO, SPEED)
    assert unknown == plain


def test_a_speed_of_an_older_raybs_knows_nothing_of_bfloat16():
    value = json.loads(json.dumps(asdict(SPEED)))
    del value["bfloat16"], value["processor"]
    assert speed_from_json(value) == SPEED
