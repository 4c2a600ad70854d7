"""The driver side of a campaign: plan, run, retry, resume; it knows neither batch systems nor Dask."""
