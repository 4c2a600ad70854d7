"""Run by a Python with ROOT: writes events as CMS event data, in all the forms that CMSSW knows.

``python write.py EVENTS.npz OUT COMPRESSION FORM ...`` writes ``OUT/FORM.root``. EVENTS.npz holds run, lumi,
event, and for each table of EB, EE, HBHE, tracks, vertices, photon, electron and jet ``TABLE_rows`` (offsets
of the events) and ``TABLE_COLUMN``. MiniAOD of 12_5 gets packed candidates where EVENTS.npz has them: tables
packed and lost, columns of `packed_oracle`. A C++ compiler is needed; what it makes is kept in the
environment.
"""

import fcntl
import hashlib
import json
import sys
import warnings
from pathlib import Path

import numpy as np

warnings.simplefilter("ignore")  # that it is an alpha
import ROOT  # noqa: E402 not installed where this is checked

CLASSES = Path(__file__).with_name("classes.h")
PACKED = CLASSES.with_name("packed_candidate.h")
#: Form -> CMSSW release, streamed member by member, MiniAOD, split levels of hits and of the rest.
FORMS = {
    "split": (125, True, False, 99, 99),
    "object_wise": (125, False, False, 0, 0),
    "member_wise": (125, True, False, 0, 0),
    "one_level": (125, True, False, 1, 1),
    "two_levels": (125, False, False, 2, 2),
    "old_object_wise": (72, False, False, 0, 0),
    "old_member_wise": (72, True, False, 0, 0),
    "run1": (42, True, False, 1, 99),
    "run1_object_wise": (42, False, False, 0, 0),
    "run1_member_wise": (42, True, False, 0, 0),
    "run1_split": (42, True, False, 99, 99),
    "mini_split": (125, True, True, 99, 99),
    "mini_object_wise": (125, False, True, 0, 0),
    "mini_member_wise": (125, True, True, 0, 0),
    "mini_two_levels": (125, True, True, 2, 2),
    "old_mini_object_wise": (72, False, True, 0, 0),
    "old_mini_member_wise": (72, True, True, 0, 0),
}
_PRODUCTS = (
    *(f"edm::SortedCollection<{hit},edm::StrictWeakOrdering<{hit}>>" for hit in ("EcalRecHit", "HBHERecHit")),
    *(f"vector<reco::{kind}>" for kind in ("Track", "Vertex", "Photon", "GsfElectron", "PFJet")),
    *(f"vector<pat::{kind}>" for kind in ("Photon", "Electron", "Jet")),
)
#: Class -> its version in CMSSW 7_2 and 12_5; in 4_2 none has one.
_VERSIONS = {
    "DetId": (10, 10),
    "CaloRecHit": (10, 10),
    "EcalRecHit": (12, 12),
    "HBHERecHit": (18, 19),
    "edm::EventAuxiliary": (10, 11),
    "edm::EventID": (11, 12),
    "edm::Timestamp": (10, 10),
    "edm::Hash<2>": (10, 11),
    "edm::RefCore": (11, 11),
    "reco::Candidate": (10, 10),
    "reco::LeafCandidate": (11, 13),
    "reco::ParticleState": (0, 10),
    "edm::WrapperBase": (3, 4),
    "edm::ViewTypeChecker": (2, 2),
    "reco::RecoCandidate": (10, 12),
    "reco::CompositePtrCandidate": (10, 12),
    "reco::Jet": (10, 13),
    "reco::PFJet": (12, 13),
    "reco::PFJet::Specific": (11, 11),
    "reco::Photon": (14, 18),
    "reco::Photon::FiducialFlags": (10, 10),
    "reco::Photon::ShowerShape": (11, 15),
    "reco::GsfElectron": (16, 20),
    "reco::GsfElectron::ClosestCtfTrack": (10, 10),
    "reco::TrackBase": (13, 14),
    "reco::Track": (13, 14),
    "reco::Vertex": (11, 11),
    "pat::PATObject<reco::Photon>": (1, 1),
    "pat::PATObject<reco::GsfElectron>": (1, 1),
    "pat::PATObject<reco::PFJet>": (1, 1),
    "pat::Photon": (15, 18),
    "pat::Electron": (25, 33),
    "pat::Jet": (12, 16),
    **dict.fromkeys((f"edm::Wrapper<{product}>" for product in _PRODUCTS), (3, 3)),
    **dict.fromkeys((product for product in _PRODUCTS if product.startswith("edm::")), (10, 10)),
    **dict.fromkeys(
        (
            f"edm::{name}"
            for name in (
                "Ptr<reco::Candidate>",
                "Ref<vector<reco::PhotonCore>>",
                "Ref<vector<reco::GsfElectronCore>>",
                "Ref<vector<reco::TrackExtra>>",
                "Ref<vector<reco::Track>>",
            )
        ),
        (10, 10),
    ),
}
_OTHERS = (*(product for product in _PRODUCTS if product.startswith("vector")), "pair<string,float>")
_OTHERS += ("vector<pair<string,float>>", "map<string,float>", "vector<reco::PFJet::Specific>")
_OTHERS += ("vector<edm::Ptr<reco::Candidate>>", "vector<edm::Ref<vector<reco::Track>>>")
#: Of 12_5 only: class -> version; 0 has none.
_PACKED = {
    "pat::PackedCandidate": 23,
    "edm::RefProd<vector<reco::Vertex>>": 0,
    "vector<pat::PackedCandidate>": 0,
    "edm::Wrapper<vector<pat::PackedCandidate>>": 3,
}


