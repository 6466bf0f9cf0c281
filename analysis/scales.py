"""Scales that keep intervals of means where their quantity can be.

An interval is Student's t on a scale without ends, taken back: the logit for what lies
between two bounds (accuracies, their differences, cosines), the logarithm for what is
positive (losses, distances, norms, seconds). The deviation goes to that scale by its
slope at the mean (the delta method), so the mean itself always lies inside, values at a
bound are no trouble, and where the deviation is small nothing changes.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit


@dataclass(frozen=True)
class Scale:
    """What a quantity lies between; a finite `high` has a finite `low`."""

    low: float = -math.inf
    high: float = math.inf

    def to_line(self, value: Any) -> Any:
        """Take a value, or an array, to the whole line: -inf and inf at the bounds."""
        with np.errstate(all="ignore"):
            if math.isfinite(self.high):
                return np.log(np.subtract(value, self.low)) - np.log(
                    np.subtract(self.high, value)
                )
            if math.isfinite(self.low):
                return np.log(np.subtract(value, self.low))
        return value

    def from_line(self, value: Any) -> Any:
        """Take a value, or an array, back from the whole line."""
        if math.isfinite(self.high):
            return self.low + (self.high - self.low) * expit(value)
        if math.isfinite(self.low):
            return self.low + np.exp(value)
        return value

    def slope(self, value: Any) -> Any:
        """Return the derivative of `to_line`."""
        with np.errstate(all="ignore"):
            if math.isfinite(self.high):
                inside = np.subtract(value, self.low) * np.subtract(self.high, value)
                return np.divide(self.high - self.low, inside)
            if math.isfinite(self.low):
                return np.divide(1.0, np.subtract(value, self.low))
        return np.ones_like(value, dtype=float)

    def interval(self, mean: Any, half: Any) -> tuple[Any, Any]:
        """Return both ends around `mean`, where the line's would be `half` away.

        What has no width, or lies outside of the scale, keeps its own ends.
        """
        inside = (mean > self.low) & (mean < self.high) & (half > 0)
        with np.errstate(all="ignore"):
            center, reach = self.to_line(mean), half * self.slope(mean)
            lower = np.where(inside, self.from_line(center - reach), mean - half)
            upper = np.where(inside, self.from_line(center + reach), mean + half)
        return lower[()], upper[()]


REAL = Scale()

POSITIVE = Scale(0)

PERCENTAGE = Scale(0, 100)

POINTS = Scale(-100, 100)

COSINE = Scale(-1, 1)
"""What has bounds: losses and lengths, accuracies, their differences, cosines."""
