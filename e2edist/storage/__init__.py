"""Whole-or-not-at-all files, and the Parquet that holds the results."""
