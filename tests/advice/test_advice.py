"""Advice on synthetic problems whose best batch size and learning rate are known."""

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from helpers import check_fields, record, row
from scipy import stats

import analysis
from analysis.__main__ import advise_command
from analysis.advice.points import POINT
from analysis.advice.targets import _crossing
from analysis.advice.words import paired, words
from analysis.charts.figures import figures
from analysis.charts.landscape import landscape
from analysis.frames.trials import only
from raybs import grid
from raybs.config.keys import num_steps, path, resolved, state_keys

SIZES, RATES = [16, 64, 256, 1024], [0.01, 0.03, 0.1, 0.3]
NUM_SAMPLES = 6400


def accuracy(config, part):
    """Best at 64 and 0.03: a bowl over the grid, approached as training goes on.

    Each seed has its own luck, the same in all configs but for a little.
    """
    phase = config.phases[0]
    size, rate = (
        math.log2(phase.batch_size / 64),
        math.log10(phase.learning_rate / 0.03),
    )
    luck = 0.002 * config.seed + 0.0003 * ((config.seed * size) % 3)
    return (0.95 - 0.004 * size**2 - 0.05 * rate**2 + luck) * (1 - math.exp(-12 * part))


def write(store, sweep, *, name="grid", acc=accuracy, seconds=None, status=None):
    """Store the rows of `sweep` as if trained, a second per million of samples."""
    record(store, name, sweep, training_samples={"mnist": NUM_SAMPLES})
    rows = []
    for given in sweep.configs:
        config = resolved(given, NUM_SAMPLES)
        keys, step, seen, spent = state_keys(config, "f"), 0, 0, 0.0
        epochs = path(config)
        rows.append(row(keys[0], 0, 0.1, step=0, samples_seen=0, training_seconds=0.0))
        for number, epoch in enumerate(epochs, 1):
            step += num_steps(epoch, NUM_SAMPLES)
            seen += epoch.samples or NUM_SAMPLES
            spent += seconds(epoch) if seconds else 1000 / epoch.batch_size**0.5
            how = status(config, number) if status else "complete"
            counters = {"step": step, "samples_seen": seen, "training_seconds": spent}
            value = acc(config, number / len(epochs))
            rows.append(row(keys[number], number, value, how, **counters))
            if how == "diverged":
                break
    store.write_rows(rows)
    return store


def ask(store, name="grid", **options):
    [advice] = analysis.advise(only(analysis.load(store), name), **options)
    return advice


def bowl(store, **fields):
    given = {"batch_size": SIZES, "learning_rate": RATES, "epochs": 8, "seeds": 3}
    return write(store, grid(**(given | fields)))


def two_sizes(**fields):
    """A grid of batch sizes 16 and 64 at one rate."""
    return grid(batch_size=[16, 64], learning_rate=0.1, epochs=8, **fields)


def said(advice, margin=0.2):
    return {head: " ".join(texts) for head, texts in words(advice, margin).items()}


def test_the_known_best_is_found(store):
    sentences = said(ask(bowl(store)))
    assert "Train with batch size 64 at learning rate 0.03: 95.2" in sentences["Advice"]
    assert "3 seeds) after 8 epochs" in sentences["Advice"]
    assert "No other is more accurate" in sentences["Evidence"]
    assert "800 steps at batch size 16" not in sentences["Limits"]  # 400 x 8
    assert "3,200 steps at batch size 16, 56 at 1024" in sentences["Limits"]
    assert "edge" not in sentences["Limits"]
    assert "Not flat" not in sentences["Limits"]


def test_a_second_set_of_seeds_gives_the_same_advice(store):
    bowl(store)
    again = grid(batch_size=SIZES, learning_rate=RATES, epochs=8, seeds=[3, 4, 5])
    write(store, again, name="again")
    first, second = ask(store), ask(store, "again")
    for one, other in zip(
        first.points[first.points["best"]][POINT].to_numpy(),
        second.points[second.points["best"]][POINT].to_numpy(),
        strict=True,
    ):
        assert list(one) == list(other)


