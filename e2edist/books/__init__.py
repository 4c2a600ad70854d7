"""Floor 5: the books of finished campaigns: one sorted table, timing, losses, sums; friends of the inputs."""
