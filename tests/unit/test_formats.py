"""ROOT files -> event tables: the two forms of the real events agree, and all hit ntuples read."""

import pickle
from dataclasses import replace
from types import FunctionType

import awkward as ak
import numpy as np
import pytest
import uproot
from streamed import Source, without_streamers

from e2edist import formats
from e2edist.errors import BranchError, ChangedFileError, InputError, UnknownNameError, UnsplitError
from e2edist.formats import api, edm
from e2edist.formats._track_columns import first_of_each, track_column
from e2edist.formats.api import BranchErrors, JaggedColumn, Request
from e2edist.plugins import find

HITS = frozenset({"detid", "energy"})
P4 = frozenset({"pt", "eta", "phi"})
ALL = {
    "EB": HITS | {"time"},
    "EE": HITS | {"time"},
    "HBHE": HITS,
    "tracks": P4,
    **{kind: P4 | {"label"} for kind in ("photon", "electron", "jet")},
}


def read(path, columns, start=0, stop=None, **options):
    with formats.open_events(str(path), columns, **options) as reader:
        return reader.read(start, reader.info.entries if stop is None else stop)


def whole(paths, columns):
    """Return all columns, counts and event numbers of several files, one after the other."""
    found = {}
    for path in paths:
        batch = read(path, columns)
        for key in ("run", "lumi", "event"):
            found.setdefault(key, []).append(getattr(batch, key))
        for name, table in batch.tables.items():
            found.setdefault((name, "counts"), []).append(table.counts())
            for column, values in table.columns.items():
                found.setdefault((name, column), []).append(values)
    return {key: np.concatenate(parts) for key, parts in found.items()}


def write(path, columns, *, tree="Events", add=False):
    with (uproot.update if add else uproot.recreate)(path) as file:
        made = {k: v if isinstance(v, np.ndarray) else ak.Array(v) for k, v in columns.items()}
        file.mktree(tree, {k: v.dtype if isinstance(v, np.ndarray) else v.type for k, v in made.items()})
        file[tree].extend(made)
    return path


def jagged(lists, dtype):
    """Return lists of numbers with a fixed type, also where all are empty."""
    flat = np.array([value for one in lists for value in one], dtype=dtype)
    return ak.unflatten(ak.Array(flat), np.array([len(one) for one in lists], dtype=np.int64))


@pytest.fixture
def ntuple(tmp_path):
    """Three events: two parts of HBHE, tracks with d0 and quality, pixel hits, labelled jets."""
    u4, f4 = np.uint32, np.float32
    columns = {
        "run": np.array([1, 1, 2], dtype=u4),
        "luminosityBlock": np.array([10, 11, 12], dtype=u4),
        "event": np.array([100, 101, 2**40], dtype=np.uint64),
        "EBRecHit_detid": jagged([[1, 2], [], [3]], u4),
        "EBRecHit_energy": jagged([[0.5, -1.0], [], [2.5]], f4),
        "EBRecHit_time": jagged([[0, 1], [], [2]], f4),
        "HBRecHit_detid": jagged([[1, 2], [3], []], u4),
        "HBRecHit_energy": jagged([[1, 2], [3], []], f4),
        "HERecHit_detid": jagged([[11], [], [12, 13]], u4),
        "HERecHit_energy": jagged([[4], [], [5, 6]], f4),
        "Track_pt": jagged([[1.5], [2.5, 3.5], []], np.float64),
        "Track_eta": jagged([[0], [1, -1], []], f4),
        "Track_phi": jagged([[0], [1, 2], []], f4),
        "Track_dxy": jagged([[0.1], [0.2, 0.3], []], f4),
        "Track_dz": jagged([[1], [2, 3], []], f4),
        "Track_quality": jagged([[4], [7, 0], []], np.int32),
        "BPIX1Hit_eta": jagged([[], [0.5], [1]], f4),
        "BPIX1Hit_phi": jagged([[], [0.5], [2]], f4),
        "Jet_pt": jagged([[40], [], [50, 60]], f4),
        "Jet_eta": jagged([[1], [], [0, 2]], f4),
        "Jet_phi": jagged([[1], [], [0, 2]], f4),
        "Jet_label": jagged([[1], [], [0, 1]], np.int32),
    }
    return write(tmp_path / "hits.root", columns)