def test_of_those_within_the_margin_the_soonest_is_taken(store):
    # 256 loses 4 * 0.4 points, and takes half the seconds of 64; 1024 loses 4 times as
    # much, and does not get there.
    advice = ask(bowl(store), target=0.93)
    sentences = said(advice, margin=2.0)
    assert "Train with batch size 256 at learning rate 0.03" in sentences["Advice"]
    assert (
        "within 2 points of the highest. Of all within, it gets" in sentences["Advice"]
    )
    assert "-1.57 points (-1.64 to -1.50) against it" in sentences["Evidence"]
    seconds = advice.to_target[advice.to_target["unit"] == "seconds"]
    soonest = seconds.loc[seconds["mean"].idxmin()]
    assert soonest["batch_size"] == 256  # the chart says so, too
    spent = f"{soonest['mean']:.0f} s of training"
    assert f"to 93 % soonest, after {spent}" in sentences["Advice"]


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ([0.001, 0.003, 0.01], "the best rate is the highest tried"),
        ([0.1, 0.3, 1.0], "the best rate is the lowest tried"),
        ([0.03], "One learning rate was tried for batch size 16, 64, 256, 1024"),
    ],
)
def test_a_best_rate_on_the_edge_is_said_so(store, rates, words):
    sentences = said(ask(bowl(store, learning_rate=rates)))
    assert words in sentences["Limits"]


def test_a_batch_size_on_the_edge_is_said_so(store):
    sentences = said(ask(bowl(store, batch_size=[64, 256, 1024])))
    assert "Batch size 64 is the smallest tried" in sentences["Limits"]


def test_one_seed_has_no_intervals_and_says_so(store):
    advice = ask(bowl(store, seeds=1))
    assert "One seed: luck cannot be told" in said(advice)["Limits"]
    assert "(one seed)" in said(advice)["Advice"]
    assert (advice.points["lower"] == advice.points["upper"]).all()


def test_too_few_seeds_say_how_many_would_do(store):
    def noisy(config, part):
        return 0.9 + 0.01 * (-1) ** config.seed * (config.phases[0].batch_size == 64)

    sweep = grid(batch_size=[16, 64], learning_rate=RATES, epochs=2, seeds=3)
    write(store, sweep, acc=noisy)
    text = said(ask(store))["Limits"]
    needed = int(text.split("it takes about ")[1].split(",")[0])
    # The differences are +1, -1, +1 points: mean 1/3, deviation 1.155.
    deviation, mean = np.std([1, -1, 1], ddof=1), 1 / 3
    half = [
        stats.t.ppf(0.975, n - 1) * deviation / n**0.5 for n in (needed - 1, needed)
    ]
    assert half[0] > mean >= half[1]


def test_a_curve_that_still_rises_is_said_so(store):
    def rising(config, part):
        return accuracy(config, 1) * part

    sweep = grid(batch_size=SIZES, learning_rate=RATES, epochs=8, seeds=2)
    advice = ask(write(store, sweep, acc=rising))
    assert "Not flat yet" in said(advice)["Limits"]
    # From 6 of 8 epochs to 8: a quarter of what is reached.
    best = advice.points[advice.points["best"]]
    assert best["gain"].tolist() == pytest.approx((best["mean"] / 4).tolist())


def test_a_diverged_point_is_named_and_never_advised(store):
    def best_diverges(config, number):
        gone = (
            config.phases[0]
            == grid(batch_size=64, learning_rate=0.03, epochs=8).configs[0].phases[0]
        )
        return "diverged" if gone and config.seed == 1 and number == 5 else "complete"

    sweep = grid(batch_size=SIZES, learning_rate=RATES, epochs=8, seeds=3)
    advice = ask(write(store, sweep, status=best_diverges))
    assert "at learning rate 0.03: " not in said(advice)["Advice"].split("64")[1][:30]
    assert "Diverged with some seed" in said(advice)["Limits"]
    assert "batch size 64 at learning rate 0.03" in said(advice)["Limits"]
    crosses = landscape(advice, "t")["heat_map"].to_dict()
    assert "M-1,-1L1,1M1,-1L-1,1" in json.dumps(crosses)


