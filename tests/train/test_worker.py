import json
from itertools import islice
from pathlib import Path
from typing import get_type_hints

import pytest
import torch
from helpers import datasets, numbers, plan_of

from raybs.launch.local import run_local
from raybs.launch.resources import Resources
from raybs.models.device import prepare
from raybs.store.opening import open_store
from raybs.store.rows import Row
from raybs.store.store import Store
from raybs.train.worker import carry


def finish(plan, store, data, **options):
    for stretch in plan.stretches:
        for _ in carry([stretch], store, data, **options):
            pass


@pytest.fixture
def configs(subset):
    first = (64, 0.05, 2)
    return [
        subset.config(first, (8, 0.01, 3)),
        subset.config(first, (64, 0.1, 2), optimizer="adam"),
        subset.config(first, (64, 0.1, 2)),
    ]


@pytest.fixture
def undisturbed(subset, configs, tmp_path):
    store = open_store(str(tmp_path / "undisturbed"), create=True)
    finish(plan_of(configs, store), store, subset.data)
    return store


def states(store):
    """All kept states: the folder, and the tensors to the bit, by key."""
    bits_by_key = {}
    for key, paths in store.state_files().items():
        tensors, _ = store.read_state(key)
        bits = {name: tensor.tobytes() for name, tensor in tensors.items()}
        bits_by_key[key] = [path.split("/")[0] for path in paths], bits
    return bits_by_key


def test_a_plan_leaves_every_row_and_the_states_that_others_go_on_from(
    undisturbed, configs
):
    assert plan_of(configs, undisturbed).stretches == ()
    assert len(numbers(undisturbed)) == 1 + 2 + 3 + 2 + 1 + 4
    assert len(states(undisturbed)) == 4  # the fork and three ends
    assert not list((Path(undisturbed.files.root) / "rolling").iterdir())


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_closed_after_any_epoch_it_goes_on_to_the_same_bits(
    store, subset, configs, undisturbed, after
):
    for stretch in plan_of(configs, store).stretches:
        reports = carry([stretch], store, subset.data)
        list(islice(reports, after))
        reports.close()
        finish(plan_of(configs, store), store, subset.data)
    assert numbers(store) == numbers(undisturbed)
    assert states(store) == states(undisturbed)


def test_killed_after_a_save_it_repeats_only_what_came_after(
    store, subset, undisturbed, configs
):
    plan = plan_of(configs, store)
    reports = carry([plan.stretches[0]], store, subset.data, save_seconds=0)
    list(islice(reports, 2))  # epochs 0 and 1, saved; never closed, as after kill -9
    again = plan_of(configs, store)
    assert again.stretches[0].start == 1
    finish(again, store, subset.data, save_seconds=0)
    assert numbers(store) == numbers(undisturbed)
    assert states(store) == states(undisturbed)
    reports.close()


def test_a_retried_stretch_goes_on_from_its_rolling_state(store, subset, configs):
    """Ray starts the same stretch again; its plan does not know of the saved state."""
    [stretch] = [s for s in plan_of(configs[:1], store).stretches]
    reports = carry([stretch], store, subset.data, save_seconds=0)
    assert [r.epoch for r in islice(reports, 4)] == [0, 1, 2, 3]
    assert [r.epoch for r in carry([stretch], store, subset.data)] == [4, 5]
    reports.close()


def test_a_rolling_state_that_others_start_from_too_stays(store, subset, tmp_path):
    """Interrupted after epoch 3, then asked for a fork just there."""
    start = (64, 0.05, 3)
    first = subset.config(start, (64, 0.05, 3))
    [stretch] = plan_of([first], store).stretches
    reports = carry([stretch], store, subset.data)
    list(islice(reports, 4))
    reports.close()
    both = [first, subset.config(start, (8, 0.01, 1))]
    plan = plan_of(both, store)
    assert [s.start for s in plan.stretches] == [3, 3]
    for stretch in plan.stretches:
        assert min(r.epoch for r in carry([stretch], store, subset.data)) == 4
    again = open_store(str(tmp_path / "again"), create=True)
    finish(plan_of(both, again), again, subset.data)
    assert numbers(store) == numbers(again)
    kept = states(store)
    for key, (_, bits) in states(again).items():
        assert "states" in kept[key][0]
        assert kept[key][1] == bits


def test_nothing_rolls_on_after_an_end(store, subset):
    """Neither behind a divergence nor behind rows that were only filled in."""
    wild = subset.config((8, 0.01, 2), (8, 1e20, 2))
    [stretch] = plan_of([wild], store).stretches
    list(carry([stretch], store, subset.data, save_seconds=0))
    config = subset.config((64, 0.05, 5))
    finish(plan_of([config], store, evaluate_every=4), store, subset.data)
    finish(plan_of([config], store), store, subset.data, save_seconds=0)
    assert not list((Path(store.files.root) / "rolling").iterdir())


def test_seconds_are_those_since_the_last_row(store, subset):
    config = subset.config((64, 0.05, 6))
    finish(plan_of([config], store, evaluate_every=3), store, subset.data)
    _, three, six = by_epoch(store)
    assert three["seconds"] > 0
    assert six["seconds"] > 0


