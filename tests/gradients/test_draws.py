"""What gradient sweeps ask for: validation, cells, chunks and how stored ones fold."""

import json
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybs.config import Phase, TrainConfig
from raybs.config.gradient_sweep import GradientSweep, cells, check_samples
from raybs.datasets.dataset import DatasetInfo
from raybs.plan.chunks import Wanted, make_chunks
from raybs.plan.cost import USUAL, draw_seconds
from raybs.store.draws import fold, stored_pairs
from raybs.store.records import sweep_from_json
from raybs.store.schemas import CHUNK_SCHEMA, DRAW_COLUMNS

INFO = DatasetInfo(fingerprint="f", num_samples=60000, num_features=784, num_classes=10)
START = TrainConfig(phases=(Phase(batch_size=1024, learning_rate=0.01, epochs=2),))
SWEEP = GradientSweep(regimes={"early": START}, batch_sizes=(1, 3, 1024))


def test_the_article_s_experiment_is_the_default():
    from sweeps.gradient_competition import SWEEP as ours

    assert ours.batch_sizes == (*range(1, 9), 16, 32, 64, 128, 256, 512, 1024)
    assert (ours.num_draws, ours.num_samples) == (1000, 1024)
    assert (ours.learning_rate, ours.reduction, ours.layers) == (0.01, "mean", (-1,))
    ends = {name: c.phases for name, c in ours.regimes.items()}
    assert ends == {
        "early": (Phase(batch_size=1024, learning_rate=0.01, epochs=2),),
        "late": (Phase(batch_size=1024, learning_rate=0.01, epochs=30),),
    }


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"batch_sizes": (0, 4)}, "batch_size=0; a draw has 1024 samples: use 1 to"),
        ({"batch_sizes": (2048,)}, "batch_size=2048; a draw has 1024 samples"),
        ({"batch_sizes": ()}, "give one or more, each once"),
        ({"batch_sizes": (4, 4)}, "give one or more, each once"),
        ({"batch_sizes": 4}, "use a tuple or a list"),
        ({"num_draws": 0}, "num_draws=0; use 1 to"),
        ({"num_samples": 0}, "num_samples=0; use 1 to"),
        ({"learning_rate": 0}, "learning_rate=0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"reduction": "max"}, "use mean or sum"),
        ({"layers": (3,)}, "layers=(3,); use -3 to 2"),
        ({"layers": (-1, 2)}, "give each once"),
        ({"crossed": (30,)}, "use (sample sets, orders)"),
        ({"crossed": (1, 30)}, "use (sample sets, orders)"),
        ({"crossed": "30x30"}, "use a tuple"),
        ({"frozen": 1}, "use True or False"),
        ({"regimes": {}}, "at least one TrainConfig by its name"),
        ({"regimes": {"early": None}}, "at least one TrainConfig by its name"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_bad_fields_are_refused_in_words(fields, words):
    with pytest.raises(ValueError, match="gradient sweep: ") as error:
        replace(SWEEP, **fields)
    assert words in str(error.value)


def test_all_bad_fields_are_listed_in_one_error():
    with pytest.raises(ValueError, match="num_draws") as error:
        replace(SWEEP, num_draws=0, reduction="max")
    assert "reduction" in str(error.value)


def test_more_samples_than_the_dataset_has_are_refused():
    sweep = replace(SWEEP, num_samples=60001, batch_sizes=(1,))
    with pytest.raises(ValueError, match="60001 exceeds the 60000 training samples"):
        check_samples(sweep, {"mnist": 60000})


def test_json_gives_the_sweep_back():
    sweep = replace(SWEEP, crossed=(3, 4), layers=(0, -1))
    assert sweep_from_json(json.loads(json.dumps(asdict(sweep)))) == sweep
    with pytest.raises(ValueError, match="not a sweep"):
        sweep_from_json({"regimes": None})


def test_a_key_names_all_that_determines_a_draw_and_nothing_else():
    changes = {
        "num_samples": 1025,
        "learning_rate": 0.02,
        "reduction": "sum",
        "layers": (0,),
        "frozen": True,
        "seed": 1,
    }
    [cell] = cells(replace(SWEEP, batch_sizes=(3,)), {"mnist": "f"})
    others = [
        cells(replace(SWEEP, batch_sizes=(3,), **{name: value}), {"mnist": "f"})[0]
        for name, value in changes.items()
    ]
    others += cells(replace(SWEEP, batch_sizes=(4,)), {"mnist": "f"})
    others += cells(replace(SWEEP, batch_sizes=(3,)), {"mnist": "other"})
    assert len({cell.key, *(other.key for other in others)}) == len(others) + 1
    same = replace(
        SWEEP, batch_sizes=(3,), regimes={"x": START}, layers=(2,), num_draws=7
    )
    assert cells(same, {"mnist": "f"})[0].key == cell.key


def test_crossed_draws_are_besides_the_independent_ones():
    assert replace(SWEEP, num_draws=3).pairs == [(0, 0), (1, 1), (2, 2)]
    crossed = replace(SWEEP, num_draws=3, crossed=(2, 2)).pairs
    assert crossed == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)]


def wanted(sweep):
    return [
        Wanted(cell=cell, pairs=sweep.pairs, info=INFO)
        for cell in cells(sweep, {"mnist": "f"})
    ]


