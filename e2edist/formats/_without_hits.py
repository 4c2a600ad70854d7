"""Kinds of files that people have and that can't be imaged: known by their branches, to say so at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

#: What to use in their place.
USE_INSTEAD = "Take AOD, AODSIM or MiniAOD (ECAL) of the same events, written split, or a hit ntuple"
#: Counters of NanoAOD; skims keep some of them.
_NANO_COUNTERS = frozenset({"nElectron", "nMuon", "nJet", "nPhoton", "nTau", "nFatJet", "nGenPart", "nSV"})


def without_hits(names: Collection[str]) -> str:
    """Return why a tree with branches `names` holds no images, as a clause; empty if nobody knows."""
    known = frozenset(names)
    if any(name.endswith("_detid") for name in known):  # somebody has added hits, under names of their own
        return ""
    if {"run", "event"} <= known and len(_NANO_COUNTERS & known) > 1:
        return "NanoAOD holds no calorimeter hits, so there is nothing to make images of"
    if {"Event", "Event_size"} <= known and not known.isdisjoint({"Tower", "Track", "EFlowTrack", "Jet"}):
        return "Delphes output holds towers and no calorimeter hits, so there is nothing to make images of"
    return ""
