"""Images as a careful user makes them: numpy histograms of the whole detector, windows cut out of them.

Nothing of `e2edist.imaging` but its tables of geometry; same definitions, so the same bits.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import onnxruntime
import uproot

from e2edist.config.tagger import load_tagger
from e2edist.imaging.geometry import EE_ETA_EDGES, HBHE_ETA_EDGES, ee_table

KINDS = {"photon": "Photon", "electron": "GsfElectron", "jet": "PFJet"}
CODES = {"photon": 0, "electron": 1, "jet": 2}
HITS = {
    "EB_energy": ("EBRecHit_detid", "EBRecHit_energy"),
    "ECAL_energy": ("EBRecHit_detid", "EBRecHit_energy", "EERecHit_detid", "EERecHit_energy"),
    "HBHE_energy": ("HBHERecHit_detid", "HBHERecHit_energy"),
    "ECAL_tracksPt": ("Track_pt", "Track_eta", "Track_phi", "Track_quality"),
    "ECAL_tracksD0": ("Track_d0", "Track_eta", "Track_phi", "Track_quality", "Track_dz"),
    "ECAL_tracksDz": ("Track_dz", "Track_eta", "Track_phi", "Track_quality"),
}


@cache
def tagger_of(path):
    return load_tagger(path)


def session(path, threads=1):
    """Return a session with the settings that ours has."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@cache
def kept_session(path, threads=1):
    return session(path, threads)


@cache
def opened(path):
    return uproot.open({path: None}, array_cache=None, object_cache=None)["Events"]


def branches(tagger):
    names = [f"{KINDS[k]}_{c}" for k in tagger.objects.kinds for c in ("pt", "eta", "phi")]
    for channel in tagger.channels:
        layer = channel.layer
        names += HITS.get(layer, (f"{layer}Hit_eta", f"{layer}Hit_phi"))
    if tagger.seed.method == "hcal_tower":
        names += HITS["HBHE_energy"]
    return list(dict.fromkeys(names))


def flat(arrays):
    """Return branch -> (offsets, values) of awkward arrays."""
    out = {}
    for name, array in arrays.items():
        layout = array.layout.to_ListOffsetArray64(True)
        offsets = np.asarray(layout.offsets.data)
        out[name] = offsets, np.asarray(layout.content.data)[: offsets[-1]]
    return out


def read(path, tagger, start, stop):
    tree = opened(path)
    return flat(tree.arrays(branches(tagger), entry_start=start, entry_stop=stop, how=dict, array_cache=None))


def window(columns, start, stop):
    """Return the columns of the events start:stop only."""
    out = {}
    for name, (offsets, values) in columns.items():
        a = offsets[start : stop + 1]
        out[name] = a - a[0], values[a[0] : a[-1]]
    return out


def events_of(columns):
    return len(next(iter(columns.values()))[0]) - 1


def _rows(columns, name):
    offsets, values = columns[name]
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)), values.astype(
        values.dtype.newbyteorder("=")
    )


def eta_row(eta):
    a = np.abs(eta)
    crystal = np.minimum(85, np.floor(a / 0.0174533).astype(int) + 1)
    barrel = 55 + np.where(eta < 0, 85 - crystal, 84 + crystal)
    place = np.minimum(np.searchsorted(EE_ETA_EDGES, a, side="right") - 1, 54)
    row = np.where(a <= 1.479, barrel, np.where(eta < 0, 54 - place, 225 + place))
    return np.where(a > 3.0, -1, row)


def phi_column(phi):
    return np.floor(phi * 180 / np.pi + 10).astype(int) % 360


def _add(shape, place, values, keep):
    frame = np.zeros(shape, np.float32)
    np.add.at(frame, tuple(axis[keep] for axis in place), values[keep])
    return frame


def _eb(columns, n):
    event, detid = _rows(columns, "EBRecHit_detid")
    energy = _rows(columns, "EBRecHit_energy")[1]
    detid = detid.astype(np.int64)
    ieta, iphi = (detid >> 9) & 0x7F, detid & 0x1FF
    row = np.where(detid & 0x10000, ieta + 84, 85 - ieta)
    good = (detid >> 25 == 25) & (ieta >= 1) & (ieta <= 85) & (iphi >= 1) & (iphi <= 360)
    return _add((n, 170, 360), (event, row, iphi - 1), energy, (energy > 0) & good)


def _ecal(columns, n, factor):
    event, detid = _rows(columns, "EERecHit_detid")
    energy = _rows(columns, "EERecHit_energy")[1]
    detid = detid.astype(np.int64)
    ix, iy, side = (detid >> 7) & 0x7F, detid & 0x7F, (detid >> 14) & 1
    good = (detid >> 25 == 26) & (ix >= 1) & (ix <= 100) & (iy >= 1) & (iy <= 100) & (energy > 0)
    place = ee_table()[side, np.clip(ix, 1, 100) - 1, np.clip(iy, 1, 100) - 1]
    row, col = place[:, 0].astype(int), place[:, 1].astype(int)
    frame = _add((n, 280, 360), (event, row, col), energy, good & (row >= 0))
    frame *= np.float32(factor)
    frame[:, 55:225] += _eb(columns, n)
    return frame