def source(release):
    """Return the C++ that has the classes of a release, their versions, and what writes them."""
    lines = [f"#define EDM_ERA {release}", f'#include "{CLASSES}"', "#ifdef __CLING__"]
    for name, versions in _VERSIONS.items():
        version = versions[release == 125]
        if release == 42 and name not in ("reco::ParticleState", "edm::WrapperBase", "edm::ViewTypeChecker"):
            lines.append(f"#pragma link C++ class {name}+;")
        elif release != 42 and version:
            lines.append(f"#pragma link C++ options=version({version}) class {name}+;")
    for name, version in _PACKED.items() if release == 125 else ():
        lines.append(f"#pragma link C++ {f'options=version({version}) ' if version else ''}class {name}+;")
    lines += [f"#pragma link C++ class {name}+;" for name in _OTHERS]
    if release == 42:
        lines.append("#pragma link C++ class edm::EDProduct+;")
    lines += ["#pragma link C++ class Events;", "#pragma link C++ namespace writing;"]
    lines += ["#pragma link C++ struct writing::Form;", "#pragma link C++ function writing::write;", "#endif"]
    return "\n".join(lines) + "\n"


def load(release):
    """Compile and load the classes of a release, of which one process can have one."""
    text = source(release)
    made_of = text + CLASSES.read_text() + PACKED.read_text() + ROOT.gROOT.GetVersion()
    key = hashlib.sha256(made_of.encode()).hexdigest()[:12]
    folder = Path(sys.prefix) / "edm_classes" / key
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = folder / f"edm_{release}.cxx"
        if not file.exists():  # ACLiC makes again what is older than its source
            file.write_text(text)
        if not ROOT.gSystem.CompileMacro(str(file), "kO"):
            sys.exit(f"can't compile {file}")


def events_of(path):
    """Return the events of a file of arrays as the C++ has them, and their number."""
    events, arrays = ROOT.Events(), np.load(path)
    for name, values in arrays.items():
        if name.endswith("_rows"):
            events.rows(name.removesuffix("_rows"), np.ascontiguousarray(values, "i8"), len(values))
        else:
            events.column(name, np.ascontiguousarray(values, "f8"), len(values))
    return events, len(arrays["run"])


def main(path, out, compression, *forms):
    """Write the forms, all of one release."""
    (release,) = {FORMS[form][0] for form in forms}
    load(release)
    events, count = events_of(path)
    for form in forms:
        file = Path(out) / f"{form}.root"
        ROOT.writing.write(str(file), events, count, ROOT.writing.Form(*FORMS[form][1:], int(compression)))
        print(json.dumps({"form": form, "file": str(file), "events": count}))


if __name__ == "__main__":
    main(*sys.argv[1:])
