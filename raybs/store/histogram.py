"""Histograms whose bins are the same for all data, so that any two add up exactly.

A bin holds the float32 numbers that agree in their first 16 bits: sign, exponent and
seven bits of mantissa, which is bfloat16, rounded towards zero. Each is 0.4 to 0.8 %
wide, no number is out of range, and powers of two are edges.
"""

from typing import Any

import numpy as np

NUM_BINS = 2**16

Array = np.ndarray[Any, Any]


def count_bins(values: Array) -> Array:
    """Return how many of `values`, float32, are in each of the NUM_BINS bins, int64."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return np.bincount(bits.ravel() >> 16, minlength=NUM_BINS)


def edges(bins: Array) -> tuple[Array, Array]:
    """Return the ends (from, to) of `bins`, from < to, float64; zero is in between.

    A positive bin includes its lower end, a negative one its upper end.
    """
    inner = (bins.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    outer = ((bins.astype(np.uint32) + 1) << 16).view(np.float32).astype(np.float64)
    return np.minimum(inner, outer), np.maximum(inner, outer)
