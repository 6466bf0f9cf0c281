"""Intervals stay where their quantity can be, and are Student's where nothing bends."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis.claims.claim import Contrast
from analysis.claims.evidence import scale_of
from analysis.scales import COSINE, PERCENTAGE, POINTS, POSITIVE, REAL
from analysis.statistics.intervals import half_width, summarize_seeds

BOUNDED = {"per cent": PERCENTAGE, "points": POINTS, "cosine": COSINE}


def test_two_seeds_at_94_per_cent_stay_below_100():
    """By Student's t alone: 68.59 to 119.41."""
    half = float(half_width(2.0 * 2**0.5, 2))
    assert (94 - half, 94 + half) == pytest.approx((68.59, 119.41), abs=0.01)
    lower, upper = PERCENTAGE.interval(94.0, half)
    # logit(0.94) = 2.751535, slope 1 / (94 * 0.06) = 0.177305, reach 4.505...
    reach = half / (94 * 0.06)
    twin = [100 / (1 + math.exp(-(2.751535 + sign * reach))) for sign in (-1, 1)]
    assert (lower, upper) == pytest.approx(twin, abs=1e-4)
    assert 0 < lower < 94 < upper < 100


def test_a_loss_has_an_interval_by_factors():
    lower, upper = POSITIVE.interval(0.2, 0.3)
    assert (lower, upper) == pytest.approx((0.2 * math.exp(-1.5), 0.2 * math.exp(1.5)))


@pytest.mark.parametrize("name", BOUNDED)
@given(data=st.data())
def test_an_interval_holds_its_mean_and_keeps_its_bounds(name, data):
    scale = BOUNDED[name]
    inside = st.floats(scale.low, scale.high, allow_subnormal=False)
    values = np.array(data.draw(st.lists(inside, min_size=2, max_size=9)))
    mean = float(values.mean())
    half = float(half_width(values.std(ddof=1), len(values)))
    lower, upper = scale.interval(mean, half)
    rounding = 1e-9 * (scale.high - scale.low)
    assert scale.low - rounding <= lower <= mean + rounding
    assert mean - rounding <= upper <= scale.high + rounding


# Training has switched off the smallest numbers, in all of its process.
@given(st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=2, max_size=9))
def test_an_interval_of_what_is_positive_is_positive(values):
    mean = float(np.mean(values))
    half = float(half_width(np.std(values, ddof=1), len(values)))
    lower, upper = POSITIVE.interval(mean, half)
    assert 0 <= lower <= mean * (1 + 1e-9)
    assert upper >= mean * (1 - 1e-9)


@pytest.mark.parametrize("scale", [REAL, POSITIVE, PERCENTAGE, POINTS])
def test_a_narrow_interval_is_students(scale):
    values = np.array([50.01, 50.02, 49.99, 50.0])
    student = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    half = float(half_width(values.std(ddof=1), 4))
    lower, upper = scale.interval(values.mean(), half)
    assert (lower, upper) == pytest.approx((student.low, student.high), abs=2e-4)


@pytest.mark.parametrize("value", [0.0, 100.0])
def test_all_seeds_on_a_bound_have_an_interval_of_no_width(value):
    assert PERCENTAGE.interval(value, 0.0) == (value, value)


def test_what_lies_outside_of_its_scale_keeps_a_plain_interval():
    """A loss of one's own may be negative."""
    assert POSITIVE.interval(-1.0, 2.0) == (-3.0, 1.0)


def test_one_seed_has_the_mean_for_both_ends():
    long = pd.DataFrame({"label": ["a"], "seed": [0], "value": [97.0]})
    [row] = summarize_seeds(long, PERCENTAGE).to_dict("records")
    assert (row["lower"], row["mean"], row["upper"]) == (97.0, 97.0, 97.0)


def test_each_metric_is_summarized_on_its_own_scale():
    long = pd.DataFrame(
        {
            "metric": ["acc", "acc", "loss", "loss"],
            "seed": [0, 1, 0, 1],
            "value": [90.0, 98.0, 0.1, 0.4],
        }
    )
    summary = summarize_seeds(long, {"acc": PERCENTAGE, "loss": POSITIVE}).set_index(
        "metric"
    )
    assert summary.loc["acc", "upper"] < 100
    assert summary.loc["loss", "lower"] > 0
    assert summarize_seeds(long[:0], {"acc": PERCENTAGE}).empty


@pytest.mark.parametrize(
    ("contrast", "scale"),
    [
        (Contrast(metric="final_test_accuracy", of="a"), PERCENTAGE),
        (Contrast(metric="final_test_accuracy", of="a", minus="b"), POINTS),
        (Contrast(metric="final_test_accuracy", of="a", over="b"), POSITIVE),
        (Contrast(metric="final_generalization_gap", of="a"), POINTS),
        (Contrast(metric="final_train_loss", of="a"), POSITIVE),
        (Contrast(metric="final_train_loss", of="a", minus="b"), REAL),
        (Contrast(metric="final_cosine_to_init", of="a", layer=1), COSINE),
        (Contrast(metric="final_weight_norm", of="a", over="b"), POSITIVE),
        (Contrast(metric="weight_norm_growth", of="a"), POSITIVE),
        (Contrast(metric="distance_over_halfway", of="a"), POSITIVE),
        (Contrast(metric="norm", regime="early", power_of=(1, 2)), REAL),
    ],
)
def test_the_scale_of_a_contrast(contrast, scale):
    assert scale_of(contrast) == scale


@pytest.mark.parametrize("mean", [98.0, 99.7])
def test_nineteen_of_twenty_intervals_hold_the_mean(mean):
    """Accuracies of 5 seeds, as MNIST has them; 99.7 is where the scale bends."""
    rng = np.random.default_rng(0)
    shares = rng.beta(mean * 40, (100 - mean) * 40, (2000, 5))
    values = 100 * shares
    half = half_width(values.std(axis=1, ddof=1), 5)
    lower, upper = PERCENTAGE.interval(values.mean(axis=1), half)
    assert np.mean((lower <= mean) & (mean <= upper)) == pytest.approx(0.95, abs=0.015)
