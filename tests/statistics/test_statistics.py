"""What draws say, against numbers and distributions that are known."""

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.frames.bins import bin_entries, bin_norms
from analysis.statistics.fits import fit_powers, fit_squares
from analysis.statistics.moments import summarize_draws, summarize_entries
from analysis.statistics.variance import split_variance
from raybs.gradients.sums import Sums, flat
from raybs.models.state import State
from raybs.store.histogram import count_bins, edges

SIZES = (1, 4, 16, 64)


def draws(values, **fields):
    """A frame of independent draws: `values` by (regime, batch_size)."""
    rows = [
        {
            "regime": regime,
            "batch_size": size,
            "sample_set": number,
            "order": number,
            "independent": True,
            "status": "complete",
            "norm": float(value),
        }
        for (regime, size), norms in values.items()
        for number, value in enumerate(norms)
    ]
    return pd.DataFrame(rows).assign(**fields)


def test_moments_and_the_articles_bars_are_the_literal_ones():
    frame = draws({("early", 1): [1, 2, 3], ("early", 4): [4, 4, 10]})
    small, large = summarize_draws(frame, "norm").to_dict("records")
    assert (small["mean"], large["mean"]) == (2, 6)
    assert small["deviation"] == pytest.approx(np.sqrt(2 / 3))
    assert large["deviation"] == pytest.approx(np.sqrt(8))
    assert small["normalized_mean"] == large["normalized_mean"] == 6
    assert small["normalized_deviation"] == pytest.approx(3 * np.sqrt(2 / 3))
    assert small["relative_deviation"] == pytest.approx(np.sqrt(2 / 3) / 2)
    assert (small["skew"], small["num_draws"]) == (pytest.approx(0), 3)
    assert large["skew"] == pytest.approx(1 / np.sqrt(2))


def test_intervals_are_as_wide_as_theory_has_it():
    """Of a normal sample: s / sqrt(n) of the mean, s / sqrt(2 n) of the deviation."""
    rng = np.random.default_rng(1)
    [row] = summarize_draws(
        draws({("a", 1): rng.normal(100, 5, 1000)}), "norm"
    ).to_dict("records")
    error = row["deviation"] / np.sqrt(1000)
    width = row["mean_upper"] - row["mean_lower"]
    assert width == pytest.approx(2 * 1.96 * error, rel=0.08)
    width = row["deviation_upper"] - row["deviation_lower"]
    assert width == pytest.approx(2 * 1.96 * error / np.sqrt(2), rel=0.12)
    assert abs(row["kurtosis"]) < 0.5


@pytest.mark.slow
def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(200):
        [row] = summarize_draws(
            draws({("a", 1): rng.normal(10, 2, 80)}), "norm"
        ).to_dict("records")
        held += row["mean_lower"] <= 10 <= row["mean_upper"]
    assert 180 <= held <= 199  # 95 % of 200, less what 80 draws cost a bootstrap


def test_an_exact_power_is_found_exactly():
    shapes = np.array([0.9, 1.0, 1.1])
    frame = draws({("early", b): 3 * b**0.5 * shapes for b in SIZES})
    fits = fit_powers(frame, "norm").set_index("quantity")
    assert fits.loc["mean", "exponent"] == pytest.approx(0.5)
    assert fits.loc["mean", "factor"] == pytest.approx(3)
    assert fits.loc["deviation", "exponent"] == pytest.approx(0.5)
    assert fits.loc["relative deviation", "exponent"] == pytest.approx(0, abs=1e-12)
    # The sample sets are shared: resampled, all sizes move together.
    lower, upper = fits.loc["mean", ["lower", "upper"]]
    assert (lower, upper) == (pytest.approx(0.5), pytest.approx(0.5))


def test_a_noisy_power_is_found_within_its_interval():
    rng = np.random.default_rng(3)
    values = {("a", b): 2 * b**0.13 * rng.normal(1, 0.05, 300) for b in SIZES}
    fit = fit_powers(draws(values), "norm").iloc[0]
    assert fit["lower"] < 0.13 < fit["upper"]
    assert fit["upper"] - fit["lower"] < 0.01


@pytest.mark.parametrize(("power", "sign"), [(0.5, 0), (0.25, -1), (1.0, 1)])
def test_the_square_of_a_square_root_is_linear_and_that_of_others_bends(power, sign):
    rng = np.random.default_rng(4)
    noise = rng.normal(1, 0.01, 200)
    [fit] = fit_squares(
        draws({("a", b): 5 * b**power * noise for b in SIZES}), "norm"
    ).to_dict("records")
    if sign:
        assert np.sign(fit["bend"]) == np.sign(fit["lower"]) == np.sign(fit["upper"])
    assert np.sign(round(fit["bend"], 6)) == sign
    assert fit["r2"] == pytest.approx(1) if not sign else fit["r2"] < 0.999


def test_fewer_than_three_batch_sizes_have_no_fit():
    frame = draws({("a", b): [1.0, 2.0] for b in (1, 2)})
    assert fit_powers(frame, "norm").empty
    assert fit_squares(frame, "norm").empty


def crossed(grid):
    rows = [
        {"sample_set": a, "order": b, "norm": float(value), "independent": a == b}
        for a, row in enumerate(grid)
        for b, value in enumerate(row)
    ]
    # Independent draws beyond the grid, as a sweep has them.
    rows += [
        {"sample_set": n, "order": n, "norm": 0.0, "independent": True}
        for n in range(len(grid), len(grid) + 5)
    ]
    constant = {"regime": "a", "batch_size": 8, "status": "complete"}
    return pd.DataFrame(rows).assign(**constant)


