"""Faults on demand inside real processes: put this folder first on PYTHONPATH.

``E2E_FAULTS`` is a JSON list of faults, which every process of the tree inherits. Each is a table:

at      start, read, infer, write (before the draft), draft (written, not synced), synced (before the
        rename), renamed: points in the life of a chunk on a worker
do      kill, stop (signals to itself), abort, bomb (eats memory), sleep, wait (until the file `until` is
        there), memory (MemoryError), raise (ValueError), or the name of an errno as ENOSPC
entry   only chunks that hold this entry; `file`: only of inputs whose path holds this;
        `above`: only chunks of more entries
times   in all processes together, counted by files in ``E2E_MARKS``; without it: each time
name    of the counting files, and of ``<name>.hit`` that is there once the fault struck

``E2E_CLOCK`` is "seconds:jump": time.time() jumps that long after the process began.
``E2E_DROP`` is how many submissions of tasks the scheduler loses.
``E2E_IMPORT`` is how many seconds a spawned worker takes to import, as from a cold network disk; each that
begins to leaves a file ``import.PID`` in ``E2E_MARKS``. With ``E2E_IMPORT_OF`` it is not the workers, but the
processes that have this word on their command line.
``E2E_STARTS`` is a file into which workers write the id of each chunk that they begin, a line each.
``E2E_FORK`` makes Dask fork its workers from a server that has imported everything: quick to start.
"""

import contextlib
import errno
import importlib.util
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

FAULTS = json.loads(os.environ.get("E2E_FAULTS", "[]"))
MARKS = Path(os.environ.get("E2E_MARKS", "."))
_now = threading.local()


def _fires(number, fault, point):
    chunk = getattr(_now, "chunk", None)
    if chunk is None or fault["at"] != point:
        return False
    if "entry" in fault and not chunk.start <= fault["entry"] < chunk.stop:
        return False
    if fault.get("file", "") not in chunk.url or chunk.events <= fault.get("above", 0):
        return False
    return "times" not in fault or any(
        _mark(f"{fault.get('name', number)}.{i}") for i in range(fault["times"])
    )


def _mark(name):
    with contextlib.suppress(FileExistsError):
        os.close(os.open(MARKS / name, os.O_CREAT | os.O_EXCL))
        return True
    return False


def strike(point):
    for number, fault in enumerate(FAULTS):
        if _fires(number, fault, point):
            _mark(f"{fault.get('name', number)}.hit")
            _do(fault)


def _bomb(fault):
    eaten = []
    while True:
        eaten.append(bytearray(os.urandom(1 << 20)) * 32)
        time.sleep(0.02)


def _wait(fault):
    while not Path(fault["until"]).exists():
        time.sleep(0.02)


def _raise(error):
    raise error


DEEDS = {
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda _: os.kill(os.getpid(), signal.SIGSTOP),
    "abort": lambda _: os.abort(),
    "bomb": _bomb,
    "sleep": lambda fault: time.sleep(fault["seconds"]),
    "wait": _wait,
    "memory": lambda _: _raise(MemoryError("not enough memory, says the test")),
    "raise": lambda _: _raise(ValueError("an odd value, says the test")),
}


def _do(fault):
    what = fault["do"]
    if what in DEEDS:
        DEEDS[what](fault)
    else:
        code = getattr(errno, what)
        raise OSError(code, os.strerror(code))


def _before(function, point):
    def wrapped(*args, **kwargs):
        strike(point)
        return function(*args, **kwargs)

    return wrapped


def _patch_chunk(module):
    run = module.run_chunk

    # Of the same name: Dask sends it by name, and the worker finds its own wrapper there.
    def run_chunk(key, chunk):
        _now.chunk = chunk
        if "E2E_STARTS" in os.environ:
            with Path(os.environ["E2E_STARTS"]).open("a") as stream:
                stream.write(f"{chunk.id}\n")
        try:
            strike("start")
            return run(key, chunk)
        finally:
            _now.chunk = None

    run_chunk.__module__, run_chunk.__qualname__ = run.__module__, run.__qualname__
    module.run_chunk = run_chunk
    module.read_chunk = _before(module.read_chunk, "read")
    module.score = _before(module.score, "infer")
    module.write_part = _before(module.write_part, "write")


def _patch_publish(module):
    sync = module._sync

    def _sync(path):
        draft = path.name.endswith(module.DRAFT_ENDING)
        if draft:
            strike("draft")
        sync(path)
        strike("synced" if draft else "renamed")

    module._sync = _sync


def _patch_scheduler(module):
    update_graph = module.Scheduler.update_graph

    async def update_or_lose(self, *args, **kwargs):
        if not any(_mark(f"dropped.{i}") for i in range(int(os.environ.get("E2E_DROP", "0")))):
            await update_graph(self, *args, **kwargs)

    module.Scheduler.update_graph = update_or_lose


def _patch_distributed(module):
    if "E2E_FORK" in os.environ:
        import multiprocessing

        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["distributed", "faults_warm"])
        module.mp_context = context
        module.get_mp_context = lambda: context


PATCHES = {
    "e2edist.worker.run_chunk": _patch_chunk,
    "e2edist.storage.publish": _patch_publish,
    "distributed.scheduler": _patch_scheduler,
    "distributed.utils": _patch_distributed,
}


class _Finder:
    """Patches modules of the product right after they are imported."""

    def find_spec(self, name, path=None, target=None):
        if name not in PATCHES:
            return None
        patch = PATCHES.pop(name)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            patch(module)

        spec.loader.exec_module = exec_module
        return spec


if FAULTS or {"E2E_FORK", "E2E_DROP"} & os.environ.keys():
    sys.meta_path.insert(0, _Finder())

if "E2E_IMPORT" in os.environ and os.environ.get("E2E_IMPORT_OF", "--multiprocessing-fork") in sys.orig_argv:
    (MARKS / f"import.{os.getpid()}").touch()
    time.sleep(float(os.environ["E2E_IMPORT"]))

if "E2E_CLOCK" in os.environ:
    _after, _jump = map(float, os.environ["E2E_CLOCK"].split(":"))
    _began, _time = time.monotonic(), time.time
    time.time = lambda: _time() + (_jump if time.monotonic() - _began > _after else 0)
