"""The worker side of a campaign: one chunk from file to part, timed and safe to run twice."""
