"""Run by a Python with ROOT: prints all values of some leaves of a tree, as ROOT itself reads them, as JSON.

One file a process: without dictionaries ROOT takes the classes of the first file for those of all.
"""

import json
import sys
import warnings

warnings.simplefilter("ignore")  # that it is an alpha
import ROOT  # noqa: E402 not installed where this is checked

ROOT.gErrorIgnoreLevel = ROOT.kError  # that it has no dictionaries of CMSSW
file = ROOT.TFile(sys.argv[1])
events = file.Get("Events")
found = {}
for leaf in sys.argv[2:]:
    count = events.Draw(leaf, "", "goff")
    found[leaf] = [events.GetV1()[i] for i in range(count)]
print(json.dumps(found))
