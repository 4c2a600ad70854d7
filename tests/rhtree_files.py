"""Events with hits as the images, seeds and momenta that ntuples of MLAnalyzer and SCRegressor have."""

import awkward as ak
import numpy as np
import uproot
from handmade import direction_of, eb_id, ee_id, hcal_id, table

from e2edist.imaging.crops import frame
from e2edist.imaging.event_batch import TABLES, EventBatch
from e2edist.imaging.layers import fill
from e2edist.worker.images import make_images

#: Layer -> branch, as MLAnalyzer calls them.
BRANCHES = {
    "EB_energy": "EB_energy",
    "EB_time": "EB_time",
    "EE_minus": "EEm_energy",
    "EE_plus": "EEp_energy",
    "ECAL_energy": "ECAL_energy",
    "HBHE_energy": "HBHE_energy",
    "ECAL_tracksPt": "ECAL_tracksPt_atECALfixIP",
    "ECAL_tracksD0": "ECAL_tracksD0_atECALfixIP",
    "ECAL_tracksDz": "ECAL_tracksDz_atECALfixIP",
}
MOMENTA = {
    "photon": {"pt": "pho_pT", "eta": "pho_eta", "phi": "pho_phi"},
    "electron": {"pt": "ele_pT", "eta": "ele_eta", "phi": "ele_phi"},
    "jet": {"pt": "jetPt", "eta": "jetEta", "phi": "jetPhi"},
}


def content_of(batch, tagger, layers):
    """Return branch -> values of what such a file has of `batch`: a list of floats, or a number, an event."""
    content = {
        BRANCHES[name]: [
            frame(fill(batch, name, tagger.fill_options), i).ravel() for i in range(batch.events)
        ]
        for name in layers
    }
    for kind in tagger.objects.kinds:
        for column, branch in MOMENTA[kind].items():
            content[branch] = np.split(batch[kind][column], batch[kind].offsets[1:-1])
    images = make_images(batch, tagger)
    row, col, event = images.seeds.row.astype("f4"), images.seeds.col.astype("f4"), images.objects.event
    kind, names = ("jet", "jetSeed") if "jet" in tagger.objects.kinds else ("photon", "SC")
    ours = images.objects.kind == ("photon", "electron", "jet").index(kind)
    if kind == "jet":  # in towers
        row, col = (np.where(place < 0, place, (place - 2) / 5) for place in (row, col))
    for branch, place in ((f"{names}_ieta", row), (f"{names}_iphi", col)):
        content[branch] = [place[ours & (event == i)].astype("f4") for i in range(batch.events)]
    numbers = {"runId": batch.run, "lumiId": batch.lumi, "eventId": batch.event}
    return content | {name: values for name, values in numbers.items() if values is not None}


def crops_of(batch, content):
    """Return the 32x32 crops of SC_energy: for each event, one for each of its seeds."""
    crops = []
    for i in range(batch.events):
        image = content["EB_energy"][i].reshape(170, 360)
        padded = np.pad(image, ((16, 17), (0, 0)))
        crops.append(
            [
                np.roll(padded, 15 - int(col), axis=1)[int(row) + 1 : int(row) + 33, :32].ravel()
                for row, col in zip(content["SC_ieta"][i], content["SC_iphi"][i], strict=True)
            ]
        )
    return crops


def write_lists(path, content, tree="fevt/RHTree", cluster=7):
    """Write the lists as arrays with counters, since uproot writes no std::vector."""
    arrays = {name: _ragged(values) for name, values in content.items()}
    events = len(next(iter(arrays.values())))
    with uproot.recreate(path) as file:
        types = {
            n: one.dtype if isinstance(one, np.ndarray) else "var * float32" for n, one in arrays.items()
        }
        made = file.mktree(tree, types)
        for start in range(0, events, cluster):
            made.extend({name: one[start : start + cluster] for name, one in arrays.items()})
    return path