def test_both_forms_of_the_659_events_are_equal_value_for_value(data):
    hits = whole([data / f"root/hits_given_{part}.root" for part in "abc"], ALL)
    edm = whole([data / f"edm/given_{part}.root" for part in "12"], ALL)
    assert len(hits["run"]) == 659
    assert hits.keys() == edm.keys()
    for key, values in hits.items():
        assert values.dtype == edm[key].dtype
        np.testing.assert_array_equal(values, edm[key], err_msg=str(key))
    assert hits["EB", "detid"].size == 133115


@pytest.mark.parametrize("name", ["root/hits_given_a.root", "edm/given_1.root"])
def test_any_range_is_a_slice_of_the_whole(data, name):
    with formats.open_events(str(data / name), ALL) as reader:
        full = reader.read(0, reader.info.entries)
        for start, stop in [
            (0, 1),
            (99, 101),
            (63, 130),
            (150, 150),
            (reader.info.entries - 1, reader.info.entries),
        ]:
            part = reader.read(start, stop)
            assert (part.start, part.stop, part.events) == (start, stop, stop - start)
            for table, ragged in part.tables.items():
                low, high = full[table].offsets[[start, stop]]
                np.testing.assert_array_equal(ragged.offsets, full[table].offsets[start : stop + 1] - low)
                for column, values in ragged.columns.items():
                    np.testing.assert_array_equal(values, full[table][column][low:high])
                    assert values.dtype == full[table][column].dtype
            if stop > start:
                np.testing.assert_array_equal(part.event, full.event[start:stop])


def test_tables_equal_what_uproot_gives_event_by_event(data):
    path = data / "root/hits_given_b.root"
    batch = read(path, {"HBHE": HITS}, 20, 40)
    with uproot.open(path) as file:
        raw = file["Events"].arrays(["HBRecHit_energy", "HERecHit_energy"], entry_start=20, entry_stop=40)
    for i in range(20):
        low, high = batch["HBHE"].offsets[i : i + 2]
        expected = [*raw["HBRecHit_energy"][i], *raw["HERecHit_energy"][i]]
        assert batch["HBHE"]["energy"][low:high].tolist() == expected


def test_impact_parameters_follow_the_formula_track_by_track(data):
    path = data / "edm/given_1.root"
    batch = read(path, {"tracks": P4 | {"d0", "dz", "quality"}}, 0, 8)
    track, vertex = "recoTracks_generalTracks__RECO.obj.", "recoVertexs_offlinePrimaryVertices__RECO.obj."
    with uproot.open(path) as file:
        tree = file["Events"]

        def leaf(name):
            return tree[name].array(entry_stop=8).to_list()

        momentum = [leaf(f"{track}momentum_.fCoordinates.f{x}") for x in "XYZ"]
        point = [leaf(f"{track}vertex_.fCoordinates.f{x}") for x in "XYZ"]
        first = [leaf(f"{vertex}position_.fCoordinates.f{x}") for x in "XYZ"]
        quality = leaf(f"{track}quality_")
    row = 0
    for event in range(8):
        origin = [axis[event][0] if axis[event] else 0.0 for axis in first]
        for i in range(len(quality[event])):
            px, py, pz = (axis[event][i] for axis in momentum)
            x, y, z = (axis[event][i] - origin[n] for n, axis in enumerate(point))
            phi, pt = np.arctan2(py, px), np.hypot(px, py)
            table = batch["tracks"]
            assert table["d0"][row] == pytest.approx(-x * np.sin(phi) + y * np.cos(phi), rel=1e-5, abs=1e-7)
            expected = z - (x * np.cos(phi) + y * np.sin(phi)) * pz / pt
            assert table["dz"][row] == pytest.approx(expected, rel=1e-5, abs=1e-6)
            assert table["quality"][row] == quality[event][i]
            row += 1
    assert row == batch["tracks"].rows


