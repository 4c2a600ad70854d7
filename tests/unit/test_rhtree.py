"""Ntuples with ready-made images: the same objects, seeds and images as from the hits they were made from.

tests/unit/rhtree.root was written by ROOT (tests/system/root_rhtree.py) from `rhtree_files.few_events`.
"""

import struct
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import uproot
from rhtree_files import BRANCHES, content_of, few_events, write_lists

from e2edist.config.tagger import load_tagger
from e2edist.errors import BranchError, EntriesError
from e2edist.formats import _column_reader, inspect, open_events, rhtree
from e2edist.formats._branch_map import BranchErrors, JaggedColumn, Request
from e2edist.formats._column_reader import ColumnReader
from e2edist.formats._crop_images import on_barrel
from e2edist.formats._image_columns import CROP_PIXEL, fold_crops, fold_images
from e2edist.formats._seeded_objects import seed_places
from e2edist.imaging.crops import dense, frame
from e2edist.imaging.event_batch import PIXEL_COLUMNS, pixel_table
from e2edist.imaging.layers import LAYERS, FillOptions, fill
from e2edist.imaging.seeds import STATUSES
from e2edist.worker.images import make_images

FILE = str(Path(__file__).with_name("rhtree.root"))
ALL = FillOptions()
EB = {pixel_table("EB_energy"): frozenset(PIXEL_COLUMNS)}
KINEMATICS = frozenset({"pt", "eta", "phi", "label"})


def tagger_of(name, *kinds):
    tagger = load_tagger(name)
    return tagger.model_copy(update={"objects": tagger.objects.model_copy(update={"kinds": kinds})})


def read(path, tagger, start=0, stop=None, collections=None):
    labels = tagger.objects.collections if collections is None else collections
    with open_events(str(path), tagger.columns(), labels) as reader:
        return reader.read(start, reader.info.entries if stop is None else stop)


def assert_same_images(batch, expected, tagger):
    got, wanted = make_images(batch, tagger), make_images(expected, tagger)
    assert wanted.accepted.any()
    for name in ("status", "row", "col"):
        np.testing.assert_array_equal(getattr(got.seeds, name), getattr(wanted.seeds, name), strict=True)
    for name in ("pt", "eta", "phi", "label"):
        np.testing.assert_array_equal(got.objects[name], wanted.objects[name], strict=True)
    ours, theirs = (dense(images.crops, tagger.normalisation) for images in (got, wanted))
    np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize(("name", "kind"), [("eg", "photon"), ("qg", "jet")])
def test_a_file_of_root_gives_the_objects_seeds_and_images_of_its_hits(name, kind):
    tagger = tagger_of(name, kind)
    assert inspect(FILE).format == "rhtree"
    assert inspect(FILE).tree == "fevt/RHTree"
    batch, expected = read(FILE, tagger), few_events()
    assert_same_images(batch, expected, tagger)
    for key in ("run", "lumi", "event"):
        np.testing.assert_array_equal(getattr(batch, key), getattr(expected, key), strict=True)
    assert_same_images(read(FILE, tagger, 1, 2), read(FILE, tagger, 1, 2), tagger)


def test_every_image_of_a_file_of_root_has_the_pixels_of_its_hits():
    expected = few_events()
    with open_events(FILE, {pixel_table(name): frozenset(PIXEL_COLUMNS) for name in BRANCHES}) as reader:
        batch = reader.read(0, 3)
    for name in BRANCHES:
        assert len(fill(expected, name, ALL).value) > 1
        for event in range(3):
            ours, theirs = (frame(fill(one, name, ALL), event) for one in (batch, expected))
            np.testing.assert_array_equal(ours, theirs, err_msg=name)


def of_some_branches(*left_out):
    """Return the batch of the file of ROOT as if it had not some branches."""
    with uproot.open(FILE) as file:
        tree = file["fevt/RHTree"]
        some = SimpleNamespace(branches=[one for one in tree.branches if one.name not in left_out])
        request = Request(some, {"photon": KINEMATICS}, {}, BranchErrors("x"), frozenset({"EB_energy"}))
        found = rhtree.map_branches(request)
        request.errors.raise_if_any()
        branches = list(dict.fromkeys(branch for table in found.tables for branch in table.branches))
        lists = ColumnReader(file, tree, branches).read("x", 0, 3)
    return {table.table: table.build(lists) for table in found.tables}, found.notes


