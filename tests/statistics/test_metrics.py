import pyarrow as pa
import pytest

from analysis.metrics import METRICS, metric_of
from analysis.scales import POINTS, POSITIVE, REAL
from raybs.store.schemas import DRAW_COLUMNS, ROW_SCHEMA

MEASURED = [
    field.name
    for field in ROW_SCHEMA
    if pa.float64() in (field.type, getattr(field.type, "value_type", None))
]


@pytest.mark.parametrize("column", [*MEASURED, *DRAW_COLUMNS])
def test_every_measured_column_is_in_the_table(column):
    """One that is not would be taken as a number without bounds."""
    assert column in METRICS


def test_only_columns_of_lists_have_a_number_per_layer():
    lists = {f.name for f in ROW_SCHEMA if pa.types.is_list(f.type)}
    assert {name for name, metric in METRICS.items() if metric.is_per_layer} == lists


def test_a_trial_ends_with_the_metric_of_its_rows():
    assert metric_of("final_test_accuracy") is metric_of("test_accuracy")
    assert metric_of("final_test_accuracy").title == "test accuracy (%)"


def test_a_column_that_is_not_in_the_table_is_a_plain_number():
    rate = metric_of("learning_rate")
    assert (rate.words, rate.factor, rate.scale) == ("learning rate", 1, REAL)


def test_differences_and_ratios_of_accuracies_have_their_own_bounds():
    accuracy = metric_of("train_accuracy")
    assert accuracy.scale_of_difference == POINTS
    assert accuracy.scale_of_ratio == POSITIVE
    assert metric_of("cosine_to_init").scale_of_ratio == REAL