def test_an_event_without_vertex_uses_the_origin():
    lists = JaggedColumn(np.array([0, 2, 2, 3]), np.array([5.0, 6.0, 7.0]))
    assert first_of_each(lists).tolist() == [5.0, 0.0, 7.0]


def test_a_track_along_the_beam_gives_no_warning():
    with np.errstate(all="ignore"):
        eta = track_column("eta", {"px": np.zeros(2), "py": np.zeros(2), "pz": np.array([1.0, 0.0])})
    assert np.isinf(eta[0])
    assert np.isnan(eta[1])


def test_clusters_of_the_real_files_are_found(data):
    info = formats.inspect(str(data / "edm/given_2.root"))
    assert (info.format, info.tree, info.entries) == ("edm", "Events", 309)
    assert info.edges == (0, 64, 128, 192, 256, 309)
    assert info.size == (data / "edm/given_2.root").stat().st_size
    assert len(info.uuid) == 32
    hits = formats.inspect(str(data / "root/hits_given_c.root"))
    assert (hits.format, hits.edges) == ("hits", (0, 100, 200, 219))
    assert pickle.loads(pickle.dumps(hits)) == hits


def as_rntuple(source, target, cut):
    """Write the branches of a hit ntuple as an RNTuple of two clusters."""
    with uproot.open(source) as file:
        tree = file["Events"]
        columns = tree.arrays([name for name in tree.keys() if not name.startswith("n")], how=dict)  # noqa: SIM118
    with uproot.recreate(target) as file:
        written = file.mkrntuple("Events", {name: values[:cut] for name, values in columns.items()})
        written.extend({name: values[cut:] for name, values in columns.items()})
    return str(target)


def test_an_rntuple_reads_as_the_tree_it_was_made_from(data, tmp_path):
    tree = str(data / "root/hits_given_a.root")
    path = as_rntuple(tree, tmp_path / "a.root", 100)
    info, columns = formats.inspect(path), {name: ALL[name] for name in ("EB", "EE", "HBHE", "photon", "jet")}
    assert (info.format, info.entries, info.edges) == ("hits", 220, (0, 100, 220))
    for first, last in ((0, 220), (60, 150), (100, 101), (7, 7)):
        ours, theirs = read(path, columns, first, last), read(tree, columns, first, last)
        for name, wanted in columns.items():
            assert np.array_equal(ours[name].offsets, theirs[name].offsets)
            for column in wanted:
                assert ours[name][column].dtype == theirs[name][column].dtype
                assert np.array_equal(ours[name][column], theirs[name][column], equal_nan=True), column
        assert np.array_equal(ours.event, theirs.event)
        assert np.array_equal(ours.run, theirs.run)


def test_an_rntuple_tells_its_size_and_what_it_lacks(data, tmp_path):
    path = as_rntuple(data / "root/hits_given_a.root", tmp_path / "a.root", 100)
    hits = read(path, {"EB": HITS})["EB"].rows
    with formats.open_events(path, {"EB": HITS}) as reader:
        # Two columns of four bytes, and for each an end of eight bytes an event.
        assert reader.bytes_per_event() * 220 == pytest.approx(8 * hits + 2 * 8 * 220)
    with pytest.raises(BranchError, match=r"tracks\.quality"):
        read(path, {"tracks": P4 | {"quality"}})


def test_a_reader_says_what_it_reads_and_how_much(data):
    with formats.open_events(str(data / "edm/given_1.root"), {"EB": HITS, "jet": P4 | {"label"}}) as reader:
        eb = "EcalRecHitsSorted_reducedEcalRecHitsEB__RECO.obj.obj."
        assert sorted(reader.branches["EB"]) == [f"{eb}energy_", f"{eb}id_.id_"]
        assert len(reader.branches["jet"]) == 3
        assert 1000 < reader.bytes_per_event() < 10000