def test_without_its_image_the_barrel_is_that_of_the_stitched_image():
    tables, notes = of_some_branches("EB_energy")
    expected = fill(few_events(), "EB_energy", ALL)
    got = LAYERS["EB_energy"].fill(SimpleNamespace(tables=tables), ALL)
    for event in range(3):
        np.testing.assert_array_equal(frame(got, event), frame(expected, event))
    assert "EB_energy is ECAL_energy" in notes


def test_without_either_the_barrel_is_that_of_the_crops_round_photons():
    tables, notes = of_some_branches("EB_energy", "ECAL_energy")
    tagger, expected = tagger_of("eg", "photon"), few_events()
    batch = few_events()
    assert_same_images(type(batch)(0, 3, tables), expected, tagger)
    assert any("EB_energy is SC_energy" in note for note in notes)


def test_images_are_read_in_pieces_that_are_never_in_memory_together(tmp_path):
    random, events = np.random.default_rng(1), 240
    image = np.zeros((events, 61200), "f4")
    image[np.arange(events), random.integers(0, 61200, events)] = 1 + np.arange(events)
    image[:, 7] = -1
    path = write_lists(tmp_path / "a.root", {"EB_energy": list(image)}, cluster=5)
    with open_events(str(path), EB) as reader:
        reader.read(0, 1)
        tracemalloc.start()
        table = reader.read(0, events)[pixel_table("EB_energy")]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert reader.bytes_per_event() < 61200 * 4 / 20
    assert peak < 0.6 * image.nbytes
    np.testing.assert_array_equal(table.counts(), 1)
    np.testing.assert_array_equal(table["row"].astype(int) * 360 + table["col"], np.argmax(image, axis=1))
    np.testing.assert_array_equal(table["value"], 1 + np.arange(events))


@pytest.mark.parametrize("piece", [1, 3 * 61200 * 4, 1 << 40])
def test_pieces_of_any_size_give_the_same(monkeypatch, tmp_path, piece):
    image = np.zeros((23, 61200), "f4")
    image[np.arange(23), np.arange(23) * 1000] = 1
    image[5:9, 100:300] = 2.5
    path = write_lists(tmp_path / "a.root", {"EB_energy": list(image)}, cluster=4)
    monkeypatch.setattr(_column_reader, "_PIECE_BYTES", piece)
    with open_events(str(path), EB) as reader:
        for start, stop in ((0, 23), (2, 22), (4, 8), (6, 7), (9, 9)):
            table = reader.read(start, stop)[pixel_table("EB_energy")]
            event, pixel = np.nonzero(image[start:stop])
            np.testing.assert_array_equal(table.events(), event)
            np.testing.assert_array_equal(table["row"].astype(int) * 360 + table["col"], pixel)
            np.testing.assert_array_equal(table["value"], image[start:stop][event, pixel])


def test_an_image_of_another_size_is_named_with_its_entry_and_costs_its_basket_alone(tmp_path):
    images = [np.ones(61200, "f4")] * 12
    images[9] = images[9][:-1]
    path = write_lists(tmp_path / "a.root", {"EB_energy": images}, cluster=4)
    with open_events(str(path), EB) as reader:
        reader.read(0, 8)
        with pytest.raises(EntriesError) as caught:
            reader.read(2, 12)
    assert "branch 'EB_energy' has 61199 numbers in entry 9, not 61200" in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.ranges == ((8, 12),)


def test_signed_layers_keep_both_signs_and_energies_what_is_above_zero():
    values = JaggedColumn(np.array([0, 4, 8]), np.array([0, -1, 2, np.nan, 3, 0, 0, -2], "f4"))
    energies = fold_images("x", 4, signed=False)(values, 0)
    assert energies.offsets.tolist() == [0, 1, 2]
    assert energies.data["at"].tolist() == [2, 0]
    assert fold_images("x", 4, signed=True)(values, 0).data["at"].tolist() == [1, 2, 3, 0, 3]


def record(*images, size=None):
    """Return an entry of std::vector<std::vector<float>>."""
    inner = b"".join(struct.pack(f">I{len(image)}f", size or len(image), *image) for image in images)
    return struct.pack(">IHI", 0x40000000 | (6 + len(inner)), 9, len(images)) + inner


def column(*records):
    offsets = np.cumsum([0, *map(len, records)])
    return JaggedColumn(offsets.astype(np.int64), np.frombuffer(b"".join(records), np.uint8))


