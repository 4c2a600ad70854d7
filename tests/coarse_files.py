"""Events of any number as Delphes and PF-NanoAOD write them, and tables that must be the same."""

import awkward as ak
import numpy as np
import uproot

P4 = ("pt", "eta", "phi")


def write_delphes(path, events):
    """Write towers, tracks and objects of random places, lengths in mm."""
    draw = _Draw(events, {"pt": "PT", "eta": "Eta", "phi": "Phi"}, ".")
    branches = {}
    for label, columns in {"Tower": ("Eem", "Ehad"), "Track": ("D0", "DZ")}.items():
        branches |= draw.table(label, columns)
    for label in ("Photon", "Electron", "Jet"):
        branches |= draw.table(label)
    return _write(path, "Delphes", branches)


def write_pfnano(path, events):
    """Write candidates and objects of random places, and event numbers."""
    draw = _Draw(events, {key: key for key in P4}, "_")
    branches = draw.table("PFCands", ("mass", "d0", "dz"))
    counts = ak.num(branches["PFCands_pt"])
    ids = draw.random.choice([22, 11, -11, 211, -211, 130, 13, 1, 2], int(ak.sum(counts))).astype("i4")
    branches["PFCands_pdgId"] = ak.unflatten(ids, counts)
    for label in ("Photon", "Electron", "Jet"):
        branches |= draw.table(label)
    for name, dtype in (("run", "u4"), ("luminosityBlock", "u4"), ("event", "u8")):
        branches[name] = np.arange(1, events + 1).astype(dtype)
    return _write(path, "Events", branches)


def assert_same_tables(one, other):
    """Compare all tables of two batches, dtypes too."""
    assert one.tables.keys() == other.tables.keys()
    for name, table in one.tables.items():
        np.testing.assert_array_equal(table.offsets, other[name].offsets)
        for column, values in table.columns.items():
            np.testing.assert_array_equal(values, other[name][column], strict=True)


class _Draw:
    def __init__(self, events, names, separator):
        self.random = np.random.default_rng(5)
        self.events, self.names, self.separator = events, names, separator

    def table(self, label, columns=()):
        """Return branches of a few rows an event, some events without any."""
        counts = self.random.integers(0, 4, self.events)
        rows = counts.sum()
        values = {
            "pt": self.random.uniform(1, 60, rows),
            "eta": self.random.uniform(-3, 3, rows),
            "phi": self.random.uniform(-3.1, 3.1, rows),
        }
        values |= {column: self.random.uniform(-0.5, 9, rows) for column in columns}
        return {
            f"{label}{self.separator}{self.names.get(key, key)}": ak.unflatten(one.astype("f4"), counts)
            for key, one in values.items()
        }


def _write(path, tree, branches, cluster=7):
    with uproot.recreate(path) as file:
        types = {
            name: one.dtype if isinstance(one, np.ndarray) else one.type.content
            for name, one in branches.items()
        }
        made = file.mktree(tree, types)
        for start in range(0, len(next(iter(branches.values()))), cluster):
            made.extend({name: one[start : start + cluster] for name, one in branches.items()})
    return path
