"""Runs a plan: on this machine, or through Ray."""