def test_a_target_is_reached_in_steps_that_shrink_perfectly(store):
    """All batch sizes reach the target at one part of their epochs."""

    def same(config, part):
        return 0.9 * part

    sweep = grid(batch_size=SIZES, learning_rate=0.1, epochs=10, seeds=2)
    advice = ask(write(store, sweep, acc=same), target=0.45)
    reached = advice.to_target.set_index(["unit", "batch_size"])["mean"]
    for (
        size
    ) in SIZES:  # half of 10 epochs; 6400 samples are whole steps of all but 1024
        assert reached["epochs", size] == pytest.approx(5)
        assert reached["steps", size] == pytest.approx(5 * math.ceil(6400 / size))
        assert reached["seconds", size] == pytest.approx(5 * 1000 / size**0.5)
    perfect = advice.to_target.set_index(["unit", "batch_size"])["perfect"]
    assert perfect["steps", 1024] == pytest.approx(2000 / 64)
    assert perfect["epochs", 1024] == pytest.approx(5)
    assert "up to 1024, the largest" in said(advice)["Evidence"]


def test_between_two_epochs_accuracy_is_linear():
    trial = pd.DataFrame(
        {
            "epoch": [0, 1, 2],
            "test_accuracy": [10.0, 50.0, 90.0],
            "samples_seen": [0, 100, 200],
            "step": [0, 25, 50],
            "training_seconds": [0.0, 2.0, 6.0],
            "num_samples": [100] * 3,
        }
    )
    expected = {"epochs": 1.25, "steps": 31.25, "seconds": 3.0}
    assert _crossing(trial, 60.0) == pytest.approx(expected)
    assert _crossing(trial, 50.0)["steps"] == 25
    assert _crossing(trial, 5.0)["steps"] == 0
    assert all(map(math.isnan, _crossing(trial, 95.0).values()))
    old = trial.assign(num_samples=None)  # of an older raybs
    assert _crossing(old, 60.0) == pytest.approx(expected)


def test_trials_that_stop_at_a_goal_are_compared_by_when_they_reach_it(store):
    def slower_when_larger(config, part):
        return 0.97 * part ** (config.phases[0].batch_size / 256)

    sweep = grid(
        batch_size=[64, 256],
        learning_rate=[0.03, 0.1],
        epochs=8,
        seeds=2,
        until={"test_accuracy": 0.6},
    )
    advice = ask(write(store, sweep, acc=slower_when_larger))
    assert advice.goal == {"test_accuracy": 0.6}
    assert advice.target == 60.0
    # 64: (part) ** 0.25 * 0.97 is above 0.6 after 2 of 8 epochs; 256 after 5.
    steps = advice.points.set_index(["batch_size", "learning_rate"])["steps"]
    assert steps[64, 0.03] == 2 * 100
    assert steps[256, 0.03] == 5 * 25
    text = said(advice)
    assert "batch size 64" in text["Advice"]
    assert (
        "it reaches 60 % test accuracy soonest, in 250 s of training and 200 steps"
        in (text["Advice"])
    )
    assert "batch size 256 at learning rate 0.03 takes the fewest steps" in (
        text["Evidence"].lower()
    )
    assert "what they could reach is not known" in text["Limits"]


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"steps": 300}, "300 steps: batch size 1024 saw 64 times the samples of 16"),
        ({"samples": 12800}, "12800 samples: 800 steps at batch size 16, 14 at 1024"),
        (
            {"seconds": 200, "epochs": 2},
            "200 s, at most 2 epochs, on this hardware: on other it may differ. 24 of",
        ),
    ],
)
def test_the_budget_is_said(store, budget, words):
    sentences = said(ask(bowl(store, **({"epochs": None} | budget))))
    assert words in sentences["Limits"]


