"""Run by a Python with ROOT: writes a tree of std::vector<float> images from arrays, as MLAnalyzer does.

``python root_rhtree.py arrays.npz out.root [compression] [baskets]``
"""

import sys
import warnings

import numpy as np

warnings.simplefilter("ignore")  # that it is an alpha
import ROOT  # noqa: E402 not installed where this is checked

source, target = sys.argv[1:3]
compression = int(sys.argv[3]) if len(sys.argv) > 3 else 101
arrays = np.load(source)
file = ROOT.TFile(target, "RECREATE", "", compression)
tree = ROOT.TTree("RHTree", "RecHit tree")
file.mkdir("fevt")
file.cd("fevt")
tree.SetDirectory(ROOT.gDirectory)
fill = []
for key in arrays.files:
    kind, name = key.split(":")
    values = arrays[key]
    if kind == "number":
        code = {"u4": "i", "u8": "l", "i4": "I"}[values.dtype.str[1:]]
        held = np.zeros(1, values.dtype)
        tree.Branch(name, held, f"{name}/{code}")
        fill.append((lambda i, held=held, values=values: held.__setitem__(0, values[i])))
    elif kind == "counts":
        flat, ends = arrays[f"values:{name}"], np.concatenate([[0], np.cumsum(values)])
        vector = ROOT.std.vector("float")()
        tree.Branch(name, vector)

        def put(i, vector=vector, flat=flat, ends=ends):
            vector.assign(flat[ends[i] : ends[i + 1]].tolist())

        fill.append(put)
    elif kind == "crops":
        flat, ends = arrays[f"values:{name}"].reshape(-1, 1024), np.concatenate([[0], np.cumsum(values)])
        outer = ROOT.std.vector("std::vector<float>")()
        tree.Branch(name, outer)

        def put_crops(i, outer=outer, flat=flat, ends=ends):
            outer.clear()
            for crop in flat[ends[i] : ends[i + 1]]:
                outer.push_back(ROOT.std.vector("float")(crop.tolist()))

        fill.append(put_crops)
events = len(arrays[next(key for key in arrays.files if not key.startswith("values"))])
for i in range(events):
    for one in fill:
        one(i)
    tree.Fill()
file.cd("fevt")
tree.Write()
file.Close()
