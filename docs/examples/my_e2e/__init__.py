"""Plug-ins of our own for e2edist: a format, an engine and a batch system."""
