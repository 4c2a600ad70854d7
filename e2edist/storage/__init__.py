"""Files that appear whole or not at all, and ways to get at input files."""
