"""Run by a Python with ROOT: joins inputs and friends as users of ROOT do, prints what it sees as JSON."""

import json
import sys
import warnings

warnings.simplefilter("ignore")  # that it is an alpha
import ROOT  # noqa: E402 not installed where this is checked

found = []
for tree, path, friend in json.loads(sys.argv[1]):
    file = ROOT.TFile(path)
    events = file.Get(tree)
    events.AddFriend(tree, friend)
    frame = ROOT.RDataFrame(events)
    frame = frame.Define("photons", "eg_pt[eg_kind == 0]").Define("scores", "eg_electron[eg_status == 0]")
    same = frame.Filter("photons.size() == Photon_pt.size() && All(photons == Photon_pt)")
    values = [same.Count(), frame.Count(), frame.Sum("scores"), frame.Define("n", "scores.size()").Sum("n")]
    entries = int(events.GetFriend(tree).GetEntries())
    found.append({"entries": entries, "values": [float(value.GetValue()) for value in values]})
print(json.dumps(found))
