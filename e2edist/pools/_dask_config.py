"""Dask's configuration in our processes: what Dask ships, our settings and a site's table ``[dask]``.

Files and variables of the user or the machine (``~/.config/dask``, ``/etc/dask``, ``DASK_*``) are written for
other work, and would close our scheduler, load modules into it or change jobs.
"""

from __future__ import annotations

import ast
import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

#: Measured on campaigns of long chunks that hold the GIL for seconds (imports, compiles).
SETTINGS = {
    "distributed.scheduler.work-stealing": False,  # we hand out chunks ourselves
    "distributed.scheduler.worker-ttl": "30 minutes",
    # A lost worker's tasks come back to us at once: we decide about retries, not the scheduler.
    "distributed.scheduler.allowed-failures": 0,
    # A local worker whose restart takes longer, as from a cold disk, would be given up for good.
    "distributed.deploy.lost-worker-timeout": "1 day",
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


def import_dask() -> bool:
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
    remove_variables()
    import_dask()
    import dask.config

    dask.config.paths.clear()  # Dask reads them again in each worker
    dask.config.PATH = os.devnull  # where dask-jobqueue would put a template
    dask.config.refresh()
    dask.config.set(SETTINGS)
    dask.config.update(dask.config.global_config, json.loads(text))  # with lists, not tuples
    os.environ[VARIABLE] = text


def remove_variables() -> dict[str, str]:
    """Remove variables that Dask or we would read; return them."""
    names = [name for name in os.environ if name.startswith("DASK_") or name == VARIABLE]
    return {name: os.environ.pop(name) for name in names}


def table_text() -> str:
    """Return the table ``[dask]`` that this process runs with, as JSON; empty where there is none."""
    text = os.environ.get(VARIABLE, "")
    return "" if text == "{}" else text


def configure_worker() -> None:
    """Configure a process of a worker, as whoever started it says."""
    configure(json.loads(os.environ.get(VARIABLE) or "{}"))
