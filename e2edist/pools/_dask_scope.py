"""Dask's configuration for a while, in a process that is not ours alone: `configured` puts back what was."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import spawn
from threading import Lock
from typing import Any

from e2edist.errors import ConfigError

from ._dask_config import configure, import_dask, remove_variables, table_text
from ._dask_logs import restore_dask_logs, silence_dask_logs


class _Change:
    """The configuration of this process, changed; `undo` puts back what it was."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._variables = remove_variables()
        self._first = import_dask()
        import dask.config

        # Leaves as they are: other libraries put objects there that can't be copied.
        self._config = dask.config.merge(dask.config.global_config)
        self._paths, self._path = list(dask.config.paths), dask.config.PATH
        configure(table)
        # Not before: some of what it reads, it reads as it is imported.
        from distributed import nanny

        from ._worker_process import ConfiguredProcess, preparation_data

        self._process = nanny.AsyncProcess  # type: ignore[attr-defined]
        nanny.AsyncProcess = ConfiguredProcess  # type: ignore[attr-defined]
        self._preparation_data = spawn.get_preparation_data
        spawn.get_preparation_data = preparation_data
        self._levels = silence_dask_logs()

    def undo(self) -> None:
        import dask.config
        from distributed import nanny

        remove_variables()
        os.environ.update(self._variables)
        dask.config.paths[:], dask.config.PATH = self._paths, self._path
        nanny.AsyncProcess = self._process  # type: ignore[attr-defined]
        spawn.get_preparation_data = self._preparation_data
        if self._first:
            # As if somebody else had imported Dask; what is wrong with their files is not ours to tell.
            with suppress(Exception), warnings.catch_warnings(action="ignore"):
                dask.config.refresh()
        else:
            dask.config.global_config.clear()
            dask.config.global_config.update(self._config)
            for defaults in dask.config.defaults:  # of what was imported meanwhile, as distributed
                dask.config.update(dask.config.global_config, defaults, priority="old")
            # Else nobody else uses Dask here, and the last words of connections come late.
            restore_dask_logs(self._levels)


_lock = Lock()
#: One for each `configured` that is under way: only the first changes anything, only the last undoes it.
_inside: list[_Change | None] = []


@contextmanager
def configured(table: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Configure this process as `configure` does, and leave it as it was; inside another one do nothing.

    In a process that had imported Dask before, what Dask reads as it is imported stays as it was.
    """
    with _lock:
        _inside.append(None if _inside else _Change(table or {}))
    try:
        yield
    finally:
        with _lock:
            # Whoever came first may leave first.
            _inside.sort(key=lambda one: one is not None)
            last = _inside.pop(0)
            if last is not None:
                last.undo()


@contextmanager
def checked_config() -> Iterator[None]:
    """Let a cluster start with our configuration of Dask; it lasts as long where nobody set it for longer.

    Raises
    ------
    ConfigError
        Dask can't start with what the site's table ``[dask]`` says.
    """
    try:
        with configured():
            yield
    except (ValueError, KeyError, TypeError, ImportError) as error:
        if not table_text():
            raise
        what = f"Dask can't start with it ({type(error).__name__}: {error})"
        raise ConfigError("[dask] of the site file", what, "Correct its values.") from error
