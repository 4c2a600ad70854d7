"""CMS event data of all eras: files that CMSSW wrote, labels, and what is said where they do not fit."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from environments import python_with

from e2edist import formats, submit
from e2edist.config.tagger import ObjectsSpec, load_tagger
from e2edist.errors import BranchError
from e2edist.formats import edm
from e2edist.formats._products import products_of
from e2edist.formats.api import BranchErrors, Request

HITS = frozenset({"detid", "energy"})
P4 = frozenset({"pt", "eta", "phi"})
KINDS = ("photon", "electron", "jet")
POLAR = "obj.m_state.p4Polar_.fCoordinates.f"
#: File -> kind -> the first part of the leaves of its kinematics.
SPLIT = {
    "mini_72x_mc": {
        "photon": "patPhotons_slimmedPhotons__PAT.obj.",
        "electron": "patElectrons_slimmedElectrons__PAT.obj.",
        "jet": "patJets_slimmedJets__PAT.obj.",
    },
    "mini_74x_data": {
        "photon": f"patPhotons_slimmedPhotons__RECO.{POLAR}",
        "electron": f"patElectrons_slimmedElectrons__RECO.{POLAR}",
        "jet": f"patJets_slimmedJets__RECO.{POLAR}",
    },
    "aod_2010_data": {
        "photon": "recoPhotons_photons__RECO.obj.",
        "electron": "recoGsfElectrons_gsfElectrons__RECO.obj.",
        "jet": "recoPFJets_ak5PFJets__RECO.obj.",
    },
}


def read(path, columns, **options):
    with formats.open_events(str(path), columns, **options) as reader:
        return reader.read(0, reader.info.entries)


def leaf_of(start, column):
    return f"{start}{column.title()}" if start.endswith("f") else f"{start}{column}_"


@pytest.mark.parametrize(("file", "rows"), [("mini_72x_mc", 11), ("mini_74x_data", 1), ("aod_2010_data", 0)])
def test_kinematics_of_either_form_are_read(data, file, rows):
    batch = read(data / f"cms/{file}.root", dict.fromkeys(KINDS, P4))
    assert batch["photon"].rows == rows
    assert batch["jet"].rows > 0
    for kind in KINDS:
        assert (batch[kind]["pt"] > 0).all()
        assert (abs(batch[kind]["phi"]) <= np.float32(np.pi)).all()


@pytest.mark.slow
@pytest.mark.parametrize("file", SPLIT)
def test_kinematics_are_those_that_root_reads(data, file):
    path, kinds = data / f"cms/{file}.root", SPLIT[file]
    leaves = [leaf_of(start, column) for start in kinds.values() for column in P4]
    line = [python_with("root"), Path(__file__).parents[1] / "root_leaves.py", path, *leaves]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    batch = read(path, dict.fromkeys(KINDS, P4))
    for kind, start in kinds.items():
        for column in P4:
            assert batch[kind][column].tolist() == said[leaf_of(start, column)], (kind, column)


def test_eg_runs_on_miniaod_of_7_2(data, tmp_path, capsys):
    arguments = ["--tagger", "eg", "--input", str(data / "cms/mini_72x_mc.root"), "--output", str(tmp_path)]
    assert submit.main([*arguments, "--dry-run"]) == 0
    assert "10 events in 1 chunk" in capsys.readouterr().out


def test_the_near_name_of_a_member_is_the_same_thing_elsewhere():
    one = "patPhotons_slimmedPhotons__PAT.obj."
    known = [f"{one}vertex_.fCoordinates.f{x}" for x in "XYZ"] + [f"{one}status_{i}" for i in range(9)]
    known += [f"{one}core_.pt_", f"{one}pt_", f"{one}beta_"]
    faults = BranchErrors("f.root:Events")
    wanted = {f"photon.{x.lower()}": [f"{one}m_state.p4Polar_.fCoordinates.f{x}"] for x in ("Pt", "Phi")}
    faults.add_all_missing(wanted, known)
    assert faults.messages == [
        f"no branch for photon.pt, photon.phi below {one}m_state.p4Polar_.fCoordinates "
        f"(wanted fPt, fPhi; nearest: {one}pt_)"
    ]


def test_each_fault_of_a_file_is_a_line(data, tmp_path, capsys):
    file = data / "cms/mini_72x_mc.root"
    arguments = ["--tagger", "qg", "--input", str(file), "--output", str(tmp_path / "out")]
    assert submit.main(arguments) == 2
    head, *faults, todo = capsys.readouterr().err.splitlines()
    assert head == f"e2edist: {file}:Events can't be used:"
    assert [fault.partition(":")[0] for fault in faults] == ["- HBHE", "- tracks"]
    assert all(len(fault) <= 80 for fault in faults)
    assert "take AOD" in todo
    with pytest.raises(BranchError, match=r"HBHE: there is no product .*; tracks: there is no product"):
        read(file, {"HBHE": HITS, "tracks": P4})


@pytest.mark.parametrize("name", ["eg", "qg", "top", "tau"])
def test_labels_stand_in_one_place(name):
    """Taggers of the package name what differs from the labels that formats have by themselves."""
    assert load_tagger(name).objects.collections.keys() == ({"jet"} if name in ("top", "tau") else set())


#: Era -> branches that its files have, and the products that are taken of them. As the event content of CMSSW
#: has them; processes are of prompt data, simulation, and data that were reconstructed again.
ERAS = {
    "RECO of Run 1": (
        "EcalRecHitsSorted_ecalRecHit_EcalRecHitsEB_RECO. EcalRecHitsSorted_reducedEcalRecHitsEB__RECO. "
        "HBHERecHitsSorted_hbhereco__RECO. recoGsfElectrons_gsfElectrons__RECO. recoPhotons_photons__RECO. "
        "recoPFJets_ak7PFJets__RECO. recoPFJets_ak5PFJets__RECO. recoCaloJets_ak5CaloJets__RECO. "
        "recoVertexs_offlinePrimaryVerticesWithBS__RECO. recoVertexs_offlinePrimaryVertices__RECO.",
        {
            "EB": "reducedEcalRecHitsEB::RECO",
            "HBHE": "hbhereco::RECO",
            "electron": "gsfElectrons::RECO",
            "photon": "photons::RECO",
            "jet": "ak5PFJets::RECO",
            "vertices": "offlinePrimaryVertices::RECO",
        },
    ),
    "FEVT": (
        "EcalRecHitsSorted_ecalRecHit_EcalRecHitsEE_RECO. EcalRecHitsSorted_hltEcalRecHit_EcalRecHitsEE_HLT. "
        "HBHERecHitsSorted_hbheprereco__RECO.",
        {"EE": "ecalRecHit:EcalRecHitsEE:RECO", "HBHE": "hbheprereco::RECO"},
    ),
    "AOD of Run 2 Ultra Legacy": (
        "EcalRecHitsSorted_reducedEcalRecHitsEB__reRECO. EcalRecHitsSorted_reducedEcalRecHitsES__reRECO. "
        "HBHERecHitsSorted_reducedHcalRecHits_hbhereco_reRECO. recoTracks_generalTracks__reRECO. "
        "recoTracks_globalMuons__reRECO. recoPhotons_gedPhotons__reRECO. recoPhotons_ootPhotons__reRECO. "
        "recoGsfElectrons_gedGsfElectrons__reRECO. recoGsfElectrons_uncleanedOnlyGsfElectrons__reRECO. "
        "recoPFJets_ak4PFJets__reRECO. recoPFJets_ak4PFJetsCHS__reRECO. recoPFJets_ak8PFJetsCHS__reRECO.",
        {
            "EB": "reducedEcalRecHitsEB::reRECO",
            "HBHE": "reducedHcalRecHits:hbhereco:reRECO",
            "tracks": "generalTracks::reRECO",
            "photon": "gedPhotons::reRECO",
            "electron": "gedGsfElectrons::reRECO",
            "jet": "ak4PFJetsCHS::reRECO",
        },
    ),
    "MiniAOD of Run 3": (
        "EcalRecHitsSorted_reducedEgamma_reducedESRecHits_PAT. "
        "EcalRecHitsSorted_reducedEgamma_reducedEERecHits_PAT. "
        "EcalRecHitsSorted_reducedEgamma_reducedEBRecHits_PAT. "
        "HBHERecHitsSorted_slimmedHcalRecHits_reducedHcalRecHits_PAT. "
        "HBHERecHitsSorted_reducedEgamma_reducedHBHEHits_PAT. patPhotons_slimmedOOTPhotons__PAT. "
        "patPhotons_slimmedPhotons__PAT. patElectrons_slimmedLowPtElectrons__PAT. "
        "patElectrons_slimmedElectrons__PAT. patJets_slimmedJetsPuppi__PAT. patJets_slimmedJetsAK8__PAT. "
        "patJets_slimmedJets__PAT. recoVertexs_offlineSlimmedPrimaryVertices__PAT.",
        {
            "EB": "reducedEgamma:reducedEBRecHits:PAT",
            "EE": "reducedEgamma:reducedEERecHits:PAT",
            # What slimmedHcalRecHits has are hits that are flagged as noise.
            "HBHE": "reducedEgamma:reducedHBHEHits:PAT",
            "photon": "slimmedPhotons::PAT",
            "electron": "slimmedElectrons::PAT",
            "jet": "slimmedJets::PAT",
            "vertices": "offlineSlimmedPrimaryVertices::PAT",
        },
    ),
    "MiniAOD with PUPPI jets": (
        "patJets_slimmedJetsPuppi__PAT. patJets_slimmedJetsAK8__PAT.",
        {"jet": "slimmedJetsPuppi::PAT"},
    ),
}


@pytest.mark.parametrize("era", ERAS)
def test_products_of_each_era(era):
    names, taken = ERAS[era]
    tree = SimpleNamespace(branches=[SimpleNamespace(name=name) for name in names.split()])
    request = Request(tree, {}, {}, BranchErrors("f.root:Events"))
    for kind, tag in taken.items():
        assert [p.tag for p in edm._find(request, products_of(tree), kind)] == [tag]
    assert request.errors.messages == []


def test_a_tagger_file_chooses_among_products_of_any_table():
    names = "HBHERecHitsSorted_reducedHcalRecHits_hbhereco_RECO. HBHERecHitsSorted_hbhereco__RECO. "
    names += "HBHERecHitsSorted_hbhereco__TEST."
    tree = SimpleNamespace(branches=[SimpleNamespace(name=name) for name in names.split()])
    for label, tag in {
        "": "reducedHcalRecHits:hbhereco:RECO",
        "hbhereco::RECO": "hbhereco::RECO",
        "hbhereco": "",
    }.items():
        chosen = {"HBHE": (label,)} if label else {}
        objects = ObjectsSpec(kinds=("jet",), pt_min=1, eta_max=2, collections=chosen)
        request = Request(tree, {}, objects.collections, BranchErrors("f.root:Events"))
        assert [p.tag for p in edm._find(request, products_of(tree), "HBHE")] == ([tag] if tag else [])
    assert request.errors.messages == ["HBHE: label 'hbhereco' fits hbhereco::RECO, hbhereco::TEST"]
    assert request.errors.hints == [
        "Write the one that is meant under collections, HBHE, as label:instance:PROCESS"
    ]


def test_taggers_of_large_jets_take_the_same_ones():
    assert load_tagger("top").objects.collections == load_tagger("tau").objects.collections


def test_receipts_say_which_hits_a_tier_has(data):
    mini = read(data / "cms/mini_72x_mc.root", {"EB": HITS, "EE": HITS, "photon": P4})
    assert "EB, EE: MiniAOD has hits round photons and electrons only" in mini.notes
    aod = read(data / "cms/aod_run3_empty.root", {"EB": HITS})
    assert aod.notes == ()
    jets = read(data / "cms/aod_2010_data.root", {"EB": HITS, "HBHE": HITS})
    assert jets.notes == ("HBHE: AOD has HCAL hits that are flagged, or round photons and electrons, only",)


@pytest.mark.parametrize("tagger", ["eg", "qg"])
def test_a_file_of_run_3_without_events_is_planned_and_says_so(data, tmp_path, capsys, tagger):
    file = data / "cms/aod_run3_empty.root"
    arguments = ["--tagger", tagger, "--input", str(file), "--output", str(tmp_path), "--dry-run"]
    assert submit.main(arguments) == 0
    assert "the file holds no events" in capsys.readouterr().out
