"""Runs a plan through Ray. No other folder imports it."""
