"""The Python API: what ``import e2edist`` offers to notebooks and scripts, loaded at first use."""