def test_miniaod_gives_the_same_as_aod_whether_split_or_not(data):
    wanted = {"EB": HITS, "photon": P4, "HBHE": HITS, "jet": P4}
    batch = read(data / "edm/given_mini.root", wanted)
    assert batch["EB"].rows == 27278
    split = read(data / "edm/given_1.root", wanted, 50, 150)
    np.testing.assert_array_equal(batch.event, split.event)
    for name, columns in wanted.items():
        np.testing.assert_array_equal(batch[name].offsets, split[name].offsets)
        for column in columns:
            np.testing.assert_array_equal(batch[name][column], split[name][column])


def test_unsplit_products_are_refused_before_any_is_read_if_the_file_does_not_describe_them(data, tmp_path):
    file = without_streamers(data / "edm/given_mini.root", tmp_path / "a.root")
    batch = read(file, {"EB": HITS, "EE": HITS, "jet": P4})
    assert batch["EB"].rows == 27278
    assert batch.run is None
    with pytest.raises(UnsplitError) as caught:
        formats.open_events(str(file), {"EB": HITS, "photon": P4, "HBHE": HITS})
    for name in ("patPhotons_slimmedPhotons", "HBHERecHitsSorted_reducedEgamma_reducedHBHEHits"):
        assert f"unsplit EDM product {name}_" in str(caught.value)
        assert f"'{name}_*'," in caught.value.todo.replace("s__*", "s_*")
    assert "the file has no StreamerInfo of edm::Wrapper<" in str(caught.value)
    assert "splitLevel = cms.untracked.int32(99)" in caught.value.todo


@pytest.mark.parametrize("label", ["ak5PFJets", "ak5PFJets::RECO"])
def test_the_first_label_that_the_file_has_is_taken(data, label):
    path = data / "edm/given_1.root"
    default = read(path, {"jet": P4}, 0, 50)
    chosen = read(
        path, {"jet": P4}, 0, 50, collections={"jet": ("ak8PFJetsCHS", "PFJet", label, "ak4PFJets")}
    )
    np.testing.assert_array_equal(default["jet"]["pt"], chosen["jet"]["pt"])


def test_one_list_of_labels_serves_both_formats(data):
    both = {"jet": ("ak5PFJets", "CaloJet")}
    batch = read(data / "root/hits_given_a.root", {"jet": P4}, collections=both)
    with uproot.open(data / "root/hits_given_a.root") as file:
        expected = ak.to_numpy(ak.flatten(file["Events"]["CaloJet_et"].array()))
    np.testing.assert_array_equal(batch["jet"]["pt"], expected)


def test_a_label_of_no_product_names_the_near_ones(data):
    text = r"jet: none has a label of ak5PFJet \(there are ak5PFJets::RECO\)"
    with pytest.raises(BranchError, match=text) as caught:
        read(data / "edm/given_1.root", {"jet": P4}, collections={"jet": ("ak5PFJet",)})
    assert "collections" in caught.value.todo


def test_a_hit_ntuple_reads_in_the_types_of_the_tables(ntuple):
    columns = {
        "EB": HITS | {"time"},
        "HBHE": HITS,
        "tracks": P4 | {"d0", "dz", "quality"},
        "BPIX1": frozenset({"eta", "phi"}),
        "jet": P4 | {"label"},
    }
    batch = read(ntuple, columns)
    assert batch["HBHE"].offsets.tolist() == [0, 3, 4, 6]
    assert batch["HBHE"]["detid"].tolist() == [1, 2, 11, 3, 12, 13]
    assert batch["HBHE"]["energy"].tolist() == [1, 2, 4, 3, 5, 6]
    assert batch["tracks"]["pt"].dtype == np.float32
    assert batch["tracks"]["quality"].dtype == np.uint8
    assert batch["tracks"]["quality"].tolist() == [4, 7, 0]
    assert batch["tracks"]["d0"].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert batch["BPIX1"].counts().tolist() == [0, 1, 1]
    assert batch["jet"]["label"].tolist() == [1, 0, 1]
    assert (batch.run.tolist(), batch.lumi.tolist()) == ([1, 1, 2], [10, 11, 12])
    assert batch.event.tolist() == [100, 101, 2**40]
    assert all(values.flags.c_contiguous for t in batch.tables.values() for values in t.columns.values())


