"""A campaign from plan to parts; no word of SLURM, Dask, ROOT or ONNX in it."""
