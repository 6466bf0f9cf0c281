"""Intervals, moments, fits, and what variance is due to."""
