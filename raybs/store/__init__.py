"""The results folder: files that appear whole, and the tables and records in them."""
