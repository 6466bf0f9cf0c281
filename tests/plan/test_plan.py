"""Plans against counts from the article and against a slow twin that simulates them."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.schedule import TRAINING_SWEEPS
from raybs.config.catalog import find_sweep
from raybs.config.sweep import TrainSweep, with_seeds
from raybs.config.trial import Phase, TrainConfig, canonical
from raybs.datasets.dataset import DatasetInfo, describe
from raybs.launch.frontier import Frontier
from raybs.plan.cost import state_bytes
from raybs.plan.cut import STRETCH_SECONDS
from raybs.plan.plan import make_plan
from raybs.plan.requests import requests
from raybs.plan.stretches import stretch_from_json, stretch_to_json

INFO = DatasetInfo(fingerprint="f", num_samples=100, num_features=4, num_classes=3)
INFO_MNIST = describe("mnist")


def plan(sweep, rows=None, states=()):
    return make_plan(requests(sweep, lambda name: INFO), rows or {}, set(states))


def counts(*names, seeds=1):
    found = [
        request
        for name in names
        for request in requests(
            with_seeds(find_sweep(name)[2], range(seeds)), lambda name: INFO_MNIST
        )
    ]
    plan = make_plan(found, {}, set())
    return plan.asked, plan.to_train


def test_the_articles_sweeps_share_most_of_their_epochs():
    assert counts(*TRAINING_SWEEPS) == (1621, 720)
    assert counts("recovery") == (241, 180)
    assert counts("recovery", seeds=5) == (5 * 241, 5 * 180)


phases = st.builds(
    Phase,
    batch_size=st.sampled_from([1, 2]),
    learning_rate=st.just(0.1),
    epochs=st.integers(1, 3),
)
sweeps = st.builds(
    TrainSweep,
    configs=st.lists(
        st.builds(
            TrainConfig,
            phases=st.lists(phases, min_size=1, max_size=3).map(tuple),
            seed=st.integers(0, 1),
        ),
        min_size=1,
        max_size=5,
    ).filter(lambda configs: len(set(map(canonical, configs))) == len(configs)),
    evaluate_every=st.integers(1, 3),
)


def stored_part(sweep, data):
    """Some rows and states that earlier runs may have left, or lost."""
    found = requests(sweep, lambda name: INFO)
    keys = sorted({key for request in found for key in request.keys})
    rows = {key: "complete" for key in keys if data.draw(st.booleans())}
    inits = {request.keys[0] for request in found}
    states = {key for key in keys if key not in inits and data.draw(st.booleans())}
    return found, rows, states


@given(sweep=sweeps, data=st.data())
def test_a_plan_gets_every_missing_row_and_trains_nothing_needless(sweep, data):
    found, rows, states = stored_part(sweep, data)
    plan = make_plan(found, rows, states)
    # Simulate it: a stretch may start only from what exists, and leaves what it keeps.
    inits = {request.keys[0] for request in found}
    trained, measured, existing = [], [], states | inits
    for index, stretch in enumerate(plan.stretches):
        assert stretch.parent is None or stretch.parent < index
        assert stretch.keys[stretch.start] in existing
        trained += stretch.keys[stretch.start + 1 : stretch.stop + 1]
        measured += [stretch.keys[k] for k in stretch.measure]
        assert all(stretch.start <= k <= stretch.stop for k in stretch.measure)
        existing |= {stretch.keys[k] for k in stretch.keep}
        if stretch.goes_on:
            existing.add(stretch.keys[stretch.stop])
    wanted = {r.keys[k] for r in found for k in r.measured} - rows.keys()
    assert sorted(measured) == sorted(wanted)
    # The slow twin: for each missing row, all epochs back to a stored state.
    needed = set()
    for request in found:
        for k in request.measured:
            missing = request.keys[k] in wanted
            while missing and k > 0 and request.keys[k] not in states:
                needed.add(request.keys[k])
                k -= 1
    assert sorted(trained) == sorted(needed)
    assert plan.to_train == len(needed)
    ends = {request.keys[-1] for request in found}
    assert ends & needed <= existing


@given(sweep=sweeps)
def test_a_finished_plan_leaves_nothing_and_a_longer_one_goes_on_from_it(sweep):
    found = requests(sweep, lambda name: INFO)
    rows = {key: "complete" for request in found for key in request.keys}
    first = make_plan(found, {}, set())
    states = {s.keys[k] for s in first.stretches for k in s.keep}
    assert make_plan(found, rows, states).stretches == ()
    assert make_plan(found, rows, set()).stretches == ()
    first_config = sweep.configs[0]
    more = Phase(batch_size=9, learning_rate=0.1, epochs=4)
    longer = replace(first_config, phases=(*first_config.phases, more))
    plan = make_plan(
        requests(TrainSweep(configs=(longer,)), lambda name: INFO), rows, states
    )
    assert [s.start for s in plan.stretches] == [first_config.num_epochs]
    assert plan.to_train == 4
    assert plan.stored == first_config.num_epochs


@given(sweep=sweeps, num=st.integers(1, 3))
def test_the_frontier_gives_every_stretch_once_and_parents_before_children(sweep, num):
    made = plan(sweep)
    frontier, done, running = Frontier(made, num), set(), []
    while frontier.ready or running:
        if taken := frontier.take():
            assert len({made.stretches[i].shape for i in taken}) == 1
            assert all(made.stretches[i].parent in {None, *done} for i in taken)
            running += taken
            continue
        index = running.pop(0)
        done.add(index)
        frontier.finish(index)
    assert done == set(range(len(made.stretches)))


def test_long_paths_are_cut_so_that_workers_end_together():
    sweep = find_sweep("lr_compensation")[2]
    made = make_plan(requests(sweep, describe), {}, set())
    assert all(stretch.seconds < 2 * STRETCH_SECONDS for stretch in made.stretches)
    assert sum(len(stretch.keep) for stretch in made.stretches) == 3  # only the ends
    for num_workers in (1, 2, 3):
        frontier, free, ends = Frontier(made), [0.0] * num_workers, []
        while frontier.ready or ends:
            if frontier.ready and free:
                now = free.pop(0)
                [index] = frontier.take()
                ends.append((now + made.stretches[index].seconds, index))
                continue
            ends.sort()
            now, index = ends.pop(0)
            frontier.finish(index)
            free = [max(now, time) for time in (*free, now)]
        assert now < made.bound(num_workers) + STRETCH_SECONDS


def test_the_longest_chain_goes_first():
    long = TrainConfig(phases=(Phase(batch_size=10, learning_rate=0.1, epochs=9),))
    short = TrainConfig(phases=(Phase(batch_size=20, learning_rate=0.1, epochs=2),))
    made = plan(TrainSweep(configs=(short, long)))
    [first] = Frontier(made).take()
    assert made.stretches[first].config == long


def test_dropping_a_stretch_drops_all_behind_it():
    one = Phase(batch_size=1, learning_rate=0.1, epochs=1)
    two, three = replace(one, batch_size=2), replace(one, batch_size=3)
    configs = [
        TrainConfig(phases=(one, two)),
        TrainConfig(phases=(one, three, one)),
        TrainConfig(phases=(one, three, two)),
    ]
    made = plan(TrainSweep(configs=tuple(configs)))
    frontier = Frontier(made)
    [root] = frontier.take()
    assert len(frontier.drop(root)) == len(made.stretches) - 1
    assert frontier.take() == []


def test_a_diverged_path_is_done():
    config = TrainConfig(phases=(Phase(batch_size=1, learning_rate=0.1, epochs=9),))
    [request] = requests(TrainSweep(configs=(config,)), lambda name: INFO)
    rows = {request.keys[0]: "complete", request.keys[1]: "complete"}
    rows[request.keys[2]] = "diverged"
    assert make_plan([request], rows, set()).stretches == ()
    del rows[request.keys[1]]
    [stretch] = make_plan([request], rows, set()).stretches
    assert (stretch.start, stretch.stop, stretch.measure) == (0, 1, {1})


def test_stretches_go_to_workers_as_json():
    made = make_plan(requests(find_sweep("recovery")[2], describe), {}, set())
    for stretch in made.stretches:
        text = json.dumps(stretch_to_json(stretch))
        assert stretch_from_json(json.loads(text)) == stretch


def test_states_have_the_bytes_of_their_tensors():
    sgd = TrainConfig(phases=(Phase(batch_size=1, learning_rate=0.1, epochs=1),))
    parameters = 784 * 1024 + 1024 + 1024 * 1024 + 1024 + 1024 * 10 + 10
    assert state_bytes(sgd, INFO_MNIST) == 4 * parameters
    assert state_bytes(replace(sgd, momentum=0.9), INFO_MNIST) == 8 * parameters
    assert state_bytes(replace(sgd, optimizer="adam"), INFO_MNIST) == 12 * parameters


def test_a_batch_larger_than_the_data_is_named_before_anything_starts():
    config = TrainConfig(phases=(Phase(batch_size=101, learning_rate=0.1, epochs=1),))
    with pytest.raises(ValueError, match=r"phase 0: batch_size=101 .* use 1 to 100"):
        plan(TrainSweep(configs=(config,)))