def test_a_single_hbhe_table_reads_too(tmp_path):
    path = write(
        tmp_path / "one.root",
        {
            "HBHERecHit_detid": jagged([[1], [2, 3]], np.uint32),
            "HBHERecHit_energy": jagged([[1], [2, 3]], "f4"),
        },
    )
    batch = read(path, {"HBHE": HITS})
    assert batch["HBHE"]["detid"].tolist() == [1, 2, 3]
    assert (batch.run, batch.lumi, batch.event) == (None, None, None)


def test_labels_alone_still_have_the_rows_of_the_objects(ntuple):
    assert read(ntuple, {"jet": frozenset({"label"})})["jet"]["label"].tolist() == [1, 0, 1]
    empty = read(ntuple, {"jet": frozenset()})["jet"]
    assert (empty.rows, dict(empty.columns)) == (3, {})


def test_all_missing_branches_are_named_at_once_with_the_nearest(ntuple):
    with pytest.raises(BranchError) as caught:
        read(ntuple, {"EE": HITS, "photon": P4, "EB": HITS})
    text = str(caught.value)
    assert "hits.root:Events" in text
    assert "EERecHit_detid" in text
    assert "EBRecHit_detid" in text
    assert "Photon_eta" in text


def test_columns_of_a_table_are_one_fault_and_names_that_are_not_near_are_left_out(ntuple):
    faults = BranchErrors("f.root")
    one = "patPhotons_slimmedPhotons__PAT.obj."
    known = [f"{one}vertex_.fCoordinates.f{x}" for x in "XYZ"] + [f"{one}status_{i}" for i in range(9)]
    wanted = {f"photon.{x.lower()}": [f"{one}m_state.p4Polar_.fCoordinates.f{x}"] for x in ("Eta", "Phi")}
    faults.add_all_missing(wanted, known)
    assert faults.messages == [
        f"no branch for photon.eta, photon.phi below {one}m_state.p4Polar_.fCoordinates (wanted fEta, fPhi)"
    ]


def test_a_missing_track_quality_says_how_to_do_without(data):
    with pytest.raises(BranchError, match="track_quality = 0") as caught:
        read(data / "root/hits_given_a.root", {"tracks": P4 | {"quality"}})
    assert "Track_quality" in caught.value.what


def test_tables_and_columns_that_do_not_exist_are_refused_with_the_nearest(ntuple):
    with pytest.raises(UnknownNameError, match="photon"):
        read(ntuple, {"photons": P4})
    with pytest.raises(UnknownNameError, match="energy"):
        read(ntuple, {"EB": frozenset({"energie"})})
    with pytest.raises(UnknownNameError, match="jet"):
        read(ntuple, {"jet": P4}, collections={"jets": ("Jet",)})
    with pytest.raises(UnknownNameError, match="hits"):
        read(ntuple, {"jet": P4}, format="hit")


def test_a_wrong_tree_name_answers_with_the_trees_there_are(ntuple):
    with pytest.raises(InputError, match="Did you mean 'Events'"):
        formats.inspect(str(ntuple), tree="Event")


def test_a_tree_of_another_name_is_found_by_its_branches(tmp_path):
    path = write(tmp_path / "two.root", {"x": np.arange(3)}, tree="Summary")
    write(path, {"EBRecHit_detid": jagged([[1]], "u4")}, tree="deep/hits", add=True)
    info = formats.inspect(str(path))
    assert (info.tree, info.entries) == ("deep/hits", 1)
    assert read(path, {"EB": frozenset({"detid"})})["EB"].rows == 1


def test_of_several_cycles_the_highest_is_read(tmp_path):
    path = write(tmp_path / "cycles.root", {"EBRecHit_detid": jagged([[1]] * 2, "u4")})
    write(path, {"EBRecHit_detid": jagged([[1]] * 5, "u4")}, add=True)
    with uproot.open(path) as file:
        assert {"Events;1", "Events;2"} <= set(file.keys())
    info = formats.inspect(str(path))
    assert (info.tree, info.entries) == ("Events", 5)
    assert read(path, {"EB": frozenset({"detid"})}).events == 5


