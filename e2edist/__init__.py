"""Distributed end-to-end (E2E) classification of CMS detector images."""

__version__ = "0.1.0"
