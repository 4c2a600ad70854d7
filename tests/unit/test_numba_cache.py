"""Kernels where numba has no place for what it compiled."""

import pytest
from numba.core.caching import CacheImpl

from e2edist.imaging._numba import kernel


@pytest.mark.parametrize("places", [True, False])
def test_a_kernel_compiles_with_and_without_a_folder_to_keep_it(places, monkeypatch):
    """In a read-only image without a home numba has no locator, and raises on being asked to cache."""
    if not places:
        monkeypatch.setattr(CacheImpl, "_locator_classes", [])

    @kernel
    def twice(x):
        return 2 * x

    assert twice(21) == 42
