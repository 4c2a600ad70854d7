"""A column of objects is one entry: formats, results, friend trees and the reference follow."""

import subprocess
import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import uproot
from handmade import direction_of, eb_id
from models import write_model, write_tagger

from e2edist.imaging.event_batch import OBJECT_COLUMNS
from e2edist.records.part_columns import PART_COLUMNS

#: Plans, runs, aggregates with one more entry in the source of the one table, in a process of its own.
ONE_EDIT = """
import sys
from importlib.util import find_spec, module_from_spec
from pathlib import Path

spec = find_spec("e2edist.imaging.event_batch")
source = Path(spec.origin).read_text()
entry = Path(sys.argv[4]).read_text()
place = source.index('    "label": ObjectColumn(')
module = sys.modules[spec.name] = module_from_spec(spec)
exec(compile(source[:place] + entry + source[place:], spec.origin, "exec"), vars(module))

from e2edist import aggregate
from e2edist.campaign.planning import make_plan
from e2edist.config.tagger import load_tagger
from e2edist.engines import EngineOptions
from e2edist.worker.run_chunk import TaskContext, prepare, run_chunk

tagger, file, folder = load_tagger(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
plan = make_plan(tagger, [file])
plan.write(folder)
prepare("job", TaskContext(tagger, plan.fingerprint, str(folder), "cpu", EngineOptions()))
for chunk in plan.chunks():
    run_chunk("job", chunk)
raise SystemExit(aggregate.main([str(folder), "--friend"]))
"""
#: The entry as docs/extend/output-column.md shows it.
ENTRY = Path(__file__).resolve().parents[2] / "docs" / "examples" / "mass_column.txt"
MASSES = [5.5, 6.5, 7.5]


def write_photons(path):
    """Write two events with three photons that have a mass, each on a hit of the barrel."""

    def lists(values, dtype):
        return ak.unflatten(ak.Array(np.array(values, dtype)), np.array([2, 1]))

    eta, phi = zip(*(direction_of(row, 20) for row in (100, 110, 120)), strict=True)
    branches = {
        "EBRecHit_detid": lists([eb_id(row - 84, 20) for row in (100, 110, 120)], "u4"),
        "EBRecHit_energy": lists([10, 20, 30], "f4"),
        "Photon_pt": lists([50, 60, 70], "f4"),
        "Photon_eta": lists(eta, "f4"),
        "Photon_phi": lists(phi, "f4"),
        "Photon_mass": lists(MASSES, "f4"),
    }
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: values.type for name, values in branches.items()}).extend(branches)
    return path


def test_one_entry_takes_a_column_from_the_input_to_parts_tables_and_friends(tmp_path):
    write_model(tmp_path / "m.onnx", outputs={"photon": 1})
    tagger = write_tagger(tmp_path / "t.toml", "m.onnx", objects={"kinds": ["photon"]})
    words = (tagger, write_photons(tmp_path / "a.root"), tmp_path / "out", ENTRY)
    done = subprocess.run(
        [sys.executable, "-c", ONE_EDIT, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (part,) = (tmp_path / "out" / "predictions").glob("*.parquet")
    (table,) = (tmp_path / "out" / "aggregated" / "table").glob("*.parquet")
    for path in (part, table):
        columns = pq.read_table(path, partitioning=None)
        assert columns["mass"].to_pylist() == MASSES
        assert columns.column_names.index("mass") == columns.column_names.index("phi") + 1
    (friend,) = (tmp_path / "out" / "aggregated" / "friends").iterdir()
    with uproot.open(friend) as file:
        assert ak.to_list(file["Events"]["small_mass"].array()) == [MASSES[:2], MASSES[2:]]


def test_results_have_the_columns_of_objects_and_say_what_they_mean():
    assert OBJECT_COLUMNS.keys() <= PART_COLUMNS.keys()
    assert all(PART_COLUMNS[name].meaning == column.meaning for name, column in OBJECT_COLUMNS.items())
    assert "mass" not in PART_COLUMNS
