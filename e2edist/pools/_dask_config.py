"""Dask's configuration in our processes: what Dask ships, our settings and a site's table ``[dask]``.

Files and variables of the user or the machine (``~/.config/dask``, ``/etc/dask``, ``DASK_*``) are written for
other work, and would close our scheduler, load modules into it or change jobs.
"""

from __future__ import annotations

import ast
import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from threading import Lock
from types import CodeType, ModuleType
from typing import Any

from e2edist.errors import ConfigError

from ._dask_logs import restore_dask_logs, silence_dask_logs

#: Measured on campaigns of long chunks that hold the GIL for seconds (imports, compiles).
SETTINGS = {
    "distributed.scheduler.work-stealing": False,  # we hand out chunks ourselves
    "distributed.scheduler.worker-ttl": "30 minutes",
    # A dead worker's tasks come back to us at once: we count blame, not the scheduler.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.worker.memory.target": False,  # nothing of ours is worth spilling
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.profile.enabled": False,
    "distributed.comm.timeouts.connect": "60s",
    "distributed.admin.tick.limit": "1 hour",  # no warnings about what is meant to be slow
    # Every server measures itself 50 times a second by default: all the CPU of an idle one.
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "2s",
}
#: Holds the site's table ``[dask]`` as JSON, for the processes of workers.
VARIABLE = "E2EDIST_DASK"


class _WithoutReading(SourceFileLoader):
    """Loads ``dask.config`` without the reading of files and variables at its end.

    One broken file would make it impossible to import Dask.
    """

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_data(path))
        tree.body = [node for node in tree.body if not _reads(node)]
        return compile(tree, path, "exec", dont_inherit=True)


def _reads(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and ast.unparse(node) == "refresh()"


class _Finder(MetaPathFinder):
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path) if fullname == "dask.config" else None
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _WithoutReading(spec.loader.name, spec.loader.path)
        return spec


def _import_dask() -> bool:
    """Import Dask where that was not done yet, without reading anybody's files; return whether it was not."""
    if "dask.config" in sys.modules:
        return False
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        import dask  # noqa: F401
    finally:
        sys.meta_path.remove(finder)
    return True


def configure(table: Mapping[str, Any]) -> None:
    """Give this process Dask's defaults, our settings and `table`, from now on; reads nobody's files."""
    text = json.dumps(table)
    _remove_variables()
    _import_dask()
    import dask.config

    dask.config.paths.clear()  # Dask reads them again in each worker
    dask.config.PATH = os.devnull  # where dask-jobqueue would put a template
    dask.config.refresh()
    dask.config.set(SETTINGS)
    dask.config.update(dask.config.global_config, json.loads(text))  # with lists, not tuples
    os.environ[VARIABLE] = text


def _remove_variables() -> dict[str, str]:
    names = [name for name in os.environ if name.startswith("DASK_") or name == VARIABLE]
    return {name: os.environ.pop(name) for name in names}


def table_text() -> str:
    """Return the table ``[dask]`` that this process runs with, as JSON; empty where there is none."""
    text = os.environ.get(VARIABLE, "")
    return "" if text == "{}" else text


def configure_worker() -> None:
    """Configure a process of a worker, as whoever started it says."""
    configure(json.loads(os.environ.get(VARIABLE) or "{}"))


class _Change:
    """The configuration of this process, changed; `undo` puts back what it was."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._variables = _remove_variables()
        self._first = _import_dask()
        import dask.config

        # Leaves as they are: other libraries put objects there that can't be copied.
        self._config = dask.config.merge(dask.config.global_config)
        self._paths, self._path = list(dask.config.paths), dask.config.PATH
        configure(table)
        # Not before: some of what it reads, it reads as it is imported.
        from distributed import nanny

        from ._worker_process import ConfiguredProcess

        self._process = nanny.AsyncProcess  # type: ignore[attr-defined]
        nanny.AsyncProcess = ConfiguredProcess  # type: ignore[attr-defined]
        self._levels = silence_dask_logs()

    def undo(self) -> None:
        import dask.config
        from distributed import nanny

        _remove_variables()
        os.environ.update(self._variables)
        dask.config.paths[:], dask.config.PATH = self._paths, self._path
        nanny.AsyncProcess = self._process  # type: ignore[attr-defined]
        if self._first:
            # As if somebody else had imported Dask; what is wrong with their files is not ours to tell.
            with suppress(Exception), warnings.catch_warnings(action="ignore"):
                dask.config.refresh()
        else:
            dask.config.global_config.clear()
            dask.config.global_config.update(self._config)
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
