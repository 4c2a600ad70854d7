"""The same events as CMS event data in every form: made by real ROOT (edm/write.py), and their content.

``python tests/edm_forms.py`` writes the small files of tests/edm anew; it needs the environment ``root`` and
a C++ compiler. The classes are those of CMSSW 4_2 (``run1*``), 7_2 (``old*``) and 12_5 (all others).
"""

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import awkward as ak
import numpy as np
import pytest
import uproot
from environments import python_with
from handmade import eb_id, ee_id, hcal_id
from oracle import ee_centres
from packed_oracle import SIGNED_CHARGES, candidates, track

from e2edist.formats import open_events
from e2edist.imaging.event_batch import TABLES

FOLDER = Path(__file__).with_name("edm")
#: Release -> forms of it, as edm/write.py has them.
FORMS = {
    "12_5": (
        *("split", "object_wise", "member_wise", "one_level", "two_levels"),
        *("mini_split", "mini_object_wise", "mini_member_wise", "mini_two_levels"),
    ),
    "7_2": ("old_object_wise", "old_member_wise", "old_mini_object_wise", "old_mini_member_wise"),
    "4_2": ("run1", "run1_object_wise", "run1_member_wise", "run1_split"),
}
ALL = tuple(form for forms in FORMS.values() for form in forms)
#: What lies in tests/edm: 3 events in each.
SMALL = (
    *("object_wise", "member_wise", "mini_member_wise"),
    *("old_member_wise", "old_mini_object_wise"),
    *("run1", "run1_object_wise", "run1_member_wise"),
)
#: MiniAOD of 12_5 with `made_for_jets` in it: all that a tagger of jets needs. Packed candidates are split,
#: all else is not.
FOR_JETS = "mini_for_jets"
_HIT = {"detid": "id_.id_", "energy": "energy_", "time": "time_"}
_PRODUCTS = {
    "EB": ("EcalRecHitsSorted_reducedEcalRecHitsEB__RECO.obj.obj.", _HIT),
    "EE": ("EcalRecHitsSorted_reducedEcalRecHitsEE__RECO.obj.obj.", _HIT),
    "HBHE": ("HBHERecHitsSorted_reducedHcalRecHits_hbhereco_RECO.obj.obj.", _HIT),
    "tracks": (
        "recoTracks_generalTracks__RECO.obj.",
        {f"v{x.lower()}": f"vertex_.fCoordinates.f{x}" for x in "XYZ"}
        | {f"p{x.lower()}": f"momentum_.fCoordinates.f{x}" for x in "XYZ"}
        | {"quality": "quality_"},
    ),
    "vertices": (
        "recoVertexs_offlinePrimaryVertices__RECO.obj.",
        {x.lower(): f"position_.fCoordinates.f{x}" for x in "XYZ"},
    ),
    **{
        kind: (
            f"{product}__RECO.obj.",
            {x.lower(): f"m_state.p4Polar_.fCoordinates.f{x}" for x in ("Pt", "Eta", "Phi")},
        )
        for kind, product in {
            "photon": "recoPhotons_photons",
            "electron": "recoGsfElectrons_gsfElectrons",
            "jet": "recoPFJets_ak5PFJets",
        }.items()
    },
}


def made(events=3, seed=15):
    """Return events of random rows as arrays, as edm/write.py takes them; some have none of a table."""
    random = np.random.default_rng(seed)
    arrays = {
        "run": random.integers(1, 2**18, events),
        "lumi": random.integers(1, 2**12, events),
        "event": random.integers(1, 2**32, events),  # so that Run 1 has room for it
    }
    for table, (_, columns) in _PRODUCTS.items():
        counts = random.integers(1, 6, events)
        counts[random.integers(events)] = 0
        arrays[f"{table}_rows"] = np.concatenate([[0], np.cumsum(counts)])
        for column in columns:
            values = random.normal(0, 3, counts.sum()).astype("f4")
            if column == "detid":
                values = random.integers(3 << 28, 5 << 28, counts.sum())
            elif column == "quality":
                values = random.integers(0, 256, counts.sum())
            elif column == "phi":  # ROOT brings others into this range
                values = random.uniform(-3, 3, counts.sum()).astype("f4")
            elif column == "pt":
                values = np.abs(values)
            arrays[f"{table}_{column}"] = values
    return arrays