def test_different_budgets_and_datasets_are_different_questions(store):
    sweep = grid(batch_size=SIZES, learning_rate=RATES, epochs=[2, 4], seeds=1)
    write(store, sweep)
    answers = analysis.advise(only(analysis.load(store), "grid"))
    assert [advice.title for advice in answers] == ["2 epochs", "4 epochs"]


def test_optimizers_are_settings_of_one_question(store):
    sweep = grid(
        batch_size=SIZES, learning_rate=RATES, epochs=4, optimizer=["sgd", "adam"]
    )
    advice = ask(write(store, sweep))
    assert set(advice.points["setting"]) == {"sgd", "adam"}
    assert len(advice.points[advice.points["best"]]) == 8
    assert "(sgd)" in said(advice)["Advice"] or "(adam)" in said(advice)["Advice"]


def test_what_compares_no_batch_sizes_asks_no_question(store):
    write(store, grid(batch_size=64, learning_rate=RATES, epochs=2))
    assert analysis.advise(only(analysis.load(store), "grid")) == []


def test_a_paired_interval_is_students(store):
    advice = ask(bowl(store))
    points = advice.points.set_index(["batch_size", "learning_rate"], drop=False)
    one, other = points.loc[256, 0.03].to_dict(), points.loc[64, 0.03].to_dict()
    ends = advice.trials.set_index(["batch_size", "learning_rate", "seed"])[
        "final_test_accuracy"
    ]
    pairs = [100 * (ends[256, 0.03, s] - ends[64, 0.03, s]) for s in range(3)]
    expected = stats.ttest_1samp(pairs, 0).confidence_interval(0.95)
    assert paired(advice.trials, one, other) == (
        pytest.approx(np.mean(pairs)),
        pytest.approx(expected.low),
        pytest.approx(expected.high),
        3,
        pytest.approx(np.std(pairs, ddof=1)),
    )


def test_the_front_is_what_nothing_dominates(store):
    front = ask(bowl(store)).front
    for point in front.to_dict("records"):
        others = front[
            (front["accuracy"] >= point["accuracy"])
            & (front["seconds"] <= point["seconds"])
        ]
        same = others[["accuracy", "seconds"]].drop_duplicates()
        assert point["on_front"] == (len(same) == 1)


def test_every_field_that_a_chart_reads_is_a_column_with_values(store):
    advice = ask(bowl(store, optimizer=["sgd", "adam"]))
    charts = landscape(advice, "title")
    assert set(charts) == {"heat_map", "accuracy", "to_target", "front"}
    for chart in charts.values():
        check_fields(chart, 5)


def test_the_command_writes_advice_and_charts(store, tmp_path):
    bowl(store)
    out = tmp_path / "out"
    arguments = [store.uri, "grid", "--target", "0.9", "--figures", str(out)]
    result = CliRunner().invoke(advise_command, arguments)
    assert result.exit_code == 0, result.output
    assert "Train with batch size 64 at learning rate 0.03" in result.output
    text = (out / "grid/advice.md").read_text()
    assert "- Train with batch size 64" in text
    assert "To 90 %" in text
    names = ("heat_map", "accuracy", "to_target", "front")
    assert {path.name for path in (out / "grid").iterdir()} == {
        "advice.md",
        *(
            f"{n}.{kind}"
            for n, kind in itertools.product(names, ("html", "png", "svg"))
        ),
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["grid"], "nothing to advise on; run a grid first"),
        (["other"], "No sweep 'other'"),
        (["--target", "97"], "target=97; give a fraction above 0, up to 1: 0.97 for"),
        (["--target", "nan"], "'nan' is no finite number"),
        (["--target", "\u0660.\u0669"], "is no finite number"),
        (["--margin", "1_6"], "'1_6' is no finite number"),
        (["--target", "-1"], "target=-1; give a fraction"),
    ],
)
def test_what_cannot_be_advised_on_is_exit_2(store, arguments, words):
    write(store, grid(batch_size=64, learning_rate=0.1, epochs=1))
    result = CliRunner().invoke(advise_command, [store.uri, *arguments])
    assert result.exit_code == 2, result.output
    assert words in result.output


