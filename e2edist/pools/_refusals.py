"""Jobs that a batch system refuses, or never starts: which keys of the site are to blame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from e2edist.errors import RefusedJobError, ResourceError

#: Keys that a pool has outside of its table ``job``, and what a controller has in their place.
_OF_POOL, _OF_CONTROLLER = ("threads", "memory_gib"), {"threads": "cores"}


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a job would wait for ever though nobody refuses it.

    Attributes
    ----------
    text : str
        For people; empty where nothing is known.
    keys : tuple of str
        What to change, of a pool or of its table ``job``.
    """

    text: str = ""
    keys: tuple[str, ...] = ()


def find_keys(signs: Mapping[str, tuple[str, ...]], said: str) -> tuple[str, ...]:
    """Return the keys of the first sign that is in what a batch system said; none if there is none."""
    text = said.lower()
    return next((keys for sign, keys in signs.items() if sign.lower() in text), ())


def site_keys(pool: str, keys: Iterable[str]) -> tuple[str, ...]:
    """Return the keys of a pool's job as a site file has them, as ``pools.cpu.job.queue``."""
    return tuple(f"pools.{pool}.{key if key in _OF_POOL else f'job.{key}'}" for key in keys)


def controller_keys(keys: Iterable[str]) -> tuple[str, ...]:
    """Return the keys of a controller's job as a site file has them."""
    return tuple(f"controller.{_OF_CONTROLLER.get(key, key)}" for key in keys)


@contextmanager
def blaming(signs: Mapping[str, tuple[str, ...]], pool: str = "") -> Iterator[None]:
    """Name the keys of a pool, or of the controller, for which the batch system refuses a job.

    Raises
    ------
    RefusedJobError
        In place of a ResourceError that says which they are.
    """
    try:
        yield
    except ResourceError as error:
        found = find_keys(signs, error.what)
        if not found:
            raise
        keys = site_keys(pool, found) if pool else controller_keys(found)
        new = RefusedJobError(error.where, error.what, f"Change {' or '.join(keys)}.")
        new.keys = keys
        raise new from error
