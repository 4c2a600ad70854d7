"""Floor 3: where workers come from, one module each. Only this room knows Dask."""