def _hcal(columns):
    event, detid = _rows(columns, "HBHERecHit_detid")
    energy = _rows(columns, "HBHERecHit_energy")[1]
    detid = detid.astype(np.int64)
    new = (detid & 0x01000000) != 0
    ieta = np.where(new, (detid >> 10) & 0x1FF, (detid >> 7) & 0x3F)
    iphi = np.where(new, detid & 0x3FF, detid & 0x7F)
    depth = np.where(new, (detid >> 20) & 0xF, (detid >> 14) & 0x1F)
    positive = np.where(new, detid & 0x80000, detid & 0x2000) != 0
    good = np.isin(detid >> 25, (33, 34)) & (ieta >= 1) & (ieta <= 29) & (iphi >= 1) & (iphi <= 72)
    low = np.minimum(ieta, 28)
    row = np.where(positive, low - 1, -low) + 28
    return event, row, iphi, ieta, depth, energy, good & (energy > 0)


def _hbhe(columns, n):
    event, row, iphi, ieta, _, energy, good = _hcal(columns)
    wide = ieta > 20
    value = np.where(wide, energy * np.float32(0.5), energy)
    twice = [np.repeat(x, 2) for x in (event, row, iphi, value, good)]
    half = np.tile([0, 1], len(energy))
    keep = twice[4] & ((half == 0) | np.repeat(wide, 2))
    towers = _add((n, 56, 72), (twice[0], twice[1], (twice[2] + half + 1) % 72), twice[3], keep)
    return np.repeat(np.repeat(towers / np.float32(25), 5, axis=1), 5, axis=2)


def _directions(columns, prefix):
    event, eta = _rows(columns, f"{prefix}_eta")
    phi = _rows(columns, f"{prefix}_phi")[1]
    row = eta_row(eta.astype(np.float64))
    return event, row, phi_column(phi.astype(np.float64)), (row >= 0) & np.isfinite(phi)


def frame(columns, layer, tagger, n):
    """Return the dense frames of a layer, float32, shape (events, rows, columns)."""
    if layer == "EB_energy":
        return _eb(columns, n)
    if layer == "ECAL_energy":
        return _ecal(columns, n, tagger.fill_options.endcap_factor)
    if layer == "HBHE_energy":
        return _hbhe(columns, n)
    if not layer.startswith("ECAL_tracks"):
        event, row, col, good = _directions(columns, f"{layer}Hit")
        return _add((n, 280, 360), (event, row, col), np.ones(len(row), np.float32), good)
    event, row, col, good = _directions(columns, "Track")
    good &= (_rows(columns, "Track_quality")[1] & tagger.fill_options.track_quality) != 0
    column = {"Pt": "pt", "D0": "d0", "Dz": "dz"}[layer.removeprefix("ECAL_tracks")]
    if column != "pt":
        good &= np.abs(_rows(columns, "Track_dz")[1]) < np.float32(0.1)
    return _add((n, 280, 360), (event, row, col), _rows(columns, f"Track_{column}")[1], good)


@dataclass
class Found:
    """Accepted objects: event, kind, place in the collection, and the crop's first row and column."""

    event: np.ndarray
    kind: np.ndarray
    index: np.ndarray
    row: np.ndarray
    col: np.ndarray


def candidates(columns, tagger):
    parts = []
    for kind in tagger.objects.kinds:
        prefix = KINDS[kind]
        event, pt = _rows(columns, f"{prefix}_pt")
        eta, phi = (_rows(columns, f"{prefix}_{c}")[1] for c in ("eta", "phi"))
        index = np.arange(len(pt)) - columns[f"{prefix}_pt"][0][event]
        a, limit = np.abs(eta), np.float32(tagger.objects.eta_max)
        inside = a <= limit if tagger.seed.method == "eb_hottest" else a < limit
        keep = np.isfinite(pt) & np.isfinite(eta) & np.isfinite(phi) & (pt >= tagger.objects.pt_min) & inside
        parts.append([x[keep] for x in (event, np.full(len(pt), CODES[kind]), index, eta, phi)])
    event, kind, index, eta, phi = (np.concatenate(x) for x in zip(*parts, strict=True))
    order = np.argsort(event, kind="stable")
    return event[order], kind[order], index[order], eta[order].astype(float), phi[order].astype(float)