def test_no_results_are_exit_2(tmp_path):
    result = CliRunner().invoke(advise_command, [str(tmp_path / "none")])
    assert result.exit_code == 2
    assert "No results in" in result.output


def test_an_unfinished_grid_is_advised_on_with_what_has_ended(store):
    sweep = grid(batch_size=SIZES, learning_rate=RATES, epochs=4)
    record(store, "grid", sweep, training_samples={"mnist": NUM_SAMPLES})
    assert analysis.advise(only(analysis.load(store), "grid")) == []
    write(store, grid(batch_size=[16, 64], learning_rate=RATES, epochs=4), name="half")
    sentences = said(ask(store))
    assert "8 of 16 trials have not ended" in sentences["Limits"]


def test_a_sweep_of_several_batch_sizes_ends_with_these_charts(store):
    bowl(store)
    frames = only(analysis.load(store), "grid")
    assert set(figures(frames)) == {"curves", "distance"}


def test_a_point_that_one_seed_did_not_bring_to_the_goal_is_never_best(store):
    def luck(config, part):
        return (
            0.9 if config.seed or config.phases[0].batch_size == 16 else 0.75
        ) * part

    sweep = two_sizes(seeds=2, until={"test_accuracy": 0.8})
    advice = ask(write(store, sweep, acc=luck))
    best = advice.points[advice.points["best"]]
    assert best["batch_size"].tolist() == [16]
    text = said(advice)
    assert "all seeds of batch size 64 reach 80 %" in text["Evidence"]
    assert "with no rate did trials of other batch sizes" not in text["Limits"]
    assert "Batch size 16 is the smallest tried" in text["Limits"]


def test_a_loss_is_a_goal_too(store):
    sweep = two_sizes(until={"seconds": 10**6, "test_loss": 0.2})
    advice = ask(write(store, sweep))
    assert advice.goal == {"test_loss": 0.2}
    assert "reaches a test loss of 0.2 soonest" in said(advice)["Advice"]


def test_a_warm_up_is_named_by_the_rate_that_it_rises_to(store):
    sweep = grid(
        batch_size=SIZES, learning_rate=[0.03, 0.1], epochs=8, warm_up=[0, 5], seeds=2
    )
    advice = ask(write(store, sweep, acc=lambda config, part: 0.9 * part))
    assert set(advice.points["learning_rate"]) == {0.03, 0.1}
    names = set(advice.points["setting"])
    assert len(names) == 2
    assert "constant" in names
    assert all(len(name) < 60 for name in names)


def test_advice_on_several_sweeps_at_once_is_refused(store):
    bowl(store)
    write(store, grid(batch_size=SIZES, learning_rate=RATES, epochs=8), name="again")
    with pytest.raises(ValueError, match="Advice is of one sweep.*again, grid"):
        analysis.advise(analysis.load(store))


def test_where_all_diverged_there_is_no_advice_and_that_is_said(store):
    sweep = grid(batch_size=SIZES, learning_rate=RATES, epochs=2)
    write(store, sweep, status=lambda config, number: "diverged")
    result = CliRunner().invoke(advise_command, [store.uri])
    assert result.exit_code == 2
    assert "No advice: of no two batch sizes" in result.output


def noisy(ends, wobble=0.01):
    """Accuracies `ends` by batch size; each seed shifts each size by its own luck."""

    def accuracy(config, part):
        size, seed = config.phases[0].batch_size, config.seed
        luck = wobble * ((seed * size + seed) % 5 - 2)
        return (ends[size] + luck) * (1 - math.exp(-12 * part))

    return accuracy


