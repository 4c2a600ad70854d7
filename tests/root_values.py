"""CMS event data as real ROOT reads it, without the classes of CMSSW, against what is read here."""

import json
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path

import numpy as np

from e2edist.formats import open_events
from e2edist.formats.edm import TYPES
from e2edist.imaging.event_batch import OBJECT_KINDS

_READER = Path(__file__).with_name("edm") / "values.py"
NUMBERS = {name: f"EventAuxiliary.id_.{name}_" for name in ("run", "event")}
NUMBERS["lumi"] = "EventAuxiliary.id_.luminosityBlock_"
_HIT = {"detid": "obj.obj.id_.id_", "energy": "obj.obj.energy_"}
_TIME = {"time": "obj.obj.time_"}
_MOMENTUM = {axis: f"obj.momentum_.fCoordinates.f{axis}" for axis in "XYZ"}
#: Kinematics of candidates: before CMSSW 7_4, and since.
OLD = {name: f"obj.{name}_" for name in ("pt", "eta", "phi")}
NEW = {name: f"obj.m_state.p4Polar_.fCoordinates.f{name.title()}" for name in ("pt", "eta", "phi")}


@dataclass(frozen=True)
class Product:
    """A product of a file, the table that is made of it, and column -> what ROOT is asked."""

    branch: str
    table: str
    asked: dict

    @property
    def label(self):
        """Label as a tagger file has it."""
        return ":".join(self.branch.split("_")[1:])


def product_of(branch, kinematics):
    """Return what is known of a branch by its name; None if no table is made of it."""
    branch = branch.removesuffix(".")
    kind = branch.partition("_")[0]
    tables = ("EB", "HBHE", "tracks", *OBJECT_KINDS)
    table = next((t for t in tables if any(fnmatchcase(kind, one) for one in TYPES[t])), None)
    if table is None or kind == "patPackedCandidates":
        return None
    members = {"EB": _HIT | _TIME, "HBHE": _HIT, "tracks": _MOMENTUM}.get(table, kinematics)
    return Product(branch, table, {column: f"{branch}.{member}" for column, member in members.items()})


def root_reads(python, questions, *sound):
    """Return for each (file, expressions) what ROOT finds and reports; `sound` as in edm/values.py."""
    asked = json.dumps([[str(path), list(expressions)] for path, expressions in questions])
    line = [python, _READER, *sound]
    done = subprocess.run(line, input=asked, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def read(path, products):
    """Return the events as they are read here; products of one table are joined."""
    tables, labels = {}, defaultdict(list)
    for one in products:
        tables[one.table] = frozenset(("pt", "eta", "phi") if one.table == "tracks" else one.asked)
        labels[one.table].append(one.label)
    with open_events(
        str(path), tables, {table: ("+".join(some),) for table, some in labels.items()}
    ) as reader:
        return reader.read(0, reader.info.entries)


def differences(batch, products, values):
    """Return how many cells of `read` ROOT reads otherwise, and how many there are.

    Event numbers are among them, unless they are left out here.
    """
    found = defaultdict(list)
    for one in products:
        events = {column: values[expression] for column, expression in one.asked.items()}
        for column, some in (_kinematics(events) if one.table == "tracks" else events).items():
            found[one.table, column].append(some)
    differing = cells = 0
    for (table, column), parts in found.items():
        rows = [batch[table][column][begin:end] for begin, end in pairwise(batch[table].offsets)]
        joined = [np.concatenate(event) for event in zip(*parts, strict=True)]
        tolerance = 1e-6 if table == "tracks" else 0  # computed, and ROOT is asked for the momenta
        differing += _differing(rows, joined, tolerance)
        cells += batch[table].rows
    for name, expression in NUMBERS.items():
        if batch.events and getattr(batch, name) is not None:
            differing += _differing(np.split(getattr(batch, name), batch.events), values[expression])
            cells += batch.events
    return differing, cells


def _kinematics(momenta):
    """Return column of tracks -> values of each event, of those of their momenta."""
    events = [tuple(map(np.array, event)) for event in zip(*(momenta[axis] for axis in "XYZ"), strict=True)]
    return {
        "pt": [np.hypot(x, y) for x, y, _ in events],
        "eta": [np.arcsinh(z / np.hypot(x, y)) for x, y, z in events],
        "phi": [np.arctan2(y, x) for x, y, _ in events],
    }


def _differing(ours, theirs, tolerance=0):
    """Return how many cells of two lists of events differ."""
    assert len(ours) == len(theirs)
    differing = 0
    for one, other in zip(ours, map(np.asarray, theirs), strict=True):
        if len(one) != len(other):
            differing += max(len(one), len(other))
            continue
        # A formula of ROOT has integers of 64 bits for signed, and gives all numbers as doubles.
        with np.errstate(all="ignore"):
            mine = (one.view("i8") if one.dtype == "u8" else one).astype("f8")
            its = other.astype("f4").astype("f8") if one.dtype == "f4" else other
            same = np.isclose(mine, its, tolerance, tolerance, equal_nan=True)
        differing += np.count_nonzero(~same)
    return differing
