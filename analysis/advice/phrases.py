"""How an advice says points, accuracies, efforts and differences."""

from analysis.advice.compare import Advice
from analysis.advice.pick import Difference, Row


def listed(values: list[int]) -> str:
    """Join as in '16, 64 and 256'."""
    *most, last = map(str, values)
    return f"{', '.join(most)} and {last}" if most else last


def goal_of(advice: Advice) -> str:
    """Say what trials stopped at: "97 % test accuracy", "a test loss of 0.1"."""
    said = [
        f"{100 * value:g} % {name.replace('_', ' ')}"
        if "accuracy" in name
        else f"a {name.replace('_', ' ')} of {value:g}"
        for name, value in advice.goal.items()
    ]
    return " or ".join(said)


def capitalized(text: str) -> str:
    """Begin with a capital letter."""
    return text[:1].upper() + text[1:]


def point_of(row: Row) -> str:
    """Name a point: its batch size, learning rate and setting."""
    said = f"batch size {row['batch_size']} at learning rate {row['learning_rate']:g}"
    return said + (f" ({row['setting']})" if row["setting"] else "")


def accuracy_of(row: Row) -> str:
    """Say where a point ends, with its interval."""
    if row["num_seeds"] < 2:
        return f"{row['mean']:.2f} % test accuracy (one seed)"
    return (
        f"{row['mean']:.2f} % test accuracy ({row['lower']:.2f} to {row['upper']:.2f}, "
        f"{row['num_seeds']} seeds)"
    )


def effort_of(row: Row) -> str:
    """Say what training took a point, in seconds and steps."""
    return f"in {seconds_of(row['seconds'])} of training and {row['steps']:,.0f} steps"


def seconds_of(seconds: float) -> str:
    """Write seconds, with few digits."""
    return f"{seconds:,.0f} s" if seconds >= 100 else f"{seconds:.3g} s"


def difference_of(apart: Difference) -> str:
    """Write a difference in points, with its interval."""
    if apart.num < 2:
        return f"{apart.mean:+.2f} points"
    return f"{apart.mean:+.2f} points ({apart.lower:+.2f} to {apart.upper:+.2f})"
