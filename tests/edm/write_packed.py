"""Run by a Python with ROOT: writes packed candidates of MiniAOD, of an old or a new release.

``python write_packed.py EVENTS.json OUT.root VERSION SPLIT``: rows and vertices of `packed_oracle`; the class
version is 15 or 23; SPLIT is that of lost tracks, which hold the second half of each event's candidates.
"""

import json
import sys
import tempfile
import warnings
from pathlib import Path

warnings.simplefilter("ignore")  # that it is an alpha
import ROOT  # noqa: E402 not installed where this is checked

HEADER = Path(__file__).with_name("packed.h")
TYPES = ("vector<pat::PackedCandidate>", "vector<reco::Vertex>")
CLASSES = (
    *("reco::Candidate", "reco::Vertex", "edm::WrapperBase"),
    *("edm::Ref<std::vector<reco::Vertex>>", "edm::RefProd<std::vector<reco::Vertex>>", *TYPES),
    *(f"edm::Wrapper<{one}>" for one in TYPES),
)
#: Member -> input.
MEMBERS = {
    "packedPt_": "pt",
    "packedEta_": "eta",
    "packedPhi_": "phi",
    "packedDxy_": "dxy",
    "packedDz_": "dz",
    "packedDPhi_": "dphi",
    "pdgId_": "pdg",
    "qualityFlags_": "flags",
}
NEW = {"packedDEta_": "deta", "packedDTrkPt_": "dpt", "pvRefKey_": "key"}


def load(version, folder):
    """Compile and load the classes of a version."""
    lines = [f"#define PACKED_VERSION {version}", f'#include "{HEADER}"', "#ifdef __CLING__"]
    lines += [f"#pragma link C++ class {name}+;" for name in CLASSES]
    versions = {"edm::RefCore": 11, "edm::RefCoreWithIndex": 11, "pat::PackedCandidate": version}
    lines += [f"#pragma link C++ options=version({n}) class {name}+;" for name, n in versions.items()]
    lines += ["#pragma link C++ function packed::adopt;", "#endif"]
    file = Path(folder) / f"packed_{version}.cxx"
    file.write_text("\n".join(lines) + "\n")
    if not ROOT.gSystem.CompileMacro(str(file), "O"):
        sys.exit(f"can't compile {file}")
    ROOT.packed.adopt()


def fill(candidates, rows, version):
    candidates.clear()
    for row in rows:
        one = ROOT.pat.PackedCandidate()
        for member, name in (MEMBERS | (NEW if version == 23 else {})).items():
            setattr(one, member, row[name])
        if version == 15:
            none = row["key"] == 0xFFFFFFFF
            one.pvRef_.product_.processIndex_ = 0 if none else 4
            one.pvRef_.product_.elementIndex_ = row["key"]
        candidates.push_back(one)


def main(events, out, version, split):
    """Write events of both products and of their vertices."""
    rows, positions = json.loads(Path(events).read_text())
    file = ROOT.TFile(out, "RECREATE", "", 505)
    tree = ROOT.TTree("Events", "")
    made = {
        "patPackedCandidates_packedPFCandidates__PAT.": (TYPES[0], 99),
        "patPackedCandidates_lostTracks__PAT.": (TYPES[0], split),
        "recoVertexs_offlineSlimmedPrimaryVertices__PAT.": (TYPES[1], 99),
    }
    wrappers = [ROOT.edm.Wrapper[kind]() for kind, _ in made.values()]
    for (name, (kind, level)), wrapper in zip(made.items(), wrappers, strict=True):
        tree.Branch(name, f"edm::Wrapper<{kind}>", wrapper, 16000, level)
    candidates, lost, vertices = (wrapper.obj for wrapper in wrappers)
    for event, places in zip(rows, positions, strict=True):
        fill(candidates, event[: len(event) // 2], version)
        fill(lost, event[len(event) // 2 :], version)
        vertices.clear()
        for place in places:
            one = ROOT.reco.Vertex()
            one.position_.SetXYZ(*place)
            vertices.push_back(one)
        tree.Fill()
    tree.Write()
    file.Close()


if __name__ == "__main__":
    path, output, number, level = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        load(int(number), folder)
        main(path, output, int(number), int(level))