def write_random(path, events, seed=1):
    """Write some photons and jets without seeds, and images of towers."""
    random = np.random.default_rng(seed)
    content = {"HBHE_energy": list(random.integers(-3, 2, (events, 4032)).astype("f4"))}
    for names in (MOMENTA["photon"], MOMENTA["jet"]):
        counts = random.integers(0, 4, events)
        for name in names.values():
            content[name] = [random.uniform(-2, 2, count).astype("f4") for count in counts]
    numbers = {"runId": "u4", "lumiId": "u4", "eventId": "u8"}
    content |= {name: np.arange(events).astype(kind) for name, kind in numbers.items()}
    return write_lists(path, content, tree="RHTree")


def _ragged(values):
    """Return numbers as they are, lists of floats as an awkward array."""
    if isinstance(values, np.ndarray) and values.ndim == 1:
        return values
    return ak.unflatten(
        np.concatenate([np.zeros(0), *values]).astype("f4"), np.array([len(one) for one in values], int)
    )


def save_for_root(path, content, crops=None):
    """Save what `root_rhtree.py` writes with ROOT itself: flat values and counts of each branch."""
    flat = {}
    for name, values in content.items():
        if isinstance(values, np.ndarray):
            flat[f"number:{name}"] = values
        else:
            flat[f"values:{name}"] = np.concatenate([*values, np.zeros(0)]).astype("f4")
            flat[f"counts:{name}"] = np.array([len(one) for one in values])
    if crops is not None:
        flat["values:SC_energy"] = np.array([crop for some in crops for crop in some], "f4").ravel()
        flat["crops:SC_energy"] = np.array([len(some) for some in crops])
    np.savez_compressed(path, **flat)
    return path


def few_events():
    """Return three events by hand, those of tests/unit/rhtree.root: hits, tracks, two photons, two jets."""
    tables = {name: [] for name in ("EB", "EE", "HBHE", "tracks", "photon", "jet")}
    for e in range(3):
        rows, cols = (60 + 9 * e, 130 - 20 * e), (3 + 170 * e, 300 - 31 * e)
        seeds = list(zip(rows, cols, strict=True))
        near = [
            (row - (85 if row < 85 else 84) + i % 3, (col + i) % 360 + 1, 1.5 + (7 * i + e) % 5)
            for row, col in seeds
            for i in range(6)
        ]
        tables["EB"].append([(eb_id(a or 1, p), energy, energy - 2.0) for a, p, energy in near])
        tables["EE"].append(
            [(ee_id(30 + 5 * i, 60 - e, 1 - 2 * (i % 2)), 0.5 + i - e, 0.0) for i in range(5)]
        )
        towers = [(ieta, (5 + 20 * e + i) % 72 + 1) for i, ieta in enumerate((-14, 3, 4, 22, 25, -2))]
        towers = [(ieta, iphi | 1 if abs(ieta) > 20 else iphi) for ieta, iphi in towers]
        tables["HBHE"].append([(hcal_id(*tower, 1 + i % 2), 2.0 + i) for i, tower in enumerate(towers)])
        directions = [direction_of(row, col) for row, col in seeds]
        tables["photon"].append([(12.5 + e, eta, phi, -1) for eta, phi in directions])
        jets = [(0.3, np.radians(15.0 + 100 * e)), (-1.1, np.radians(60.0 - 50 * e))]
        tables["jet"].append([(40.0 + e, eta, phi, -1) for eta, phi in jets])
        tables["tracks"].append([(2.0 + i, 0.4 * i - 1 + e, 0.7 * i, 0.01 * i, 0.05, 4) for i in range(6)])
    made = {name: table(events, TABLES[name]) for name, events in tables.items()}
    event = np.arange(3, dtype="u8") + 2**40
    return EventBatch(0, 3, made, np.full(3, 7, "u4"), np.arange(1, 4, dtype="u4"), event)
