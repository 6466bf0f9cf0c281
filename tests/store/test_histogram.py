"""Bins shared by all data: they hold what they say, and add up exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raybs.store.histogram import NUM_BINS, count_bins, edges

# No subnormal numbers: other tests set this process to flush them to zero.
floats = st.floats(
    width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False
)
samples = arrays(np.float32, st.integers(0, 50), elements=floats)


@given(samples)
def test_every_number_lies_in_its_bin(values):
    for value in values:
        [bins] = count_bins(np.array([value], np.float32)).nonzero()[0:1]
        with np.errstate(over="ignore"):
            lower, upper = edges(bins)
        assert lower[0] <= value <= upper[0]
        size = abs(float(value))  # float32 may flush its products to zero
        if np.isfinite(upper[0] - lower[0]) and size > 1e-37:
            assert upper[0] - lower[0] <= size / 127


@given(samples, samples)
def test_histograms_add_up_exactly(one, other):
    together = count_bins(np.concatenate([one, other]))
    assert (count_bins(one) + count_bins(other) == together).all()
    assert together.sum() == len(one) + len(other)


@pytest.mark.parametrize("threshold", [0.25, 1.0, 8.0])
def test_counts_beyond_a_power_of_two_are_exact(threshold):
    values = np.random.default_rng(0).normal(0, 4, 10_000).astype(np.float32)
    values[:3] = threshold, -threshold, 0.0
    counts = count_bins(values)
    bins = np.arange(NUM_BINS)
    with np.errstate(over="ignore", invalid="ignore"):
        lower, upper = edges(bins)
    inner = np.minimum(abs(lower), abs(upper))
    assert counts[inner >= threshold].sum() == (abs(values) >= threshold).sum()
