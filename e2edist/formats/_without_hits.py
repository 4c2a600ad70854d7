"""Kinds of files that people have and that can't be imaged: known by their branches, to say so at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

#: What to use in their place.
USE_INSTEAD = (
    "Take AOD, AODSIM or MiniAOD (ECAL) of the same events, a hit ntuple, or for coarse images PFNano, "
    "which is NanoAOD with candidates"
)
#: Counters of NanoAOD; skims keep some of them.
_NANO_COUNTERS = frozenset({"nElectron", "nMuon", "nJet", "nPhoton", "nTau", "nFatJet", "nGenPart", "nSV"})
#: What makes them files with something to make images of: hits under any name, candidates.
_DETECTOR = ("_detid", "PFCands_pt", "PFCand_pt")


def without_hits(names: Collection[str]) -> str:
    """Return why a tree with branches `names` holds no images, as a clause; empty if nobody knows."""
    known = frozenset(names)
    if any(name.endswith(_DETECTOR) for name in known):
        return ""
    if {"run", "event"} <= known and len(_NANO_COUNTERS & known) > 1:
        return "NanoAOD holds no hits, and this one no candidates, so there is nothing to make images of"
    return ""