def test_lists_of_images_keep_their_pixels_and_that_an_image_is_there():
    found = fold_crops("x", 3)(column(record((0, 1, 2), (0, 0, 0)), record(), record((-1, 0, 4))), 0)
    assert found.offsets.tolist() == [0, 4, 4, 6]
    assert found.data.tolist() == [(0, -1, 0), (0, 1, 1), (0, 2, 2), (1, -1, 0), (0, -1, 0), (0, 2, 4)]


GOOD = record((0, 1, 2), (3, 0, 0))


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        GOOD[:9],
        GOOD[:-1],
        GOOD + b"\0" * 4,
        GOOD[:3] + b"\xff" + GOOD[4:],
        GOOD[:6] + struct.pack(">I", 2**31) + GOOD[10:],
        record((0, 1, 2), (3, 0, 0), size=2**30),
        record((0, 1, 2, 4), (3, 0)),
        record((0, 1)),
    ],
)
def test_lists_that_are_no_images_to_their_last_byte_are_named_with_their_entry(bad):
    with pytest.raises(EntriesError, match="entry 12 of branch 'x' is no list of images of 3 pixels"):
        fold_crops("x", 3)(column(GOOD, record(), bad, GOOD), 10)


def test_damaged_lists_of_images_are_decoded_or_refused_and_nothing_else():
    random = np.random.default_rng(3)
    whole = column(*[record((0, 1, 2), (3, 0, 0))] * 3)
    refused = 0
    for _ in range(400):
        data = whole.data.copy()
        data[random.integers(0, len(data))] ^= 1 << random.integers(0, 8)
        try:
            found = fold_crops("x", 3)(JaggedColumn(whole.offsets, data), 0)
        except EntriesError:
            refused += 1
        else:
            assert (found.data["at"] == -1).sum() == 6
    assert 0 < refused < 400


def one_event(*crops):
    """Return crops of one event from (place in the image, value) of each."""
    rows = [(i, *pixel) for i, pixels in enumerate(crops) for pixel in [(-1, 0), *pixels]]
    return JaggedColumn(np.array([0, len(rows)]), np.array(rows, CROP_PIXEL))


def floats(*values):
    return JaggedColumn(np.array([0, len(values)]), np.array(values, "f4"))


def test_crops_lie_round_their_seeds_and_what_two_of_them_have_counts_once():
    # The seed of a crop is its row 15, column 15; the second one lies two columns further.
    crops = one_event([(15 * 32 + 15, 5.0), (15 * 32 + 17, 4.0), (0, 1.0)], [(15 * 32 + 15, 4.0)])
    table = on_barrel("SC_energy", crops, floats(20, 20), floats(3, 5))
    pixels = zip(*(table[name].tolist() for name in PIXEL_COLUMNS), strict=True)
    assert sorted(pixels) == [(5, 348, 1.0), (20, 3, 5.0), (20, 5, 4.0)]


def test_crops_that_differ_where_they_overlap_or_have_no_seed_are_refused():
    with pytest.raises(EntriesError, match="two images of an event in SC_energy differ where they overlap"):
        on_barrel("SC_energy", one_event([(15 * 32 + 17, 4.0)], [(495, 4.5)]), floats(20, 20), floats(3, 5))
    with pytest.raises(EntriesError, match="SC_energy has another number of images than the event has seeds"):
        on_barrel("SC_energy", one_event([(15, 4.0)]), floats(20, 20), floats(3, 5))


@pytest.mark.parametrize("place", [(170, 0), (0, 360), (-1, 0), (0.5, 3), (np.nan, 1), (np.inf, 1)])
def test_seeds_that_are_no_crystals_are_refused(place):
    row, col = (np.array([value], "f4") for value in place)
    with pytest.raises(EntriesError, match="SC_ieta and SC_iphi are not all on the grid of 170x360"):
        seed_places("photon", row, col)


def small(tmp_path, **branches):
    """Write a file of one event with an image of the barrel and the given lists."""
    image = np.zeros(61200, "f4")
    image[50 * 360 + 20] = 3
    lists = {name: [np.array(values, "f4")] for name, values in branches.items()}
    return write_lists(tmp_path / "a.root", {"EB_energy": [image], **lists})


