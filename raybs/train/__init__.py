"""Carries states along the paths of trials, and measures them."""