def shares(grid):
    return split_variance(crossed(grid), "norm").set_index("part")


def test_variance_is_split_by_what_it_is_due_to():
    rng = np.random.default_rng(5)
    sets, orders = rng.normal(size=(30, 1)), rng.normal(size=(1, 20))
    both = rng.normal(size=(30, 20))
    zero = np.zeros((30, 20))
    assert shares(sets + zero)["share"]["samples"] == pytest.approx(1)
    assert shares(orders + zero)["share"]["order"] == pytest.approx(1)
    assert shares(both)["share"]["interaction"] > 0.9
    split = shares(10 + 3 * sets + 2 * orders + 1 * both)
    truth = {"samples": 9 / 14, "order": 4 / 14, "interaction": 1 / 14}
    for part, share in truth.items():
        assert split["lower"][part] < share < split["upper"][part]
    assert split["variance"]["interaction"] == pytest.approx(1, rel=0.15)
    assert set(split["num_sets"]) == {30}
    assert set(split["num_orders"]) == {20}


def test_a_grid_with_holes_is_not_split():
    frame = crossed(np.random.default_rng(6).normal(size=(4, 4)))
    frame.loc[1, "status"] = "diverged"
    assert split_variance(frame, "norm").empty
    independent = frame[frame["independent"]]
    assert split_variance(independent, "norm").empty


def histogram(values, **fields):
    counts = count_bins(values)
    bins = counts.nonzero()[0]
    lower, upper = edges(bins)
    frame = pd.DataFrame({"lower": lower, "upper": upper, "count": counts[bins]})
    return frame.assign(**{"regime": "a", "batch_size": 1, "num_draws": 10} | fields)


def test_tails_are_exact_and_moments_nearly():
    values = np.random.default_rng(7).standard_t(8, 100_000).astype(np.float32) * 2
    row = summarize_entries(histogram(values)).iloc[0]
    for threshold in (1, 2, 4, 8, 16):
        expected = (abs(values) >= threshold).sum() / 10
        assert row[f"beyond_{threshold}"] == expected
    assert row["deviation"] == pytest.approx(values.std(), rel=1e-3)
    fourth = ((values - values.mean()) ** 4).mean() / values.var() ** 2 - 3
    assert row["kurtosis"] == pytest.approx(fourth, rel=0.02)


def test_binned_entries_and_norms_keep_their_counts():
    values = np.random.default_rng(8).normal(0, 3, 5000).astype(np.float32)
    both = pd.concat([histogram(values), histogram(values / 4, batch_size=2)])
    bins = bin_entries(both)
    assert bins.groupby("batch_size")["count"].sum().tolist() == [5000, 5000]
    assert bins["upper"].max() <= abs(values).max() * 1.01
    frame = draws({("a", 1): [1.0, 2.21, 4.0], ("a", 2): [10.0, 22.1, 40.0]})
    for normalized in (False, True):
        binned = bin_norms(frame, "norm", normalized=normalized)
        sums = binned.groupby("batch_size")["share"].sum().tolist()
        assert sums == [pytest.approx(1)] * 2
    # Normalized, both cells are the same numbers.
    one, two = (cell for _, cell in binned.groupby("batch_size"))
    assert one["lower"].tolist() == pytest.approx(two["lower"].tolist())


def test_gradients_of_known_mean_and_covariance_have_the_norms_they_must():
    """Each step's gradient is m + noise of deviation s per entry, over n samples.

    Then E|sum g|^2 = K^2 |m|^2 + K s^2 d, and the entries are normal.
    """
    rng = np.random.default_rng(9)
    out, size, num_steps, num_samples = 10, 32, 16, 4
    mean = rng.normal(0, 0.3, (out, size))
    state = State(
        weights=[torch.zeros(1, out, size)], biases=[torch.zeros(1, 1, out)], moments={}
    )
    sums = Sums(state, (0,))
    squares, entries = [], []
    for _ in range(400):
        sums.reset()
        gradients = mean + rng.normal(0, 1.0, (num_steps, out, size))
        # One sample in each step carries the step's summed gradient, row by row.
        delta = np.zeros((num_steps, num_samples, out), np.float32)
        inputs = np.zeros((num_steps, num_samples, size), np.float32)
        for row in range(out):  # a gradient of rank 1 at a time
            delta[:] = inputs[:] = 0
            delta[:, 0, row] = num_samples
            inputs[:, 0] = gradients[:, row]
            deltas, activations = (
                torch.from_numpy(x.reshape(1, -1, x.shape[2])) for x in (delta, inputs)
            )
            sums.observe(0, deltas, activations, num_samples)
        sums.end_call()
        squares.append(float(flat(sums.summed).double().norm() ** 2))
        entries.append(flat(sums.weighted).numpy().ravel())
    expected = num_steps**2 * (mean**2).sum() + num_steps * mean.size
    assert np.mean(squares) == pytest.approx(expected, rel=0.02)
    values = np.stack(entries)
    assert values.mean(0) == pytest.approx(
        num_samples * num_steps * mean.ravel(), abs=5 * 16 / np.sqrt(400)
    )
    centered = (values - values.mean(0)).astype(np.float32)
    row = summarize_entries(histogram(centered, num_draws=400)).iloc[0]
    assert row["deviation"] == pytest.approx(num_samples * np.sqrt(num_steps), rel=0.02)
    assert row["kurtosis"] == pytest.approx(0, abs=0.05)
