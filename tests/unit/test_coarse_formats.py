"""Delphes output and PF-NanoAOD become the coarse images that docs/images.md defines."""

import math
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from coarse_files import assert_same_tables
from models import write_model, write_tagger

from e2edist import formats
from e2edist.campaign.planning import make_plan, notes_on_plan
from e2edist.config.tagger import load_tagger
from e2edist.errors import BranchError, EntriesError, InputError
from e2edist.formats import api
from e2edist.imaging.geometry import eta_row, phi_column
from e2edist.worker.images import make_images

LAYERS = ("ECAL_energy", "EB_energy", "HBHE_energy", "HBHE_depth1")
TRACKS = ("ECAL_tracksPt", "ECAL_tracksD0", "ECAL_tracksDz")
P4 = frozenset({"pt", "eta", "phi"})
EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "coarse_jets.toml"
GRID = {"EB_energy": (170, 360), "HBHE_energy": (56, 72), "HBHE_depth1": (56, 72)}


def read(path, layers, objects=(), **options):
    columns = {api.pixel_table(layer): frozenset({"row", "col", "value"}) for layer in layers}
    columns |= dict.fromkeys(objects, P4)
    with formats.open_events(str(path), columns, **options) as reader:
        return reader.read(0, reader.info.entries)


def frames(batch, layer):
    """Return the dense frames of all events in float64."""
    table = batch[api.pixel_table(layer)]
    out = np.zeros((batch.events, *GRID.get(layer, (280, 360))))
    np.add.at(out, (table.events(), table["row"], table["col"]), table["value"])
    return out


def lists(values, dtype="f4"):
    flat = np.array([x for one in values for x in one], dtype)
    return ak.unflatten(ak.Array(flat), np.array([len(one) for one in values], np.int64))


def write(path, branches, tree):
    with uproot.recreate(path) as file:
        made = {k: v if isinstance(v, np.ndarray) else ak.Array(v) for k, v in branches.items()}
        file.mktree(tree, {k: v.dtype if isinstance(v, np.ndarray) else v.type for k, v in made.items()})
        file[tree].extend(made)
    return path


def write_delphes(path, **changes):
    """Write three events; a change replaces a branch, None leaves it out. Lengths are in mm."""
    branches = {
        "Tower.Eta": [[0.04, 2.4], [], [-0.04, 3.2, 0.04]],
        "Tower.Phi": [[0.04, -0.1], [], [0.04 + 2 * math.pi, 0.1, math.nan]],
        "Tower.Eem": [[25, 5], [], [50, 1, 1]],
        "Tower.Ehad": [[2, -3], [], [4, 1, 1]],
        "Track.Eta": [[0.001], [0.001, 0.001], [1.5]],
        "Track.Phi": [[0.001], [0.001, 0.001], [math.pi]],
        "Track.PT": [[1.5], [2, 3], [4]],
        "Track.D0": [[0.5], [0.2, 7], [-0.1]],
        "Track.DZ": [[-0.9], [0.1, 1.5], [0.99]],
        "Jet.PT": [[50], [40], []],
        "Jet.Eta": [[0.1], [1], []],
        "Jet.Phi": [[0.1], [1], []],
    } | {name.replace("_", "."): value for name, value in changes.items()}
    kept = {name: lists(value) for name, value in branches.items() if value is not None}
    return write(path, kept, "Delphes")


def write_nano(path, **changes):
    """Write two events with a candidate of each kind."""
    ids = [22, 11, 211, 130, 13, 1, 2]
    branches = {
        "PFCands_eta": [[0.01, 0.2, 1.5, -2.9, 0.3, 2.99, -2.99], [0.01, math.nan, 3.1]],
        "PFCands_phi": [[0.01, 4, -0.3, 3.1, 0, 1, 2], [0.01, 0, 0]],
        "PFCands_pt": [[10, 20, 5, 2, 30, 1, 1], [3, 3, 3]],
        "PFCands_mass": [[0, 0.5, 0.14, 0, 0.1, 0, 0], [-1e-6, 0, 0]],
        "PFCands_d0": [[-1, 0.01, 0.02, -1, 0.03, -1, -1], [-1] * 3],
        "PFCands_dz": [[-1, 0.05, -0.2, -1, 0.01, -1, -1], [-1] * 3],
        "Photon_pt": [[10], []],
        "Photon_eta": [[0.01], []],
        "Photon_phi": [[0.01], []],
    } | changes
    kept = {name: lists(value) for name, value in branches.items() if value is not None}
    if "PFCands_pdgId" not in changes:
        kept["PFCands_pdgId"] = lists([[ids[0], -ids[1], *ids[2:]], [22, 22, 22]], "i4")
    for name, dtype in (("run", "u4"), ("luminosityBlock", "u4"), ("event", "u8")):
        kept[name] = np.array([1, 2], dtype)
    return write(path, kept, "Events")


