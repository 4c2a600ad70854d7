"""Floor 2: whole-or-not-at-all files, and the Parquet that holds the results."""