def test_what_cannot_be_told_apart_has_no_winner(store):
    """16 and 64 trade places by seed, 1024 is far below: a tie, and the soonest of it.

    1024 is the soonest to end, and never advised for that.
    """
    sweep = grid(batch_size=[16, 64, 1024], learning_rate=0.1, epochs=8, seeds=5)
    ends = {16: 0.93, 64: 0.932, 1024: 0.6}
    advice = ask(write(store, sweep, acc=noisy(ends)), target=0.88)
    text = said(advice)
    assert "Batch size 16 at learning rate 0.1 ends highest" in text["Advice"]
    assert "but 5 seeds cannot tell it from batch size 64." in text["Advice"]
    assert "Train with" not in text["Advice"]
    assert "1024" not in text["Advice"]
    seconds = advice.to_target[advice.to_target["unit"] == "seconds"]
    soonest = seconds.set_index("batch_size")["mean"]
    assert soonest.idxmin() == 64
    assert f"gets to 88 % soonest, after {soonest[64]:.0f} s of" in text["Advice"]


def test_one_seed_picks_no_winner_and_speed_is_what_the_chart_shows(store):
    """1024 ends soonest, by far; to the target it is the slowest."""

    def slow_start(config, part):
        late = config.phases[0].batch_size == 1024
        return 0.95 * (part**4 if late else 1 - math.exp(-12 * part))

    sweep = grid(batch_size=[64, 1024], learning_rate=0.1, epochs=8)
    spent = {64: 10.0, 1024: 9.0}
    advice = ask(
        write(
            store,
            sweep,
            acc=slow_start,
            seconds=lambda epoch: spent[epoch.batch_size],
        )
    )
    seconds = advice.points.set_index("batch_size")["seconds"]
    assert seconds[1024] < seconds[64]
    to_target = advice.to_target[advice.to_target["unit"] == "seconds"]
    assert to_target.set_index("batch_size")["mean"].idxmin() == 64
    text = said(advice)
    tied = "Batch size 1024 at learning rate 0.1 ends highest"
    assert tied in text["Advice"]
    assert "but one seed cannot tell it from batch size 64." in text["Advice"]
    assert "Batch size 64 at learning rate 0.1 gets to 94 % soonest" in text["Advice"]


def test_where_none_reaches_the_target_that_is_said(store):
    sweep = grid(batch_size=[16, 64], learning_rate=0.1, epochs=8, seeds=1)
    text = said(ask(write(store, sweep), target=0.99))
    assert "None of them gets to 99 % with all seeds" in text["Advice"]


def test_what_is_sooner_but_ends_lower_is_told(store):
    """The chart shows 1024 first at the target; the advice says what that costs."""

    def fast_but_low(config, part):
        low = config.phases[0].batch_size == 1024
        return (0.94 if low else 0.95) * (1 - math.exp(-12 * part)) + config.seed / 1e5

    sweep = grid(batch_size=[64, 1024], learning_rate=0.1, epochs=8, seeds=3)
    advice = ask(write(store, sweep, acc=fast_but_low), target=0.9)
    text = said(advice)
    assert "Train with batch size 64" in text["Advice"]
    said_so = "Batch size 1024 at learning rate 0.1 gets to 90 % sooner, after "
    assert said_so in text["Evidence"]
    assert "but ends lower: -1.00 points (-1.00 to -1.00) against" in text["Evidence"]


def test_goals_reached_at_nearly_one_time_have_no_winner(store):
    turns = itertools.count()

    sweep = two_sizes(seeds=4, until={"test_accuracy": 0.8})
    write(store, sweep, seconds=lambda epoch: 10 + 7919 * next(turns) % 5)
    text = said(ask(store))
    assert "reaches 80 % test accuracy soonest" in text["Advice"]
    assert "but 4 seeds cannot tell it from batch size" in text["Advice"]