def slow_towers(path, name, per):
    """Return ECAL or HBHE frames of a Delphes file, tower by tower, each at its centre's few pixels."""
    from test_coarse_images import slow_tower

    tree = uproot.open(path)["Delphes"]
    keys = ("Eta", "Phi", "Eem" if name == "ECAL" else "Ehad", "Edges[4]")
    columns = [tree[f"Tower.{key}"].array().tolist() for key in keys]
    out = np.zeros((tree.num_entries, 280 // per, 360 // per))
    for event, towers in enumerate(zip(*columns, strict=True)):
        # As many as a loop over all centres can do in seconds.
        for eta, phi, energy, edges in list(zip(*towers, strict=True))[:150]:
            if energy > 0 and abs(eta) < 3:
                covered = slow_tower(name, edges, eta, phi)
                for row, col in covered:
                    out[event, row, col] += energy / len(covered)
    return out


def test_towers_of_the_written_file_are_where_a_hand_puts_them(tmp_path):
    batch = read(write_delphes(tmp_path / "a.root"), LAYERS)
    ecal, barrel, hbhe, seeds = (frames(batch, layer) for layer in LAYERS)
    expected = np.zeros((3, 280, 360))
    expected[0, 140:145, 10:15] = 1  # 0.087 x 5 degrees: ieta 1, iphi 1, which column 10 begins
    expected[0, 270 - 5 : 270, 0:10] = 5 / 50  # |eta| 2.322-2.5 is ieta 26, 10 degrees from -10 on
    expected[2, 135:140, 10:15] = 2
    np.testing.assert_allclose(ecal, expected, rtol=1e-6)
    np.testing.assert_array_equal(barrel, ecal[:, 55:225])
    assert np.argwhere(hbhe).tolist() == [[0, 28, 2], [2, 27, 2]]
    assert np.argwhere(seeds).tolist() == [[0, 28, 0], [2, 27, 0]]
    assert hbhe[0, 28, 2] == seeds[0, 28, 0] == 2
    assert any("no Tower.Edges" in note for note in batch.notes)
    assert any("approximate" in note for note in batch.notes)


def test_tracks_of_delphes_are_in_cm(tmp_path):
    pt, d0, dz = (frames(read(write_delphes(tmp_path / "a.root"), TRACKS), layer) for layer in TRACKS)
    assert pt[0, 140, 10] == pytest.approx(1.5)
    assert pt[1, 140, 10] == pytest.approx(5)
    assert d0[0, 140, 10] == pytest.approx(0.05)
    assert dz[0, 140, 10] == pytest.approx(-0.09)
    assert d0[1, 140, 10] == pytest.approx(0.02)  # the other is 1.5 mm off
    place = (2, eta_row(1.5), phi_column(math.pi))
    assert (pt[place], dz[place]) == (4, pytest.approx(0.099))
    assert np.count_nonzero(dz) == 3


@pytest.mark.parametrize(("name", "layer", "per"), [("ECAL", "ECAL_energy", 1), ("HBHE", "HBHE_energy", 5)])
def test_real_towers_are_where_a_slow_loop_puts_them(data, tmp_path, name, layer, per):
    """The first 150 towers of each event, by their sum; and no energy is lost of all of them."""
    path = data / "root/delphes.root"
    expected = slow_towers(path, name, per)
    tree = uproot.open(path)["Delphes"]
    key = "Tower.Eem" if name == "ECAL" else "Tower.Ehad"
    eta, energy = tree["Tower.Eta"].array(), tree[key].array()
    got = frames(read(path, [layer]), layer)
    whole = ak.to_numpy(ak.sum(energy[abs(eta) < 3], axis=1))
    np.testing.assert_allclose(got.sum((1, 2)), whole, rtol=1e-5)
    assert (expected <= got * (1 + 1e-5)).all()
    few = ak.num(eta) <= 150
    assert expected.any()
    np.testing.assert_allclose(got[few], expected[few], rtol=1e-5)


def test_delphes_gives_objects_and_the_number_of_the_event(data):
    path = data / "root/delphes.root"
    batch = read(path, ["EB_energy"], ("photon", "electron", "jet"))
    tree = uproot.open(path)["Delphes"]
    for kind, label in (("photon", "Photon"), ("electron", "Electron"), ("jet", "Jet")):
        for column, leaf in (("pt", "PT"), ("eta", "Eta"), ("phi", "Phi")):
            expected = ak.to_numpy(ak.flatten(tree[f"{label}.{leaf}"].array()))
            np.testing.assert_array_equal(batch[kind][column], expected)
    assert batch.event.tolist() == list(range(25))
    assert batch.run is None
    assert "run, lumi: Delphes output has none" in batch.notes


@pytest.mark.parametrize("label", ["EFlowTrack", "Track"])
def test_tracks_and_jets_of_delphes_are_those_of_the_tagger(data, label):
    path = data / "root/delphes.root"
    wanted = {"tracks": ("Nothing", label), "jet": ("ParticleFlowJet04",)}
    batch = read(path, TRACKS[:1], ("jet",), collections=wanted)
    tree = uproot.open(path)["Delphes"]
    pt, eta = tree[f"{label}.PT"].array(), tree[f"{label}.Eta"].array()
    np.testing.assert_allclose(
        frames(batch, TRACKS[0]).sum((1, 2)), ak.sum(pt[abs(eta) <= 3], axis=1), rtol=1e-5
    )
    expected = ak.to_numpy(ak.flatten(tree["ParticleFlowJet04.PT"].array()))
    np.testing.assert_array_equal(batch["jet"]["pt"], expected)


def slow_candidates(arrays, layer):
    """Return the frames of PF-NanoAOD, candidate by candidate."""
    kinds = {"ECAL_energy": (22, 11, 2), "HBHE_energy": (211, 130, 1)}.get(layer, (211, 11, 13))
    per = 5 if layer == "HBHE_energy" else 1
    out = np.zeros((len(arrays["pt"]), 280 // per, 360 // per))
    for event, candidates in enumerate(zip(*arrays.values(), strict=True)):
        for one in zip(*candidates, strict=True):
            pt, eta, phi, mass, number, d0, dz = one
            row = eta_row(eta)
            if abs(number) not in kinds or row < 0:
                continue
            value = math.sqrt((pt * math.cosh(eta)) ** 2 + mass**2)
            if layer.startswith("ECAL_tracks"):
                value = {"Pt": pt, "D0": d0, "Dz": dz}[layer[-2:]]
                value = value if layer.endswith("Pt") or abs(dz) < np.float32(0.1) else 0
            out[event, row // per, phi_column(phi) // per] += value
    return out


@pytest.mark.parametrize("layer", ["ECAL_energy", "HBHE_energy", *TRACKS])
@pytest.mark.parametrize("source", ["written", "real"])
def test_candidates_are_where_a_slow_loop_puts_them(request, tmp_path, layer, source):
    if source == "real":
        path = request.getfixturevalue("data") / "root/pfnano.root"
    else:
        path = write_nano(tmp_path / "a.root")
    tree = uproot.open(path)["Events"]
    keys = ("pt", "eta", "phi", "mass", "pdgId", "d0", "dz")
    arrays = {key: tree[f"PFCands_{key}"].array().tolist() for key in keys}
    expected = slow_candidates(arrays, layer)
    assert expected.any()
    np.testing.assert_allclose(frames(read(path, [layer]), layer), expected, rtol=2e-5, atol=1e-5)


def test_a_ttree_and_an_rntuple_of_pfnano_give_identical_tables(data):
    layers, objects = (*LAYERS, *TRACKS), ("photon", "electron", "jet")
    names = {"jet": ("FatJet",)}
    one, other = (
        read(data / f"root/{name}.root", layers, objects, collections=names)
        for name in ("pfnano", "pfnano_rntuple")
    )
    assert_same_tables(one, other)
    for key in ("run", "lumi", "event"):
        np.testing.assert_array_equal(getattr(one, key), getattr(other, key), strict=True)
    assert one.notes == other.notes


def test_newer_nanoaod_calls_them_pfcand_and_has_no_d0(tmp_path):
    old = write_nano(tmp_path / "old.root")
    new = tmp_path / "new.root"
    with uproot.open(old)["Events"] as tree:
        names = sorted({*tree.keys()} - {"PFCands_d0", "PFCands_dz"})
        kept = {name.replace("PFCands_", "PFCand_"): tree[name].array() for name in names if name[0] != "n"}
    write(new, {k: v.to_numpy() if v.ndim == 1 else ak.Array(v) for k, v in kept.items()}, "Events")
    for layer in (*LAYERS, TRACKS[0]):
        np.testing.assert_array_equal(frames(read(new, [layer]), layer), frames(read(old, [layer]), layer))
    with pytest.raises(BranchError, match=r"no branch for candidates\.d0, candidates\.dz"):
        read(new, TRACKS)


@pytest.mark.parametrize(
    ("branch", "layers", "named"),
    [
        ("Tower_Eem", ["ECAL_energy", "EB_energy"], "towers.em below Tower (wanted Eem"),
        ("Tower_Ehad", ["HBHE_energy", "HBHE_depth1"], "towers.had below Tower (wanted Ehad"),
        ("Track_D0", ["ECAL_tracksD0"], "tracks.d0 below Track (wanted D0"),
        ("Jet_PT", ["EB_energy"], "jet.pt below Jet (wanted PT"),
    ],
)
def test_a_branch_that_delphes_lacks_is_named_once(tmp_path, branch, layers, named):
    path = write_delphes(tmp_path / "a.root", **{branch: None})
    with pytest.raises(BranchError) as caught:
        read(path, layers, ("jet",))
    assert caught.value.what.count(named) == 1
    assert caught.value.what.count("no branch") == 1


def test_a_plan_says_once_for_each_format_that_images_are_approximate(data, tmp_path):
    coarse = write_tagger(
        tmp_path / "t.toml", write_model(tmp_path / "m.onnx"), objects={"kinds": ["photon"], "pt_min": 0}
    )
    tagger, nano = load_tagger(str(coarse)), [str(write_nano(tmp_path / f"{name}.root")) for name in "ab"]
    paths = [str(data / "root/delphes.root"), *nano, str(data / "root/hits_given_c.root")]
    found = list(notes_on_plan(make_plan(tagger, paths), {}))
    assert [line.split(": the images are approximate: made of ")[0] for line in found] == [
        f"note: {paths[0]}",
        f"note: {paths[1]} and 1 more",
    ]


def test_a_lumi_mask_on_delphes_is_refused_for_its_lack_of_lumis_alone(tmp_path):
    columns = {api.pixel_table("EB_energy"): frozenset({"row", "col", "value"})}
    path = str(write_delphes(tmp_path / "a.root"))
    with formats.open_events(path, columns) as reader, pytest.raises(InputError) as caught:
        reader.require_lumis()
    assert "for the lumi mask (run, lumi: Delphes output has none)" in str(caught.value)


def test_what_one_collection_of_tracks_lacks_is_not_taken_from_another(tmp_path):
    path = write_delphes(tmp_path / "a.root", Track_D0=None)
    with uproot.open(path)["Delphes"] as tree:
        kept = {name: ak.Array(tree[name].array()) for name in tree.keys(filter_name="/[JT].*/")}
    other = {name.replace("Track", "EFlowTrack"): one for name, one in kept.items() if name[:5] == "Track"}
    other["EFlowTrack.D0"] = kept["Track.DZ"]
    write(path, kept | other, "Delphes")
    with pytest.raises(BranchError, match=r"d0 below Track \(wanted D0; nearest: EFlowTrack\.D0\)"):
        read(path, TRACKS, collections={"tracks": ("Track", "EFlowTrack")})
    assert read(path, TRACKS, collections={"tracks": ("EFlowTrack", "Track")}).events == 3


def test_delphes_without_towers_is_told_how_its_card_writes_them(tmp_path):
    gone = {f"Tower_{name}": None for name in ("Eta", "Phi", "Eem", "Ehad")}
    path = write_delphes(tmp_path / "a.root", **gone)
    with pytest.raises(BranchError, match=r"no branch for towers\.em, towers\.eta, towers\.phi") as caught:
        read(path, ["EB_energy"], format="delphes")
    assert "add Branch Calorimeter/towers Tower Tower" in caught.value.todo


def test_layers_that_need_hits_are_refused_by_name(tmp_path):
    path = write_delphes(tmp_path / "a.root")
    with pytest.raises(BranchError) as caught:
        read(path, ["EB_time", "BPIX1", "EB_energy"])
    assert "BPIX1: a file without hits has nothing to make it of" in caught.value.what
    assert "EB_time: a file without hits has nothing to make it of" in caught.value.what
    with pytest.raises(BranchError, match="EB: the file has no hits"):
        formats.open_events(str(path), {"EB": frozenset({"detid", "energy"})})


@pytest.mark.parametrize(
    ("change", "layer"),
    [
        ({"Tower_Eem": [[25], [], [50, 1, 1]]}, "ECAL_energy"),
        ({"Tower_Phi": [[1, 1], [1], [1, 1, 1]]}, "HBHE_energy"),
        ({"Track_PT": [[], [2, 3], [4]]}, "ECAL_tracksPt"),
    ],
)
def test_counts_that_differ_are_damage(tmp_path, change, layer):
    path = write_delphes(tmp_path / "a.root", **change)
    with pytest.raises(EntriesError, match="have different numbers of rows in an event"):
        read(path, [layer])


def test_edges_that_overlap_too_much_are_damage(tmp_path, monkeypatch):
    from e2edist.formats import delphes

    wide = np.tile(np.array([-3, 3, -math.pi, math.pi]), (5, 1))
    monkeypatch.setattr(delphes, "hcal_tower_edges", lambda *at: wide[: len(at[0])])
    with pytest.raises(EntriesError, match="cover more than the whole detector"):
        read(write_delphes(tmp_path / "a.root"), ["ECAL_energy"])


def test_a_damaged_delphes_says_so(data):
    with pytest.raises(InputError) as caught:
        formats.inspect(str(data / "odd/bad_delphes.root"))
    assert "bad_delphes.root" in caught.value.where
    assert caught.value.todo


@pytest.mark.parametrize("name", ["delphes", "pfnano", "pfnano_rntuple"])
def test_the_tagger_of_the_docs_makes_images_of_real_files(data, tmp_path, name):
    write_model(tmp_path / "coarse_jets.onnx", channels=3, size=125, outputs={"logits": 2})
    (tmp_path / EXAMPLE.name).write_text(EXAMPLE.read_text())
    tagger = load_tagger(str(tmp_path / EXAMPLE.name))
    path = str(data / f"root/{name}.root")
    with formats.open_events(path, tagger.columns(), tagger.objects.collections) as reader:
        batch = reader.read(0, reader.info.entries)
    images = make_images(batch, tagger)
    assert images.accepted.sum() == {"delphes": 32}.get(name, 29)
    assert len(images.crops.value) > 10_000


def test_a_tagger_of_photons_finds_the_energy_of_its_tower(tmp_path):
    """A photon's seed is the crystal that has its energy."""
    tagger = write_tagger(
        tmp_path / "t.toml", write_model(tmp_path / "m.onnx"), objects={"kinds": ["photon"]}
    )
    spec = load_tagger(str(tagger))
    with formats.open_events(str(write_nano(tmp_path / "a.root")), spec.columns()) as reader:
        images = make_images(reader.read(0, 2), spec)
    assert images.seeds.status.tolist() == [0]
    assert (images.seeds.row[0], images.seeds.col[0]) == (eta_row(0.01) - 55, phi_column(0.01))
    energy = np.float32(10 * math.cosh(np.float32(0.01)))  # before the tagger scales it
    assert images.crops.value.max() == pytest.approx(energy)
