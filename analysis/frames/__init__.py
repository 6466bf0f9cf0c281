"""Tidy frames from what is stored."""