def made_for_jets(events=3, seed=16):
    """Return events as `made` does, with real detector ids, jets along tracks, and packed candidates.

    Also returns the rows and vertices of `packed_oracle.candidates`: the first half of an event's rows is in
    the table packed, the other in the table lost.
    """
    random = np.random.default_rng(seed)
    rows, positions = candidates(seed, events)
    crystals = sorted(ee_centres())
    cells = {
        "EB": [eb_id(s * i, j) for s in (-1, 1) for i in range(1, 86) for j in range(1, 361)],
        "EE": [ee_id(*crystal) for crystal in crystals],
        "HBHE": [
            hcal_id(s * i, j, depth, new=True)
            for s in (-1, 1)
            for i in range(1, 21)
            for j in range(1, 73)
            for depth in (1, 2)
        ],
    }
    arrays = made(events, seed)
    for table, known in cells.items():
        arrays[f"{table}_rows"] = 150 * np.arange(events + 1)
        arrays[f"{table}_detid"] = random.choice(known, 150 * events)
        arrays[f"{table}_energy"] = random.exponential(2, 150 * events).astype("f4")
        arrays[f"{table}_time"] = random.normal(0, 3, 150 * events).astype("f4")
    along = [_jets_along(*event) for event in zip(rows, positions, strict=True)]
    arrays["jet_rows"] = np.cumsum([0, *map(len, along)])
    arrays["jet_eta"], arrays["jet_phi"] = np.concatenate(along).astype("f4").T
    arrays["jet_pt"] = random.uniform(25, 200, len(arrays["jet_eta"])).astype("f4")
    arrays["vertices_rows"] = np.cumsum([0, *map(len, positions)])
    for axis, values in zip("xyz", np.concatenate(positions).T, strict=True):
        arrays[f"vertices_{axis}"] = values
    halves = {"packed": [r[: len(r) // 2] for r in rows], "lost": [r[len(r) // 2 :] for r in rows]}
    for table, half in halves.items():
        arrays[f"{table}_rows"] = np.cumsum([0, *map(len, half)])
        for name in rows[0][0]:
            arrays[f"{table}_{name}"] = np.array([one[name] for event in half for one in event])
    return arrays, rows, positions


def _jets_along(rows, vertices, most=4):
    """Return (eta, phi) of some tracks of high purity in the barrel."""
    tracks = [track(one, vertices) for one in rows if one["pdg"] in SIGNED_CHARGES]
    good = [(one["eta"], one["phi"]) for one in tracks if one["quality"] & 4 and abs(one["eta"]) < 1.6]
    return np.array(good[:most]).reshape(-1, 2)


def real(data):
    """Return the 659 real events in that form: event numbers of hit ntuples, all else of split files."""
    hits = [uproot.open(file)["Events"] for file in sorted((data / "root").glob("hits_given_?.root"))]
    files = [uproot.open(file)["Events"] for file in sorted((data / "edm").glob("given_[12].root"))]
    numbers = {"run": "run", "lumi": "luminosityBlock", "event": "event"}
    arrays = {
        ours: np.concatenate([tree[name].array(library="np") for tree in hits])
        for ours, name in numbers.items()
    }
    paths = {key.rsplit("/", 1)[-1]: key for key in files[0].keys(recursive=True)}
    for table, (product, columns) in _PRODUCTS.items():
        for column, name in columns.items():
            rows = ak.concatenate([tree[paths[product + name]].array() for tree in files])
            arrays[f"{table}_{column}"] = ak.to_numpy(ak.flatten(rows))
            arrays[f"{table}_rows"] = np.concatenate([[0], np.cumsum(ak.to_numpy(ak.num(rows)))])
    return arrays


def compiler():
    """Skip where edm/write.py can't compile its classes, and return the Python with ROOT."""
    python = python_with("root")
    if shutil.which("c++") is None:
        if "root" in os.environ.get("E2EDIST_REQUIRE", "").split(","):
            pytest.fail("E2EDIST_REQUIRE names root, and there is no C++ compiler (c++)")
        pytest.skip("real ROOT compiles the classes of CMS event data: there is no C++ compiler (c++)")
    return python


def write(python, arrays, folder, *forms, compression=505):
    """Write events in some forms by real ROOT and return form -> file; 505 is ZSTD, 209 LZMA, 0 none."""
    np.savez(folder / "events.npz", **arrays)
    for wanted in FORMS.values():
        if some := [form for form in wanted if form in forms]:
            line = [python, FOLDER / "write.py", folder / "events.npz", folder, str(compression), *some]
            done = subprocess.run(line, capture_output=True, text=True, timeout=900, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    return {form: folder / f"{form}.root" for form in forms}


def write_for_jets(python, folder, compression=505):
    """Write `made_for_jets` by real ROOT and return the file."""
    arrays, _, _ = made_for_jets()
    form = "mini_member_wise"
    with TemporaryDirectory() as scratch:  # a file of that form may be in the folder
        made_file = write(python, arrays, Path(scratch), form, compression=compression)[form]
        return Path(shutil.copy(made_file, folder / f"{FOR_JETS}.root"))


def columns_of(form):
    """Return the tables and columns that a form has, for `open_events`."""
    wanted = {
        table: frozenset(TABLES[table])
        for table in ("EB", "EE", "HBHE", "tracks", "photon", "electron", "jet")
    }
    if "mini" in form:
        del wanted["tracks"]
    return wanted


def read(path, form, start=0, stop=None):
    """Return a range of entries of a file of some form, read by the product."""
    with open_events(str(path), columns_of(form)) as reader:
        return reader.read(start, reader.info.entries if stop is None else stop)


def differences(batch, arrays):
    """Return how many cells of what was read differ from what was written, and how many there are."""
    differing = cells = 0
    for table, ragged in batch.tables.items():
        if table == "tracks":  # computed: compared with what is read of split files
            continue
        rows = arrays[f"{table}_rows"]
        assert np.array_equal(ragged.offsets, rows), table
        for column, values in ragged.columns.items():
            if (name := f"{table}_{column}") in arrays:
                differing += np.count_nonzero(values != arrays[name].astype(values.dtype))
                cells += len(values)
    for name in ("run", "lumi", "event"):
        numbers = getattr(batch, name)
        differing += np.count_nonzero(numbers != arrays[name].astype(numbers.dtype))
        cells += len(arrays[name])
    return differing, cells


if __name__ == "__main__":
    for written in write(compiler(), made(), FOLDER, *SMALL, compression=209).values():
        print(written, written.stat().st_size)
    written = write_for_jets(compiler(), FOLDER, compression=209)
    print(written, written.stat().st_size)
    (FOLDER / "events.npz").unlink()
