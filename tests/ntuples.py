"""Small ntuples with known content, in the forms of the hits format and of the format of docs/examples."""

import shutil
from pathlib import Path

import awkward as ak
import numpy as np
import uproot
from plugin_package import announce

from e2edist.imaging.event_batch import TABLES

EXAMPLE = Path(__file__).resolve().parents[1] / "docs" / "examples" / "my_e2e"
#: Names of branches: format -> table -> column -> name.
HITS = {
    **{name: {c: f"{name}RecHit_{c}" for c in ("detid", "energy", "time")} for name in ("EB", "EE")},
    "HBHE": {c: f"HBHERecHit_{c}" for c in ("detid", "energy")},
    "tracks": {c: f"Track_{c}" for c in TABLES["tracks"]},
    "BPIX1": {c: f"BPIX1Hit_{c}" for c in ("eta", "phi")},
    **{kind: {c: f"{p}_{c}" for c in TABLES[kind]} for kind, p in (("photon", "Photon"), ("jet", "Jet"))},
}
GROUP = {
    "EB": {"detid": "ecal_id", "energy": "ecal_e", "time": "ecal_t"},
    "HBHE": {"detid": "hcal_id", "energy": "hcal_e"},
    "photon": {"pt": "pho_pt", "eta": "pho_eta", "phi": "pho_phi", "label": "pho_truth"},
    "jet": {"pt": "jet_pt", "eta": "jet_eta", "phi": "jet_phi"},
}


def install_example(folder):
    """Install the package of docs/examples in `folder`, with its format group_ntuple."""
    shutil.copytree(EXAMPLE, Path(folder) / EXAMPLE.name)
    announce(folder, "formats", "group_ntuple", f"{EXAMPLE.name}.group_ntuple", package=EXAMPLE.name)


def random_content(events, names, seed=1):
    """Return table -> column -> ragged array of `events` events, some of which have nothing in a table."""
    random, content = np.random.default_rng(seed), {}
    for table, columns in names.items():
        counts = random.integers(0, 4, events)
        values = {column: random.integers(0, 100, counts.sum()) for column in columns}
        content[table] = {
            column: ak.unflatten(ak.Array(flat.astype(TABLES[table][column])), counts)
            for column, flat in values.items()
        }
    return content


def write(path, content, names, *, tree, numbers, cluster=7):
    """Write content under the branches `names`, and event numbers from 1 on, in clusters of some events."""
    flat = {names[table][c]: values for table, some in content.items() for c, values in some.items()}
    events = len(next(iter(flat.values())))
    flat |= {name: np.arange(1, events + 1).astype(kind) for name, kind in numbers.items()}
    with uproot.recreate(path) as file:
        made = file.mktree(
            tree, {n: v.dtype if isinstance(v, np.ndarray) else v.type for n, v in flat.items()}
        )
        for start in range(0, events, cluster):
            made.extend({name: values[start : start + cluster] for name, values in flat.items()})
    return path


def write_hits(path, events, seed=1):
    """Write a hit ntuple."""
    numbers = {"run": "u4", "luminosityBlock": "u4", "event": "u8"}
    return write(path, random_content(events, HITS, seed), HITS, tree="Events", numbers=numbers)


def write_group(path, events, seed=1):
    """Write an ntuple of the format of docs/examples, which has no event numbers."""
    return write(path, random_content(events, GROUP, seed), GROUP, tree="evt", numbers={})
