"""Gradient experiments: sums of gradients from one state, draw by draw."""
