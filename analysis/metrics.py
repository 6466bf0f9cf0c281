"""What is measured, in one table: what each number is called, written and bounded by.

Everything that names a metric reads it: axes and tooltips, tables, verdicts, advice.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.scales import COSINE, PERCENTAGE, POINTS, POSITIVE, REAL, Scale

PER_CENT = "%"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that rows, trials or draws have.

    `words` are its name within a sentence. With `unit` "%" it is stored as a fraction;
    `scale` is what a mean of it lies between, in its unit. `format` writes it in
    sentences, `table_format` in tables of final numbers, where decimals stand below
    each other. `axis_title` and `column_title` are there where they are not the words
    and the unit.
    `is_per_layer`: there is a list of them, from the input to the output.
    """

    words: str
    unit: str = ""
    scale: Scale = REAL
    format: str = ".4g"
    table_format: str = ""
    axis_title: str = ""
    column_title: str = ""
    is_per_layer: bool = False

    @property
    def factor(self) -> int:
        """What takes a stored number to its unit."""
        return 100 if self.unit == PER_CENT else 1

    @property
    def title(self) -> str:
        """The title of an axis."""
        return self.axis_title or (
            f"{self.words} ({self.unit})" if self.unit else self.words
        )

    @property
    def is_accuracy(self) -> bool:
        """Whether it is a share of samples, so that 0 is as wrong as can be."""
        return self.scale == PERCENTAGE

    @property
    def scale_of_difference(self) -> Scale:
        """What the mean of differences lies between."""
        return POINTS if self.is_accuracy else REAL

    @property
    def scale_of_ratio(self) -> Scale:
        """What the mean of ratios lies between."""
        return POSITIVE if self.scale.low == 0 else REAL


METRICS: Mapping[str, Metric] = {
    # Of rows; final_* of trials.
    "train_accuracy": Metric(
        words="train accuracy", unit=PER_CENT, scale=PERCENTAGE, format=".2f"
    ),
    "test_accuracy": Metric(
        words="test accuracy",
        unit=PER_CENT,
        scale=PERCENTAGE,
        format=".2f",
        table_format=".2f",
    ),
    "train_loss": Metric(words="train loss", unit="nats", scale=POSITIVE),
    "test_loss": Metric(words="test loss", unit="nats", scale=POSITIVE),
    "generalization_gap": Metric(
        words="generalization gap", unit=PER_CENT, scale=POINTS
    ),
    "weight_distance": Metric(
        words="weight distance W",
        scale=POSITIVE,
        format=".3g",
        table_format=".2f",
        axis_title="weight distance from init (L2)",
        column_title="W",
    ),
    "bias_distance": Metric(
        words="bias distance B",
        scale=POSITIVE,
        format=".3g",
        table_format=".3f",
        column_title="B",
    ),
    "layer_distance": Metric(words="layer distance", scale=POSITIVE, is_per_layer=True),
    "weight_norm": Metric(
        words="weight norm",
        scale=POSITIVE,
        table_format=".1f",
        column_title="norm of W",
    ),
    "bias_norm": Metric(words="bias norm", scale=POSITIVE),
    "cosine_to_init": Metric(
        words="cosine to init",
        scale=COSINE,
        format=".3f",
        table_format=".3f",
        column_title="cosines",
        is_per_layer=True,
    ),
    "step": Metric(words="step", scale=POSITIVE),
    "seconds": Metric(words="seconds", scale=POSITIVE),
    "training_seconds": Metric(
        words="training seconds", scale=POSITIVE, axis_title="seconds of training"
    ),
    # Of trials.
    "initial_weight_norm": Metric(words="weight norm before training", scale=POSITIVE),
    "weight_norm_growth": Metric(
        words="weight norm, over that before training,", scale=POSITIVE, format=".3f"
    ),
    "distance_over_halfway": Metric(
        words="weight distance, over that half-way,", scale=POSITIVE, format=".3f"
    ),
    # Of draws.
    "sample_weighted_norm": Metric(
        words="norm |sum n g|",
        scale=POSITIVE,
        axis_title="|sum n g|, weighted by samples (the article's norm)",
    ),
    "summed_gradient_norm": Metric(
        words="summed gradient norm",
        scale=POSITIVE,
        axis_title="|sum g|, plain sum of the steps' gradients",
    ),
    "mean_gradient_norm": Metric(
        words="mean gradient norm",
        scale=POSITIVE,
        axis_title="|sum g| / steps, mean of the steps' gradients",
    ),
    "relative_spread": Metric(words="relative spread of the norm", format=".3g"),
    "path_length": Metric(words="path length", scale=POSITIVE),
    "straightness": Metric(
        words="straightness", axis_title="straightness |sum g| / sum |g|"
    ),
    "cosine_to_sample_gradient": Metric(
        words="cosine to sample gradient",
        scale=COSINE,
        axis_title="cosine to the draw's own gradient at the start",
    ),
    "cosine_to_full_gradient": Metric(
        words="cosine to full gradient",
        scale=COSINE,
        axis_title="cosine to the full training gradient at the start",
    ),
    "distance_moved": Metric(words="distance moved"),
    "largest_entry": Metric(words="largest entry", format=".3g"),
}
"""By column. All others are plain numbers, called as their column is."""


ACCURACY = METRICS["test_accuracy"]
"""What sweeps are compared by."""


def metric_of(column: str) -> Metric:
    """Return the metric of a column of rows, trials (also final_*) or draws."""
    name = column.removeprefix("final_")
    return METRICS.get(name) or Metric(words=name.replace("_", " "))
