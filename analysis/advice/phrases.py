"""How an advice says points, accuracies, efforts and differences."""

from analysis.advice.compare import Advice
from analysis.advice.pick import Difference
from analysis.advice.points import PointRow
from analysis.metrics import ACCURACY, METRICS


def listed(values: list[int]) -> str:
    """Join as in '16, 64 and 256'."""
    *most, last = map(str, values)
    return f"{', '.join(most)} and {last}" if most else last


def goal_of(advice: Advice) -> str:
    """Say what trials stopped at: "97 % test accuracy", "a test loss of 0.1"."""
    said = []
    for name, value in advice.goal.items():
        metric = METRICS[name]
        said.append(
            f"{metric.factor * value:g} % {metric.words}"
            if metric.is_accuracy
            else f"a {metric.words} of {value:g}"
        )
    return " or ".join(said)


def point_of(row: PointRow) -> str:
    """Name a point: its batch size, learning rate and setting."""
    said = f"batch size {row['batch_size']} at learning rate {row['learning_rate']:g}"
    return said + (f" ({row['setting']})" if row["setting"] else "")


def accuracy_of(row: PointRow) -> str:
    """Say where a point ends, with its interval."""
    form = ACCURACY.format
    said = f"{row['mean']:{form}} % {ACCURACY.words}"
    if row["num_seeds"] < 2:
        return f"{said} (one seed)"
    interval = f"{row['lower']:{form}} to {row['upper']:{form}}"
    return f"{said} ({interval}, {row['num_seeds']} seeds)"


def effort_of(row: PointRow) -> str:
    """Say what training took a point, in seconds and steps."""
    return f"in {seconds_of(row['seconds'])} of training and {row['steps']:,.0f} steps"


def seconds_of(seconds: float) -> str:
    """Write seconds, with few digits."""
    return f"{seconds:,.0f} s" if seconds >= 100 else f"{seconds:.3g} s"


def difference_of(apart: Difference) -> str:
    """Write a difference in points, with its interval."""
    form = f"+{ACCURACY.format}"
    said = f"{apart.mean:{form}} points"
    if apart.num < 2:
        return said
    return f"{said} ({apart.lower:{form}} to {apart.upper:{form}})"
