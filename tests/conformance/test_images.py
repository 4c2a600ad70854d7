"""Every image of the 659 real events equals the slow oracle, bit for bit."""

import numpy as np
import oracle
import pytest
import uproot

from e2edist.formats import open_events
from e2edist.imaging.crops import Normalisation, Window, cut, dense, frame
from e2edist.imaging.event_batch import EventBatch, Ragged
from e2edist.imaging.layers import FillOptions, fill, hbhe_depth1
from e2edist.imaging.seeds import STATUSES, cut_objects, eb_hottest, hcal_tower

EVENTS = 659
GOOD = FillOptions(track_quality=4)
EB_CHANNELS = ("EB_energy", "EB_time", "ECAL_tracksPt", "HBHE_energy")
JET_CHANNELS = ("ECAL_tracksPt", "ECAL_tracksDz", "ECAL_energy", "HBHE_energy")


def ragged(events, dtypes):
    """Return a `Ragged` of events, each a tuple of columns in the order of `dtypes`."""
    counts = [len(event[0]) for event in events]
    flat = {
        name: np.concatenate([np.asarray(event[i], dtype) for event in events])
        for i, (name, dtype) in enumerate(dtypes.items())
    }
    return Ragged(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), flat)


def read(files, tree, *names):
    """Return one tuple of arrays per event."""
    columns = [np.concatenate([uproot.open(f)[tree][n].array(library="np") for f in files]) for n in names]
    return list(zip(*columns, strict=True))


def edm_tracks(files):
    """Return quality, d0 and dz of the tracks of each event, impact parameters by the oracle."""
    track, vertex = "recoTracks_generalTracks__RECO.obj.", "recoVertexs_offlinePrimaryVertices__RECO.obj."
    names = [
        *(f"{track}{what}_.fCoordinates.f{axis}" for what in ("vertex", "momentum") for axis in "XYZ"),
        *(f"{vertex}position_.fCoordinates.f{axis}" for axis in "XYZ"),
        f"{track}quality_",
    ]
    paths = {key.rsplit("/", 1)[-1]: key for key in uproot.open(files[0])["Events"].keys(recursive=True)}
    events = []
    for event in read(files, "Events", *(paths[name] for name in names)):
        rows = zip(*event[:6], strict=True)
        first = tuple(axis[0] for axis in event[6:9]) if len(event[6]) else (0.0, 0.0, 0.0)
        impacts = [oracle.impact(row[:3], first, row[3:]) for row in rows]
        events.append((event[9], [d0 for d0, _ in impacts], [dz for _, dz in impacts]))
    return events


@pytest.fixture(scope="module")
def batch(data):
    """All real events: hits and objects of the hit files, track quality and impact of the EDM files."""
    files = sorted((data / "root").glob("hits_given_*.root"))
    hits = {"detid": "u4", "energy": "f4", "time": "f4"}
    kinematics = {"pt": "f4", "eta": "f4", "phi": "f4"}

    def table(prefix, names, dtypes):
        return ragged(read(files, "Events", *(f"{prefix}_{name}" for name in names)), dtypes)

    barrel = read(files, "Events", "HBRecHit_detid", "HBRecHit_energy")
    endcap = read(files, "Events", "HERecHit_detid", "HERecHit_energy")
    hcal = [tuple(map(np.concatenate, zip(b, e, strict=True))) for b, e in zip(barrel, endcap, strict=True)]
    momenta = read(files, "Events", "Track_pt", "Track_eta", "Track_phi")
    quality = edm_tracks(sorted((data / "edm").glob("given_[12].root")))
    tracks = [(*m, *q) for m, q in zip(momenta, quality, strict=True)]
    tables = {
        "EB": table("EBRecHit", hits, hits),
        "EE": table("EERecHit", hits, hits),
        "HBHE": ragged(hcal, {"detid": "u4", "energy": "f4"}),
        "tracks": ragged(tracks, {**kinematics, "quality": "u1", "d0": "f4", "dz": "f4"}),
        "photon": table("Photon", ("et", "eta", "phi"), kinematics),
        "electron": table("GsfElectron", ("pt", "eta", "phi"), kinematics),
        "jet": table("PFJet", ("et", "eta", "phi"), kinematics),
    }
    assert len(momenta) == EVENTS
    return EventBatch(0, EVENTS, tables)


