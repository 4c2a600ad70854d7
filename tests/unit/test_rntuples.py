"""RNTuples as CMSSW and ROOT write them: collections without a type, projected fields, files without uuid."""

import itertools
import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from coarse_files import assert_same_tables

from e2edist.errors import InputError
from e2edist.formats import api, inspect, open_events

LAYERS = ("ECAL_energy", "HBHE_energy", "ECAL_tracksPt", "ECAL_tracksDz")
P4 = frozenset({"pt", "eta", "phi"})
#: Five events in two clusters, by tests/system/root_rntuple.py.
BY_ROOT = Path(__file__).with_name("nano_collections.root")


def read(path, *ranges):
    """Return the batches of some ranges of entries, and the bytes of an event."""
    columns = {api.pixel_table(layer): frozenset({"row", "col", "value"}) for layer in LAYERS}
    with open_events(str(path), columns | {"jet": P4}) as reader:
        return [reader.read(*one) for one in ranges], reader.bytes_per_event()


@pytest.fixture
def collections(data, tmp_path):
    """PF-NanoAOD with a collection for each table, in two clusters."""
    wanted = {"PFCands": ("pt", "eta", "phi", "mass", "pdgId", "d0", "dz", "charge"), "Jet": P4}
    with uproot.open(data / "root/pfnano.root") as file:
        tree = file["Events"]
        made = {name: tree[name].array() for name in ("run", "luminosityBlock", "event")}
        for name, columns in wanted.items():
            made[name] = ak.zip({column: tree[f"{name}_{column}"].array() for column in columns})
    with uproot.recreate(tmp_path / "a.root") as file:
        written = file.mkrntuple("Events", {name: values[:6] for name, values in made.items()})
        written.extend({name: values[6:] for name, values in made.items()})
    return tmp_path / "a.root"


def test_members_of_collections_and_projected_lists_are_those_of_a_tree(data, collections):
    """In pfnano_rntuple.root, of ROOT's importer, all lists are projected."""
    assert inspect(str(collections)).format == "pfnano"
    ranges = (0, 10), (4, 8), (6, 7)
    paths = data / "root/pfnano.root", collections, data / "root/pfnano_rntuple.root"
    (tree, *ntuples), sizes = zip(*(read(path, *ranges) for path in paths), strict=True)
    for batches in ntuples:
        for ours, theirs in zip(batches, tree, strict=True):
            assert_same_tables(ours, theirs)
            for key in ("run", "lumi", "event"):
                np.testing.assert_array_equal(getattr(ours, key), getattr(theirs, key), strict=True)
    assert sizes == pytest.approx([sizes[0]] * 3, rel=0.01)


def test_collections_without_candidates_are_told_to_be_nanoaod(collections, tmp_path):
    with uproot.open(collections) as file:
        kept = {name: file["Events"][name].array() for name in ("run", "luminosityBlock", "event", "Jet")}
    with uproot.recreate(tmp_path / "b.root") as file:
        file.mkrntuple("Events", kept | {"Muon": kept["Jet"]})
    with pytest.raises(InputError, match="NanoAOD holds no hits, and this one no candidates"):
        inspect(str(tmp_path / "b.root"))


def test_few_fields_of_many_are_read_in_a_moment(data):
    """To compare each of some 3000 fields with every other took 7 seconds: millions of calls."""
    calls = itertools.count()
    sys.setprofile(lambda *_: next(calls))
    try:
        read(data / "root/pfnano_rntuple.root", (0, 10))
    finally:
        sys.setprofile(None)
    assert next(calls) < 8_000_000


def test_a_file_of_root_is_read_and_told_from_others_without_a_uuid(tmp_path):
    (batch,), _ = read(BY_ROOT, (0, 5))
    assert batch.event.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(batch["jet"]["pt"], np.arange(100, 105, dtype="f4"), strict=True)
    assert batch[api.pixel_table("ECAL_energy")].counts().tolist() == [2, 2, 3, 3, 4]
    with uproot.open(BY_ROOT) as file:
        assert int(file.file.uuid) == 0
        place = file["Events"].page_link_list[0][0].pages[0].locator.offset
    content = bytearray(BY_ROOT.read_bytes())
    same, other = tmp_path / "same.root", tmp_path / "other.root"
    same.write_bytes(content)
    content[place] ^= 1  # another value, of the same size
    other.write_bytes(content)
    uuids = [inspect(str(path)).uuid for path in (BY_ROOT, same, other)]
    assert len(uuids[0]) == 32
    assert uuids[0] == uuids[1] != uuids[2]