@pytest.mark.parametrize("draws_per_chunk", [None, 10, 50])
def test_chunks_hold_every_missing_draw_once_and_the_longest_come_first(
    store, draws_per_chunk
):
    sweep = replace(SWEEP, num_draws=230, crossed=(5, 4))
    found = make_chunks(wanted(sweep), store, USUAL, draws_per_chunk=draws_per_chunk)
    drawn = Counter((c.cell.batch_size, pair) for c in found for pair in c.pairs)
    expected = [(size, pair) for size in sweep.batch_sizes for pair in sweep.pairs]
    assert drawn == Counter(expected)
    assert sorted(-c.seconds for c in found) == [-c.seconds for c in found]
    if draws_per_chunk:
        assert max(chunk.length for chunk in found) == draws_per_chunk
    else:  # of similar cost
        full = sorted(chunk.seconds for chunk in found)[5:]
        assert full[-1] < 1.5 * full[0]


def test_1000_draws_after_200_are_800_more(store):
    [cell] = cells(replace(SWEEP, batch_sizes=(1,)), {"mnist": "f"})
    store.write_chunk(row_of(cell.key, [(n, n) for n in range(200)]))
    sweep = replace(SWEEP, batch_sizes=(1,), num_draws=1000)
    found = make_chunks(wanted(sweep), store, USUAL)
    assert sorted(p for c in found for p in c.pairs) == sweep.pairs[200:]


def test_kept_gradients_that_are_missing_are_drawn_again_on_their_own(store):
    [cell] = cells(replace(SWEEP, batch_sizes=(1,)), {"mnist": "f"})
    store.write_chunk(row_of(cell.key, [(n, n) for n in range(4)]))
    store.write_gradients(cell.key, np.zeros((2, 10), np.float32), [(0, 0), (1, 1)])
    sweep = replace(SWEEP, batch_sizes=(1,), num_draws=6)
    found = make_chunks(wanted(sweep), store, USUAL, keep=True, draws_per_chunk=9)
    assert sorted(c.pairs for c in found) == [((2, 2), (3, 3)), ((4, 4), (5, 5))]
    assert all(c.keep for c in found)
    assert found[0].num_bytes > 2 * 4 * 10 * 1024


def test_a_chunk_that_keeps_gradients_fits_in_memory(store):
    sweep = replace(SWEEP, batch_sizes=(1024,), layers=(0, 1, 2), num_draws=300)
    found = make_chunks(wanted(sweep), store, USUAL, keep=True)
    each = 4 * (784 * 1024 + 1024 * 1024 + 1024 * 10)
    assert max(chunk.length for chunk in found) * each <= 2**26


def test_numpy_numbers_are_plain_ones():
    sweep = replace(SWEEP, batch_sizes=2 ** np.arange(3), num_draws=np.int64(5))
    assert sweep == replace(SWEEP, batch_sizes=(1, 2, 4), num_draws=5)
    assert json.loads(json.dumps(asdict(sweep)))["batch_sizes"] == [1, 2, 4]


def test_regimes_of_one_state_are_drawn_once(store):
    sweep = replace(SWEEP, regimes={"one": START, "two": START}, num_draws=5)
    found = make_chunks(wanted(sweep), store, USUAL)
    assert sum(chunk.length for chunk in found) == 5 * len(sweep.batch_sizes)


def test_a_draw_costs_its_steps():
    costs = {c.batch_size: draw_seconds(c, INFO, USUAL) for c in cells(SWEEP, FINGER)}
    steps = dict(USUAL.step_seconds)
    assert costs[1] == pytest.approx(1024 * steps[1], rel=0.05)
    assert costs[1024] == pytest.approx(steps[1024], rel=0.1)


FINGER = {"mnist": "f"}


def row_of(key, pairs, **fields):
    """A stored chunk whose numbers are functions of their draws."""
    row = {
        "cell_key": key,
        "sample_set": [a for a, _ in pairs],
        "order": [b for _, b in pairs],
        **{
            name: [float(i + 10 * a + b) for a, b in pairs]
            for i, name in enumerate(DRAW_COLUMNS)
        },
        "num_steps": [7] * len(pairs),
        "status": ["complete"] * len(pairs),
        "bin": sorted({a % 5 for a, _ in pairs}),
        "count": [n for _, n in sorted(Counter(a % 5 for a, _ in pairs).items())],
        "seconds": 1.0,
        "device": "cpu",
        "num_threads": 1,
        "num_replicas": 1,
        "torch_version": "2",
    }
    return row | fields


def table_of(rows):
    return pa.Table.from_pylist(rows, schema=CHUNK_SCHEMA)


def folded(rows):
    [row] = fold(table_of(rows)).drop_columns(["seconds"]).to_pylist()
    return row


@given(st.data(), st.integers(1, 30))
def test_whatever_chunks_draws_came_in_they_fold_to_the_same_numbers(data, num):
    pairs = [(n, n) for n in range(num)]
    whole = folded([row_of("k", pairs)])
    cuts = sorted({0, num, *data.draw(st.lists(st.integers(0, num)))})
    parts = [pairs[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
    parts = data.draw(st.permutations(parts))
    rows = [row_of("k", part) for part in parts]
    again = data.draw(st.lists(st.sampled_from(rows)))  # two drivers, one chunk
    assert folded([*rows, *again]) == whole
    assert folded(fold(table_of(rows)).to_pylist()) == whole


def test_of_chunks_that_share_a_draw_the_longest_counts_whole():
    long, short = [(n, n) for n in range(5)], [(n, n) for n in range(4, 7)]
    rows = [row_of("k", short), row_of("k", long), row_of("other", short)]
    assert stored_pairs(table_of(rows)) == {"k": {*long}, "other": {*short}}


def test_nothing_folds_to_nothing():
    assert len(fold(table_of([]))) == 0
    assert stored_pairs(table_of([])) == {}
