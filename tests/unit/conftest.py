"""Fixtures that several test modules here share."""

from thread_workers import drive  # noqa: F401 a fixture
