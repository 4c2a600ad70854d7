"""Reading alone, by compression and container; and how long a campaign takes to its first part."""

import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import awkward as ak
import dataset
import numpy as np
import ours
import uproot

sys.path.append(str(Path(__file__).resolve().parents[1] / "system"))

import servers

from e2edist.config.tagger import load_tagger
from e2edist.engines import EngineOptions
from e2edist.formats import inspect
from e2edist.records.chunk import Chunk
from e2edist.storage.read_inputs import InputOptions
from e2edist.worker.run_chunk import TaskContext, read_chunk

CODECS = {
    "uncompressed": None,
    "LZ4": uproot.LZ4(4),
    "ZSTD": uproot.ZSTD(5),
    "ZLIB": uproot.ZLIB(6),
    "LZMA": uproot.LZMA(4),
}


def _write_rntuple(path, records, copies):
    """Write the same columns as an RNTuple (ZSTD), a cluster for each copy."""
    columns = {f"{name}_{field}": rows[field] for name, rows in records.items() for field in ak.fields(rows)}
    count = len(next(iter(columns.values())))
    columns |= {"run": np.ones(count, "u4"), "luminosityBlock": np.ones(count, "u4")}
    columns["event"] = np.arange(count, dtype="u8")
    with uproot.recreate(path, compression=uproot.ZSTD(5)) as file:
        tuples = file.mkrntuple("Events", columns)  # writes them, too
        for _ in range(copies - 1):
            tuples.extend(columns)
    return path


def files(folder, name, copies):
    """Return kind -> file of the same events."""
    folder.mkdir(parents=True, exist_ok=True)
    tagger = load_tagger(str(dataset.tagger_file(folder, name)))
    data = dataset.real_events()
    paths = [data / "edm" / f"given_{i}.root" for i in (1, 2)] if data else _demo(folder, name)
    records = dataset.records_of(dataset.batches(paths, tagger), tagger)
    made = {}
    for kind, codec in CODECS.items():
        options = {"compression": codec} if codec else {"compression": uproot.ZLIB(0)}
        made[kind] = dataset.write(folder / f"{kind}.root", records, copies, **options)
    made["RNTuple, ZSTD"] = _write_rntuple(folder / "rntuple.root", records, copies)
    return tagger, made


def _demo(folder, name):
    return dataset.make_events(folder / "demo", dataset.DEMO[name], 600, 5, files=1)


def lacks_xrootd():
    """Return what is not installed of a server and a client of XRootD."""
    server = [] if shutil.which("xrootd") else ["the server xrootd"]
    return server + [name for name in ("XRootD", "fsspec_xrootd") if find_spec(name) is None]


@contextmanager
def _served(path):
    """Serve a file by a real XRootD server on this machine; give its address, or None where there is none."""
    if lacks_xrootd():
        yield None
        return
    # The server runs as nobody where we are root, and could not enter a private folder.
    folder = Path(tempfile.mkdtemp(prefix="e2edist-xrootd-"))
    folder.chmod(0o755)
    (folder / "data").mkdir()
    server = servers.XRootD(folder)
    try:
        shutil.copy(path, folder / "data" / "served.root")
        server.start()
        yield f"{server.url}/served.root"
    finally:
        server.stop()
        shutil.rmtree(folder)


def rows(folder, name, copies, repeats):
    """Return kind -> CPU µs per event to arrays in memory, bytes per event on disk, seconds to a first chunk.

    The same values must come out of all of them. XRootD's rows are of our process, not of the server's;
    without a server and a client they are left out.
    """
    tagger, made = files(folder, name, copies)
    scratch = folder / "scratch"
    scratch.mkdir()
    job = TaskContext(tagger, "x", str(folder), "here", EngineOptions())
    staged = replace(job, inputs=InputOptions(scratch=str(scratch), stage="always"))
    work = {kind: (path, job) for kind, path in made.items()} | {"ZSTD, staged": (made["ZSTD"], staged)}
    with _served(made["ZSTD"]) as url:
        if url:
            work |= {"ZSTD, xrootd": (url, job), "ZSTD, xrootd, staged": (url, staged)}
        else:
            print(f"left out: reading by xrootd (not installed: {', '.join(lacks_xrootd())})")
        return _measure(work, repeats)


def _measure(work, repeats):
    """Return kind -> row of what is to be read, and how."""
    times, first, sizes, seen = {kind: [] for kind in work}, {}, {}, None
    for _ in range(repeats):
        for kind, (path, how) in work.items():
            before, wall = time.process_time(), time.perf_counter()
            info = inspect(str(path))
            chunk = Chunk(
                str(path), info.format, info.tree, info.uuid, info.size, info.entries, 0, info.edges[1]
            )
            batch = read_chunk(chunk, how)
            first.setdefault(kind, time.perf_counter() - wall)
            seen = _same(seen, batch, kind)
            read_chunk(chunk.part(0, info.entries), how)
            times[kind].append((time.process_time() - before) / info.entries * 1e6)
            sizes[kind] = info.size / info.entries
    return {
        kind: {"cpu": median(times[kind]), "bytes": sizes[kind], "first_chunk": first[kind]} for kind in work
    }


def _same(seen, batch, kind):
    values = {(name, c): x for name, table in batch.tables.items() for c, x in table.columns.items()}
    for key in seen or ():
        if not np.array_equal(seen[key], values[key], equal_nan=True):
            raise AssertionError(f"{kind}: other values of {key}")
    return values


def first_parts(folder, threads, many, large):
    """Return seconds from the command to the first part: `many` files of 100 events, and a large one."""
    folder.mkdir(parents=True, exist_ok=True)
    tagger = load_tagger("eg")
    data = dataset.real_events()
    paths = [data / "edm" / "given_1.root"] if data else _demo(folder, "eg")
    records = dataset.records_of(dataset.batches(paths, tagger), tagger)
    hundred = {name: table[:100] for name, table in records.items()}
    small = dataset.write(folder / "small.root", hundred, 1)
    lots = [str(small), *(str(dataset.copy(small, i)) for i in range(1, many))]
    (folder / "lots.txt").write_text("\n".join(lots), encoding="utf-8")
    count = len(next(iter(records.values())))
    one = dataset.write(folder / "one.root", records, max(1, large // count))
    samples = {
        f"{many:,} files of 100 events": str(folder / "lots.txt"),
        f"one file of {large:,} events": str(one),
    }
    return {
        name: ours.cold({"tagger": "eg", "files": [path]}, threads)["first_part"]
        for name, path in samples.items()
    }
