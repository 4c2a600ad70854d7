"""Kernels where numba has no place for what it compiled."""

import numpy as np
import pytest
from numba.core.caching import CacheImpl
from numba.core.options import DefaultOptions

from e2edist.imaging._numba import kernel, kernel_part


@pytest.mark.parametrize("places", [True, False])
def test_a_kernel_compiles_with_and_without_a_folder_to_keep_it(places, monkeypatch):
    """In a read-only image without a home numba has no locator, and raises on being asked to cache."""
    if not places:
        monkeypatch.setattr(CacheImpl, "_locator_classes", [])

    @kernel
    def twice(x):
        return 2 * x

    assert twice(21) == 42


def test_parts_of_kernels_see_arrays_and_count_no_references():
    @kernel_part
    def at(values, place):
        return values[place]

    @kernel
    def total(values):
        found = 0
        for i in range(len(values)):
            found += at(values, i)
        return found

    assert total(np.arange(5)) == 10
    assert hasattr(DefaultOptions, "_nrt")  # or kernels of unsplit products take three times as long