@pytest.mark.parametrize("pattern", ["root/hits_given_?.root", "edm/given_[12].root"])
def test_both_forms_of_the_files_give_the_events_seen_here(data, batch, pattern):
    names = {table: set(columns.columns) for table, columns in batch.tables.items()}
    if pattern.startswith("root"):
        names["tracks"] -= {"quality", "d0", "dz"}
    first = 0
    for file in sorted(data.glob(pattern)):
        with open_events(
            str(file), {table: frozenset(columns) for table, columns in names.items()}
        ) as reader:
            events = reader.read(0, reader.info.entries)
        for table, columns in names.items():
            ours, theirs = batch[table], events[table]
            begin, end = ours.offsets[first], ours.offsets[first + events.events]
            assert np.array_equal(theirs.offsets, ours.offsets[first : first + events.events + 1] - begin)
            for column in columns:
                assert theirs[column].dtype == ours[column].dtype
                tolerance = (
                    1e-6 if column in ("d0", "dz") else 0
                )  # cm; the order of float64 operations is free
                assert np.allclose(theirs[column], ours[column][begin:end], 0, tolerance), (table, column)
        first += events.events
    assert first == EVENTS


def assert_frames(batch, name, options, expected):
    hits = fill(batch, name, options)
    pixels = 0
    for event in range(EVENTS):
        image = expected(batch, event)
        assert image.dtype == np.float32
        assert np.array_equal(frame(hits, event), image), (name, event)
        pixels += np.count_nonzero(image)
    assert pixels > EVENTS  # not equal because empty


@pytest.mark.parametrize("what", ["energy", "time"])
def test_eb_layers_equal_oracle(batch, what):
    assert_frames(batch, f"EB_{what}", GOOD, lambda b, e: oracle.eb(b, e, what))


@pytest.mark.parametrize(("name", "side"), [("EE_plus", 1), ("EE_minus", -1)])
def test_endcap_planes_equal_oracle(batch, name, side):
    assert_frames(batch, name, GOOD, lambda b, e: oracle.ee_plane(b, e, side))


@pytest.mark.parametrize("factor", [1.0, 0.25, 0.3])
def test_stitched_ecal_equals_oracle(batch, factor):
    assert_frames(
        batch, "ECAL_energy", FillOptions(endcap_factor=factor), lambda b, e: oracle.ecal(b, e, factor)
    )


def test_hbhe_equals_oracle(batch):
    assert_frames(batch, "HBHE_energy", GOOD, oracle.hbhe)


@pytest.mark.parametrize("what", ["pt", "d0", "dz"])
@pytest.mark.parametrize("mask", [4, 0])
def test_track_layers_equal_oracle(batch, what, mask):
    name = {"pt": "ECAL_tracksPt", "d0": "ECAL_tracksD0", "dz": "ECAL_tracksDz"}[what]
    assert_frames(batch, name, FillOptions(track_quality=mask), lambda b, e: oracle.tracks(b, e, what, mask))


def test_tracker_counts_equal_oracle(batch):
    # Real events hold no tracker hits: the directions of the tracks stand in for them.
    stand_in = EventBatch(0, EVENTS, {"BPIX1": batch["tracks"]})
    assert_frames(stand_in, "BPIX1", GOOD, lambda b, e: oracle.hit_counts(b, e, "BPIX1"))


def eg_seeds(batch, kind, size=(7, 13), *, edge="pad"):
    table = batch[kind]
    status = cut_objects(table["pt"], table["eta"], table["phi"], 10.0, 1.44, True)
    objects = (table.events(), table["eta"], table["phi"])
    frame, window = fill(batch, "EB_energy", GOOD), {"window_rows": size[0], "window_cols": size[1]}
    return eb_hottest(frame, objects, status, **window, edge=edge)


def jet_seeds(batch, *, keep_empty=False):
    table = batch["jet"]
    status = cut_objects(table["pt"], table["eta"], table["phi"], 35.0, 2.4, False)
    objects = (table.events(), table["eta"], table["phi"])
    return hcal_tower(hbhe_depth1(batch), objects, status, no_hit="axis" if keep_empty else "reject")


def assert_seeds(batch, kind, seeds, expected):
    k, seen = 0, []
    for event in range(EVENTS):
        for obj in oracle.rows(batch, kind, event, "pt", "eta", "phi"):
            status, row, column = expected(batch, event, obj)
            assert STATUSES[seeds.status[k]] == status, (kind, event, obj)
            place = (-1, -1) if row is None else (row, column)
            assert (seeds.row[k], seeds.col[k]) == place, (kind, event, obj)
            seen.append(status)
            k += 1
    assert k == len(seeds.status)
    assert {"ok", "pt", "eta"} <= set(seen)