def test_a_goal_that_is_met_before_training_is_advised_on(store):
    sweep = grid(
        batch_size=[16, 64],
        learning_rate=0.1,
        epochs=2,
        seeds=2,
        until={"test_accuracy": 0.01},
    )
    advice = ask(write(store, sweep))
    assert advice.points["seconds"].tolist() == [0.0, 0.0]
    assert "cannot tell it from batch size" in said(advice)["Advice"]
    landscape(advice, "t")


def test_of_one_batch_size_a_rate_that_is_tied_but_far_is_not_called_close(store):
    """64 at 0.3 starts fast, varies, and ends 0.9 points below 64 at 0.1."""

    def accuracy(config, part):
        [phase] = config.phases
        if phase.batch_size == 16:
            return 0.5 * part
        if phase.learning_rate == 0.1:
            return 0.95 * (1 - math.exp(-6 * part))
        return (0.941 + 0.01 * (-1) ** config.seed) * (1 - math.exp(-20 * part))

    sweep = grid(batch_size=[16, 64], learning_rate=[0.1, 0.3], epochs=8, seeds=3)
    text = said(ask(write(store, sweep, acc=accuracy), target=0.9))
    assert "Train with batch size 64 at learning rate 0.1" in text["Advice"]
    assert "within" not in text["Advice"]
    assert "0.3 gets to 90 % sooner" in text["Evidence"]


def test_a_rate_that_diverged_with_some_seed_is_never_called_sooner(store):
    def fast(config, part):
        return 0.95 * (1 - math.exp(-config.phases[0].learning_rate * 100 * part))

    def one_seed_diverges(config, number):
        gone = config.phases[0].learning_rate == 0.3 and config.seed and number == 7
        return "diverged" if gone else "complete"

    sweep = grid(batch_size=[16, 64], learning_rate=[0.1, 0.3], epochs=8, seeds=2)
    write(store, sweep, acc=fast, status=one_seed_diverges)
    assert "sooner" not in said(ask(store, target=0.9))["Evidence"]


def test_batch_sizes_are_compared_with_the_highest_alone(store):
    """128 and 256 differ for sure; neither can be told from 64, which varies."""

    def accuracy(config, part):
        size, seed = config.phases[0].batch_size, config.seed
        end = {64: 0.95 + 0.02 * (-1) ** seed, 128: 0.947, 256: 0.94}[size]
        return end * (1 - math.exp(-12 * part))

    sweep = grid(batch_size=[64, 128, 256], learning_rate=0.1, epochs=8, seeds=3)
    text = said(ask(write(store, sweep, acc=accuracy)))
    assert "3 seeds cannot tell it from batch sizes 128 and 256." in text["Advice"]
    assert "cannot be told apart" not in text["Advice"]


def test_networks_are_settings_and_what_one_has_not_is_not_named(store):
    sweep = grid(
        batch_size=[16, 64],
        learning_rate=[0.01, 0.1],
        epochs=2,
        model=["mlp", "cnn"],
        hidden=[[8], [16]],
    )
    write(store, sweep)
    settings = {point.setting for point in ask(store).points.itertuples()}
    assert settings == {"mlp, hidden 8", "mlp, hidden 16", "cnn"}


def test_moments_that_follow_the_batch_size_are_no_setting_and_others_are(store):
    options = {"batch_size": [16, 64], "learning_rate": [0.001, 0.01], "epochs": 2}
    rule = {"optimizer": "adam", "learning_rate_rule": "adam_sde"}
    write(store, grid(**options, **rule, base_batch_size=16), name="rule")
    assert {*ask(store, "rule").points["setting"]} == {""}
    write(store, grid(**options, optimizer="adam", beta2=[0.99, 0.999]), name="two")
    assert {*ask(store, "two").points["setting"]} == {"beta2 0.99", "beta2 0.999"}
