"""Finished campaigns added up: one sorted table, timing, losses, sums; friend trees of the inputs."""