@pytest.mark.parametrize("kind", ["photon", "electron"])
@pytest.mark.parametrize(
    ("window", "edge"), [((7, 13), "pad"), ((7, 13), "drop"), ((3, 3), "pad"), ((31, 31), "drop")]
)
def test_egamma_seeds_equal_oracle(batch, kind, window, edge):
    seeds = eg_seeds(batch, kind, window, edge=edge)
    assert_seeds(batch, kind, seeds, lambda b, e, o: oracle.egamma_seed(b, e, o, window=window, edge=edge))


@pytest.mark.parametrize("keep_empty", [False, True])
def test_jet_seeds_equal_oracle(batch, keep_empty):
    seeds = jet_seeds(batch, keep_empty=keep_empty)
    assert_seeds(batch, "jet", seeds, lambda b, e, o: oracle.jet_seed(b, e, o, keep_empty=keep_empty))


def whole(batch, event, name, grid):
    """Return the whole frame of one channel by the oracle, on the grid of the crop."""
    if name == "HBHE_energy":
        image = oracle.upsampled(oracle.hbhe(batch, event))
    elif name == "ECAL_energy":
        image = oracle.ecal(batch, event)
    elif name.startswith("ECAL_tracks"):
        image = oracle.tracks(batch, event, name.removeprefix("ECAL_tracks").lower())
    else:
        return oracle.eb(batch, event, name.removeprefix("EB_"))
    return image[55:225] if grid == "EB" else image


def slice_of(image, row, column, n):
    """Cut by numpy: roll the wanted column to 0, pad the rows."""
    c = Window("EB", n).centre
    padded = np.pad(image, ((n, n), (0, 0)))
    return np.roll(padded, -(column - c), axis=1)[row - c + n : row - c + 2 * n, :n]


def assert_crops(batch, kind, seeds, names, window):
    ok = np.flatnonzero(seeds.status == 0)
    centres = (batch[kind].events()[ok], seeds.row[ok], seeds.col[ok])
    layers = [fill(batch, name, GOOD) for name in names]
    images = dense(cut(layers, centres, window))
    assert images.shape == (len(ok), len(names), window.size, window.size)
    assert images.dtype == np.float32
    assert len(ok) > 20
    event_before, wholes = -1, []
    for k, (event, row, column) in enumerate(zip(*(x.tolist() for x in centres), strict=True)):
        if event != event_before:
            event_before, wholes = event, [whole(batch, event, name, window.frame) for name in names]
        for c, image in enumerate(wholes):
            assert np.array_equal(images[k, c], slice_of(image, row, column, window.size)), (k, names[c])
            if k % 4 == 0:  # pixel by pixel is slow
                assert np.array_equal(images[k, c], oracle.crop(image, row, column, window.size))
    return images


@pytest.mark.parametrize("kind", ["photon", "electron"])
def test_egamma_crops_equal_oracle(batch, kind):
    assert_crops(batch, kind, eg_seeds(batch, kind), EB_CHANNELS, Window("EB", 32))


def test_jet_crops_equal_oracle(batch):
    images = assert_crops(batch, "jet", jet_seeds(batch), JET_CHANNELS, Window("ECAL", 125))
    assert all(np.any(images[:, c]) for c in range(len(JET_CHANNELS)))


@pytest.mark.parametrize("last", [False, True])
def test_normalised_crops_equal_oracle(batch, last):
    seeds = eg_seeds(batch, "photon")
    ok = np.flatnonzero(seeds.status == 0)[:12]
    layers = [fill(batch, name, GOOD) for name in EB_CHANNELS]
    crops = cut(layers, (batch["photon"].events()[ok], seeds.row[ok], seeds.col[ok]), Window("EB", 32))
    rule = np.array([[0.1, 0.37, -0.01], [0, 1, 0], [0.5, 1 / 3, 0.7], [1e-3, 25.0, 0]], np.float32)
    images = dense(crops, Normalisation(*rule.T.copy(), channels_last=last))
    if last:
        images = np.moveaxis(images, -1, 1)
    raw = dense(crops)
    for place in np.ndindex(raw.shape):
        assert images[place] == oracle.normalised(raw[place], *rule[place[1]]), place
