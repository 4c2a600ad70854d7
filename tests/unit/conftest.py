"""Fixtures that several test modules here share."""

from small_campaign import small, three  # noqa: F401 fixtures
from thread_workers import drive  # noqa: F401 a fixture
