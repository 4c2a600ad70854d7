"""From detector hits to images. numpy and numba only; no file, no network."""