def _seed_eb(image, eta, phi, spec):
    rows = eta_row(np.array([eta]))[0] - 55 - spec.window_rows // 2 + np.arange(spec.window_rows)
    cols = (phi_column(np.array([phi]))[0] - spec.window_cols // 2 + np.arange(spec.window_cols)) % 360
    rows = rows[(rows >= 0) & (rows < 170)]
    part = image[np.ix_(rows, cols)]
    if not part.size or part.max() <= 0:
        return None
    i, j = np.unravel_index(part.argmax(), part.shape)
    return rows[i], cols[j]


def _seed_jet(towers, eta, phi, keep_empty):
    a = min(int(np.searchsorted(HBHE_ETA_EDGES, abs(eta), side="right")), 28)
    count = 72 if a <= 20 else 36
    place = int(np.floor((phi % (2 * np.pi)) / (2 * np.pi) * count)) % count + 1
    axis = (-a if eta < 0 else a), (place if a <= 20 else 2 * place - 1)
    ietas = [i for i in range(axis[0] - 3, axis[0] + 4) if i and abs(i) <= 28]
    rows = np.array([i + 27 if i > 0 else i + 28 for i in ietas])
    cols = (axis[1] - 1 - 3 + np.arange(7)) % 72
    part = towers[np.ix_(rows, cols)]
    if part.max() > 0:
        i, j = np.unravel_index(part.argmax(), part.shape)
        ieta, iphi = ietas[i], cols[j] + 1
    elif keep_empty:
        ieta, iphi = axis
    else:
        return None
    if abs(ieta) > 16:
        return None
    return 5 * (ieta + 27 if ieta > 0 else ieta + 28) + 2, 5 * ((iphi + 1) % 72) + 2


def _cut(image, row, col, n):
    centre = n // 2 - 1 if n % 2 == 0 else n // 2
    top, cols = row - centre, (col - centre + np.arange(n)) % 360
    out = np.zeros((n, n), np.float32)
    first, last = max(top, 0), min(top + n, image.shape[0])
    out[first - top : last - top] = image[first:last, cols]
    return out


def images(columns, tagger):
    """Return (event, kind, index) of the accepted objects and their normalised images, NCHW."""
    n, size = events_of(columns), tagger.crop.size
    frames = [frame(columns, channel.layer, tagger, n) for channel in tagger.channels]
    barrel = tagger.seed.method == "eb_hottest"
    if not barrel:
        event, row, iphi, ieta, depth, energy, good = _hcal(columns)
        good = good & (depth == 1) & (ieta <= 28)
        towers = _add((n, 56, 72), (event, row, iphi - 1), energy, good)
    keys, out = [], []
    for event, kind, index, eta, phi in zip(*candidates(columns, tagger), strict=True):
        if barrel:
            seed = _seed_eb(frames[0][event], eta, phi, tagger.seed)
        else:
            seed = _seed_jet(towers[event], eta, phi, tagger.seed.no_hit == "axis")
        if seed is not None:
            keys.append((event, kind, index))
            out.append([_cut(image[event], *seed, size) for image in frames])
    dense = np.array(out, np.float32).reshape(-1, len(frames), size, size)
    rule = tagger.normalisation
    for c in range(len(frames)):
        if rule.threshold[c] > 0:
            dense[:, c][np.abs(dense[:, c]) < rule.threshold[c]] = 0
        dense[:, c] = dense[:, c] * rule.scale[c] + rule.offset[c]
    return np.array(keys, np.int64).reshape(-1, 3), dense


def infer(model, dense, batch):
    """Return scores, batch by batch with a padded tail: a new shape would be searched for anew."""
    scores = np.empty(len(dense), np.float32)
    name = model.get_inputs()[0].name
    for start in range(0, len(dense), batch):
        part = dense[start : start + batch]
        if len(part) < batch:
            part = np.concatenate([part, np.zeros((batch - len(part), *part.shape[1:]), np.float32)])
        stop = min(start + batch, len(dense))
        scores[start:stop] = model.run(None, {name: part})[0].reshape(-1)[: stop - start]
    return scores


def number(file, start, keys):
    """Return one int64 per object that orders and names it among all files of a task."""
    return (((file << 32) + start + keys[:, 0]) * 4 + keys[:, 1]) * 1024 + keys[:, 2]


def by_chunks(columns, tagger, model, step):
    """Return keys and scores of an uproot chunk, dense frames made for `step` events at a time."""
    keys, scores = [np.empty((0, 3), np.int64)], [np.empty(0, np.float32)]
    for start in range(0, events_of(columns), step):
        stop = min(start + step, events_of(columns))
        found, dense = images(window(columns, start, stop), tagger)
        keys.append(found + np.array([start, 0, 0]))
        scores.append(infer(model, dense, tagger.batch))
    return np.concatenate(keys), np.concatenate(scores)


def step_of(tagger):
    """Return for how many events dense frames are made at once: some MB, which a cache still likes."""
    return 100 if len(tagger.channels) == 1 else 10


def ranges(task, parts):
    """Return (number of the file, path, start, stop) in about `parts` pieces of all files."""
    sizes = [opened(path).num_entries for path in task["files"]]
    step = max(1, -(-sum(sizes) // parts))
    return [
        (i, path, start, min(start + step, size))
        for i, (path, size) in enumerate(zip(task["files"], sizes, strict=True))
        for start in range(0, size, step)
    ]


def join(parts):
    """Return keys and scores in the order of the keys."""
    keys = np.concatenate([part[0] for part in parts])
    scores = np.concatenate([part[1] for part in parts])
    order = np.argsort(keys)
    return keys[order], scores[order]
