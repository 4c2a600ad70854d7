"""A file of a few events with hits of calorimeters, a tagger for it, plans and runs of its chunks."""

from dataclasses import replace

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from handmade import direction_of, eb_id
from hypothesis import settings
from models import write_model, write_tagger
from receipts import make_receipt as receipt

from e2edist.config.tagger import load_tagger
from e2edist.engines import EngineOptions
from e2edist.input_file import FileInfo
from e2edist.records.folder import CampaignFolder
from e2edist.records.parts import write_part
from e2edist.records.plan import Plan
from e2edist.worker.run_chunk import TaskContext, prepare, run_chunk

edges_only = settings(deadline=None, max_examples=150, derandomize=True, database=None)
#: The candidates of every event: what becomes of each, and its (pt, eta).
FATES = {
    "ok": (40.0, None),
    "pt": (5.0, 0.5),
    "eta": (40.0, 2.0),
    "nan": (np.nan, 0.5),
    "no_hit": (40.0, -1.0),
}


def write_hits(path, events, cluster, seed=0):
    """Write an ntuple of photons: in each event one of every fate, round one shower in the barrel."""
    rng = np.random.default_rng(seed)
    with uproot.recreate(path) as file:
        tree = None
        for first in range(0, max(events, 1), cluster):
            data = _columns(rng, first, min(cluster, events - first))
            tree = tree or file.mktree(
                "Events", {k: getattr(v, "dtype", None) or v.type for k, v in data.items()}
            )
            if events:
                tree.extend(data)
    return path


def _columns(rng, first, count):
    f4, fates = np.float32, list(FATES.values())
    rows = rng.integers(90, 150, count)
    detids = [[eb_id(int(row) - 84 + step, 20) for step in (0, 1, 2)] for row in rows]
    eta = [[e if e is not None else direction_of(int(row), 19)[0] for _, e in fates] for row in rows]
    phi = [direction_of(100, 19)[1]] * len(fates)

    def lists(values, dtype, width):
        return ak.unflatten(ak.Array(np.asarray(values, dtype).reshape(-1)), np.full(count, width, np.int64))

    return {
        "run": np.full(count, 7, np.uint32),
        "luminosityBlock": np.full(count, 3, np.uint32),
        "event": np.arange(first, first + count, dtype=np.uint64) + 2**40,
        "EBRecHit_detid": lists(detids, np.uint32, 3),
        "EBRecHit_energy": lists(rng.exponential(20, (count, 3)), f4, 3),
        "Photon_pt": lists([[pt for pt, _ in fates]] * count, f4, len(fates)),
        "Photon_eta": lists(eta, f4, len(fates)),
        "Photon_phi": lists([phi] * count, f4, len(fates)),
        "Photon_label": lists([[1, 0, -1, 0, 1]] * count, np.int32, len(fates)),
    }


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A tagger of photons whose model tells images apart, and a file of 50 events in clusters of 10."""
    folder = tmp_path_factory.mktemp("small")
    write_model(folder / "m.onnx", outputs={"photon": 1})
    file = write_tagger(folder / "t.toml", "m.onnx", objects={"kinds": ["photon"]})
    return load_tagger(str(file)), str(write_hits(folder / "a.root", 50, 10))


def plan_of(*edges, uuid="f" * 32):
    file = FileInfo(f"{uuid[0]}.root", "hits", "Events", uuid, 100, edges[-1], edges)
    return Plan({"name": "x", "chunks": [1, 2]}, (file,), 8.0)


def run_all(tagger, chunks, folder, engine="onnx"):
    job = TaskContext(tagger, "print", str(folder), "cpu", EngineOptions(engine))
    prepare(str(folder), job)
    return [run_chunk(str(folder), chunk) for chunk in chunks]


def rows_of(folder):
    tables = [pq.read_table(path) for path in sorted(CampaignFolder(folder).predictions.glob("*.parquet"))]
    rows = [row for table in tables for row in table.to_pylist()]
    return sorted(rows, key=lambda row: (row["entry"], row["object"]))


# ---- ledger


def path_of(folder, chunk):
    return CampaignFolder(folder).part(chunk.id)


def part(folder, chunk, **changes):
    """Write a part and return its receipt, with size and checksum of its file as the ledger knows them."""
    path = path_of(folder, chunk)
    table = pa.table({"entry": [1, 2, 3]})
    return write_part(path, table, lambda: replace(receipt(chunk), **changes))


@pytest.fixture
def three():
    return plan_of(0, 10, 20, 30).chunks()
