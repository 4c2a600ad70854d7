"""Run by a Python with ROOT: writes what tests of robust reading need.

``python write.py KIND COMPRESSION FILE``: a tree or an ntuple; or what is left of a job that was killed after
it had saved its tree (saved), its tree and the list of contents (listed), or nothing (lost).
``python write.py all FOLDER`` makes the files beside this.
"""

import os
import subprocess
import sys
import warnings
from array import array

warnings.simplefilter("ignore")  # that it is an alpha
import ROOT  # noqa: E402 not installed where this is checked

EVENTS = 40
#: Compression setting of each file beside this.
FILES = {"zlib": 101, "lzma": 207, "cs": 301, "lz4": 404, "zstd": 505, "none": 0}
FILES |= dict.fromkeys(("ntuple", "saved", "listed"), 505)
LISTS = {"EBRecHit_detid": "unsigned int", "EBRecHit_energy": "float"}
LISTS |= {f"Photon_{column}": "float" for column in ("pt", "eta", "phi")}
NUMBERS = {"run": "i", "luminosityBlock": "i", "event": "l"}


def values_of(name, event):
    """Return some numbers that need all their digits, as many in every list of a table."""
    count = (event * 7 + 3) % 5 if name.startswith("EB") else event % 3
    return [
        ((event * 31 + i * 17) * 2654435761 % 2**31) / (1 if "detid" in name else 2**29) for i in range(count)
    ]


def write_tree(kind, compression, path):
    file = ROOT.TFile(path, "recreate", "", compression)
    tree = ROOT.TTree("Events", "events")
    lists = {name: ROOT.std.vector(item)() for name, item in LISTS.items()}
    numbers = {name: array("Q" if code == "l" else "I", [1]) for name, code in NUMBERS.items()}
    for name, values in lists.items():
        tree.Branch(name, values)
    for name, value in numbers.items():
        tree.Branch(name, value, f"{name}/{NUMBERS[name]}")

    def fill(events):
        for event in events:
            for name, values in lists.items():
                values.clear()
                for value in values_of(name, event):
                    values.push_back(int(value) if "detid" in name else value)
            numbers["event"][0] = event
            tree.Fill()

    fill(range(EVENTS))
    if kind == "tree":
        tree.Write()
        file.Close()
        return
    if kind != "lost":
        tree.AutoSave("SaveSelf" if kind == "listed" else "")
    fill(range(EVENTS, 3 * EVENTS))
    tree.FlushBaskets()
    file.Flush()
    os._exit(0)  # as a job that is killed


def write_ntuple(compression, path):
    model = ROOT.RNTupleModel.Create()
    kinds = {"i": "std::uint32_t", "l": "std::uint64_t"}
    for name, kind in LISTS.items():
        model.MakeField[f"std::vector<{'std::uint32_t' if 'int' in kind else kind}>"](name)
    for name, kind in NUMBERS.items():
        model.MakeField[kinds[kind]](name)
    options = ROOT.RNTupleWriteOptions()
    options.SetCompression(compression)
    writer = ROOT.RNTupleWriter.Recreate(model, "Events", path, options)
    entry = writer.CreateEntry()
    for event in range(EVENTS):
        for name in LISTS:
            values = entry[name]
            values.clear()
            for value in values_of(name, event):
                values.push_back(int(value) if "detid" in name else value)
        for name in NUMBERS:
            entry[name] = event if name == "event" else 1
        writer.Fill(entry)
    del entry, writer


def write(kind, compression, path):
    if kind == "ntuple":
        write_ntuple(compression, path)
    else:
        write_tree(kind, compression, path)


if __name__ == "__main__":
    if sys.argv[1] == "all":
        for name, compression in FILES.items():
            kind = name if name in ("ntuple", "saved", "listed") else "tree"
            line = (sys.executable, __file__, kind, str(compression), f"{sys.argv[2]}/{name}.root")
            subprocess.run(line, check=True)  # some of them die
    else:
        write(sys.argv[1], int(sys.argv[2]), sys.argv[3])