def test_the_seconds_of_an_older_raybs_are_those_of_its_rows(store, subset):
    """Its states do not say how long training took; its rows count measuring, too."""
    finish(plan_of([subset.config((64, 0.05, 2))], store), store, subset.data)
    [key] = states(store)
    tensors, metadata = store.read_state(key)
    del metadata["training_seconds"]
    store.files.delete(store.state_files()[key])
    store.write_state(key, tensors, metadata, rolling=False)
    spent = sum(row["seconds"] for row in by_epoch(store))
    finish(plan_of([subset.config((64, 0.05, 3))], store), store, subset.data)
    last = by_epoch(store)[-1]
    assert last["epoch"] == 3
    assert last["training_seconds"] > spent


@pytest.mark.parametrize("which", ["fork", "row"])
def test_a_corrupt_file_is_trained_again(
    store, subset, configs, undisturbed, which, caplog
):
    plan = plan_of(configs, store)
    finish(plan, store, subset.data)
    longer = [subset.config((64, 0.05, 2), (8, 0.01, 5))]
    if which == "fork":
        folder = Path(store.files.root) / "states"
        key = plan_of(longer, store).stretches[0].keys[5]
        [path] = [path for path in folder.iterdir() if path.name.startswith(key)]
    else:
        path = min((Path(store.files.root) / "rows").iterdir())
    path.write_bytes(path.read_bytes()[:-5])
    finish(plan_of([*configs, *longer], store), store, subset.data)
    assert path.name in caplog.text
    everything = [*configs, *longer]
    finish(plan_of(everything, undisturbed), undisturbed, subset.data)
    assert numbers(store) == numbers(undisturbed)


def test_a_pack_leaves_the_rows_of_all_its_trials(store, subset, tmp_path):
    configs = [
        subset.config((8, rate, 3), seed=seed)
        for seed, rate in ((0, 0.01), (1, 0.02), (2, 1e20))
    ]
    plan = plan_of(configs, store)
    assert len(plan.stretches) == 3
    reports = list(carry(plan.stretches, store, subset.data))
    assert [r.diverged for r in reports] == [[], [2], [], []]
    alone = open_store(str(tmp_path / "alone"), create=True)
    finish(plan_of(configs, alone), alone, subset.data)
    ours, theirs = numbers(store), numbers(alone)
    assert [r["state_key"] for r in ours] == [r["state_key"] for r in theirs]
    assert [r["status"] for r in ours] == [r["status"] for r in theirs]
    for a, b in zip(ours, theirs, strict=True):
        if a["status"] == "complete":
            assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-4)
    assert plan_of(configs, store).stretches == ()
    assert len(states(store)) == 2  # none of the diverged one


def test_an_error_in_training_saves_no_half_trained_state(store, subset, monkeypatch):
    import raybs.models.sgd

    [stretch] = plan_of([subset.config((8, 0.01, 3))], store).stretches
    real, calls = raybs.models.sgd.loss_gradient, []

    def failing(*args):
        calls.append(None)
        if len(calls) == 40:  # in the middle of epoch 2
            raise RuntimeError("out of memory")
        return real(*args)

    monkeypatch.setattr(raybs.models.sgd, "loss_gradient", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(carry([stretch], store, subset.data))
    assert states(store) == {}


def test_rows_say_where_they_come_from(undisturbed):
    rows = undisturbed.read_rows().to_pylist()
    assert {row["device"] for row in rows} == {"cpu"}
    assert {row["num_threads"] for row in rows} == {1}
    assert {row["torch_version"] for row in rows} == {torch.__version__}
    assert all(row["seconds"] > 0 for row in rows)


def test_coarser_rows_are_completed_by_training_again(store, subset):
    config = subset.config((64, 0.05, 5))
    finish(plan_of([config], store, evaluate_every=4), store, subset.data)
    assert [r["epoch"] for r in by_epoch(store)] == [0, 4, 5]
    finish(plan_of([config], store), store, subset.data)
    assert [r["epoch"] for r in by_epoch(store)] == [0, 1, 2, 3, 4, 5]


def by_epoch(store: Store):
    return sorted(store.read_rows().to_pylist(), key=lambda row: row["epoch"])


def test_threads_are_what_was_asked_for():
    before = torch.get_num_threads()
    prepare(2)
    assert torch.get_num_threads() == 2
    prepare(before)


def test_a_report_is_small_enough_for_any_wire(store, subset):
    from dataclasses import asdict

    [stretch] = plan_of([subset.config((64, 0.05, 1))], store).stretches
    for report in carry([stretch], store, subset.data):
        assert len(json.dumps(asdict(report))) < 1000


def test_a_report_tells_what_is_stored(store, subset):
    [stretch] = plan_of([subset.config((64, 0.05, 3))], store).stretches
    reports = list(carry([stretch], store, subset.data))
    assert [report.rows[0] for report in reports] == by_epoch(store)
    assert all(row.keys() == get_type_hints(Row).keys() for row in by_epoch(store))


def test_two_drivers_on_one_folder_end_with_the_same_rows(
    store, subset, configs, undisturbed
):
    """Both plan before either has trained; the second finds the first one's work."""
    plans = [plan_of(configs, store), plan_of(configs, store)]
    first = carry([plans[0].stretches[0]], store, subset.data)
    second = carry([plans[1].stretches[0]], store, subset.data)
    for _ in first:
        next(second, None)
    second.close()
    finish(plans[1], store, subset.data)
    finish(plans[0], store, subset.data)
    assert numbers(store) == numbers(undisturbed)


def test_run_local_equals_carrying_by_hand(store, configs, undisturbed):
    import threading

    plan = plan_of(configs, store)
    run_local(
        plan,
        store,
        datasets(plan),
        Resources(),
        on_event=lambda event: None,
        stop=threading.Event(),
    )
    assert numbers(store) == numbers(undisturbed)