def test_objects_without_momenta_have_the_images_at_their_seeds_and_no_cut(tmp_path):
    tagger = tagger_of("eg", "photon", "electron")
    batch = read(small(tmp_path, SC_ieta=[50, 160, -1], SC_iphi=[20, 7, -1]), tagger)
    images = make_images(batch, tagger)
    assert [STATUSES[status] for status in images.seeds.status] == ["ok", "ok", "nan"]
    assert images.seeds.row.tolist() == [50, 160, -1]
    assert all(np.isnan(images.objects[name]).all() for name in ("pt", "eta", "phi"))
    seeds = "photon: no pt, eta, phi in the file, and no cut on that; seeds are SC_ieta and SC_iphi"
    assert {seeds, "electron: the file has none"} <= set(batch.notes)
    dropped = tagger.model_copy(update={"seed": tagger.seed.model_copy(update={"edge": "drop"})})
    assert [STATUSES[status] for status in make_images(batch, dropped).seeds.status] == ["ok", "edge", "nan"]


def test_electrons_without_seeds_are_looked_for_beside_photons_that_have_them(tmp_path):
    tagger = tagger_of("eg", "photon", "electron")
    eta, phi = [0.0174533 * (50 - 84.5)], [np.radians(20.5 - 10)]
    path = small(
        tmp_path, SC_ieta=[30], SC_iphi=[9], pho_pT=[50], pho_eta=eta, pho_phi=phi, ele_pT=[50], ele_eta=eta,
        ele_phi=phi,
    )  # fmt: skip
    seeds = make_images(read(path, tagger), tagger).seeds
    assert (seeds.row.tolist(), seeds.col.tolist(), seeds.status.tolist()) == ([30, 50], [9, 20], [0, 0])


def test_seeds_of_jets_are_towers_and_those_too_far_out_are_rejected(tmp_path):
    tagger = tagger_of("qg", "jet")
    path = small(tmp_path, jetSeed_ieta=[11, 12, 43, 44], jetSeed_iphi=[0, 1, 70, 71], jet_Pt=[90] * 4)
    none = np.zeros((1, 4032), "f4")
    with uproot.open(path) as file:
        content = {
            name: list(one)
            for name, one in file["fevt/RHTree"].arrays(library="np").items()
            if name[0] != "n"
        }
    stitched = {name: np.zeros((1, 100800), "f4") for name in ("ECAL_energy", "ECAL_tracksPt_atECAL")}
    path = write_lists(tmp_path / "b.root", content | {"HBHE_energy": none} | stitched)
    seeds = make_images(read(path, tagger), tagger).seeds
    assert [STATUSES[status] for status in seeds.status] == ["seed_eta", "ok", "ok", "seed_eta"]
    assert (seeds.row.tolist(), seeds.col.tolist()) == ([57, 62, 217, 222], [2, 7, 352, 357])


def test_the_label_of_tracks_says_which_variant_is_read(tmp_path):
    tagger = tagger_of("qg", "jet")
    content = content_of(few_events(), tagger, ["ECAL_energy", "HBHE_energy", "ECAL_tracksPt"])
    name = "ECAL_tracksPt_maxPt_atECALfixIP"
    content[name] = [np.arange(100800, dtype="f4") * (i == 1) for i in range(3)]
    path = write_lists(tmp_path / "a.root", content)
    plain = read(path, tagger)
    assert any("ECAL_tracksPt is ECAL_tracksPt_atECALfixIP" in note for note in plain.notes)
    chosen = read(path, tagger, collections={"tracks": ("generalTracks", "ECAL_tracks_maxPt_atECALfixIP")})
    assert any(f"ECAL_tracksPt is {name}" in note for note in chosen.notes)
    assert chosen[pixel_table("ECAL_tracksPt")].counts().tolist() == [0, 100799, 0]


def test_what_is_missing_is_named_at_once(tmp_path):
    path = small(tmp_path, jetPt=[50], jetEta=[0], jetPhi=[0])
    with pytest.raises(BranchError) as caught:
        read(path, tagger_of("qg", "jet"))
    text = str(caught.value)
    assert "HBHE_depth1: no jetSeed_ieta and jetSeed_iphi with seeds of jet" in text
    for name in ("ECAL_energy", "HBHE_energy", "ECAL_tracksPt_atECALfixIP"):
        assert name in text
    with pytest.raises(BranchError, match="no branch for photon, electron"):
        read(path, tagger_of("eg", "photon", "electron"))