def test_a_tree_without_entries_is_fine(tmp_path):
    path = write(
        tmp_path / "none.root", {"EBRecHit_detid": jagged([], "u4"), "EBRecHit_energy": jagged([], "f4")}
    )
    info = formats.inspect(str(path))
    assert (info.entries, info.edges) == (0, (0,))
    with formats.open_events(info, {"EB": HITS}) as reader:
        assert reader.bytes_per_event() == 0
        batch = reader.read(0, 0)
    assert batch["EB"].rows == 0
    assert batch["EB"]["detid"].dtype == np.uint32


def test_a_file_written_anew_is_noticed(ntuple):
    info = formats.inspect(str(ntuple))
    with formats.open_events(info, {"EB": HITS}) as reader:
        assert reader.info == info
    write(ntuple, {"EBRecHit_detid": jagged([[1]], "u4"), "EBRecHit_energy": jagged([[1]], "f4")})
    with pytest.raises(ChangedFileError, match="entries was 3, is 1"):
        formats.open_events(info, {"EB": HITS})
    with pytest.raises(ChangedFileError, match="uuid was"):
        formats.open_events(replace(info, url=str(ntuple)), {"EB": HITS})


def test_a_range_outside_the_tree_is_refused(ntuple):
    with (
        formats.open_events(str(ntuple), {"EB": HITS}) as reader,
        pytest.raises(InputError, match="entries 0-3"),
    ):
        reader.read(2, 4)


@pytest.mark.parametrize("module", [formats, api])
def test_every_public_name_is_documented(module):
    things = [getattr(module, name) for name in module.__all__]
    for thing in (thing for thing in things if isinstance(thing, type | FunctionType)):
        assert thing.__doc__


def test_the_module_that_plug_ins_import_is_none_itself():
    assert sorted(find("formats")) == ["delphes", "edm", "hits", "pfnano", "rhtree"]


class Nothing:
    """A file that describes no classes."""

    fSeekInfo = fNbytesInfo = 0  # noqa: N815 - as uproot names them


class _Branch(Source):
    """As much of a TBranch as finding a product needs."""

    branches = ()

    def __init__(self, name):
        super().__init__("edm::Wrapper<Any>", name=name)
        self.file = Nothing()

    def itervalues(self, *, recursive):
        assert recursive
        return iter(())


def test_a_label_made_by_two_processes_must_be_written_in_full():
    tree = type(
        "Tree", (), {"branches": [_Branch(f"recoTracks_generalTracks__{p}.") for p in ("RECO", "REDO")]}
    )
    columns = {"tracks": frozenset({"pt"})}
    faults = BranchErrors("f.root")
    edm.map_branches(Request(tree, columns, {}, faults))
    assert "generalTracks::RECO, generalTracks::REDO" in faults.messages[0]
    chosen = BranchErrors("f.root")
    edm.map_branches(Request(tree, columns, {"tracks": ("generalTracks::REDO",)}, chosen))
    why = "the file has no StreamerInfo of edm::Wrapper<Any>"
    assert (chosen.messages, chosen.unsplit) == ([], {"recoTracks_generalTracks__REDO.": why})


def test_value_maps_of_the_same_label_are_no_products():
    names = ("recoTrackExtras_generalTracks__RECO.", "floatedmValueMap_generalTracks_MVAValues_RECO.")
    tree = type("Tree", (), {"branches": [_Branch(name) for name in names]})
    faults = BranchErrors("f.root")
    edm.map_branches(Request(tree, {"tracks": frozenset({"pt"}), "BPIX1": frozenset({"eta"})}, {}, faults))
    text = r"tracks: there is no product of type recoTracks or patPackedCandidates; BPIX1: .*no tracker hits"
    with pytest.raises(BranchError, match=text):
        faults.raise_if_any()
