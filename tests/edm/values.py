"""Run by a Python with ROOT: reads expressions of trees Events as ROOT does, without the classes of CMSSW.

Takes a JSON list of ``[file, [expression, ...]]`` on its standard input; prints for each file ``{"values":
{expression: [[value, ...] of each entry]}, "errors": [line, ...]}``, its values null where ROOT gave up. Each
file is read by a process of its own: damaged ones may crash ROOT, and without dictionaries ROOT takes the
classes of the first file for those of all. With a sound file as argument, whose classes all of them have,
that is read first, and each process needs a tenth of the time: what takes 2 s then, hangs.
"""

import json
import os
import resource
import signal
import sys
import tempfile
import warnings

import numpy as np

warnings.simplefilter("ignore")  # that it is an alpha
import ROOT  # noqa: E402 not installed where this is checked

BYTES = 8 << 30  # what one file may take


def values_of(path, expressions):
    """Return expression -> values of each entry."""
    file = ROOT.TFile(path)
    events = file.Get("Events")
    events.SetEstimate(10_000_000)  # of more values than that ROOT would keep the last
    found = {}
    for expression in expressions:
        count = events.Draw(f"{expression}:Entry$", "", "goff")
        if count < 0:
            raise ValueError(expression)
        values, entries = (
            np.frombuffer(column(), count=count).copy() if count else np.zeros(0)
            for column in (events.GetV1, events.GetV2)
        )
        found[expression] = [values[entries == entry].tolist() for entry in range(events.GetEntries())]
    return found


def read_apart(path, expressions, seconds):
    """Return the values that a child process finds within some seconds, and what ROOT reports."""
    with tempfile.TemporaryFile("w+") as answer, tempfile.TemporaryFile("w+") as errors:
        child = os.fork()
        if child == 0:
            os.dup2(errors.fileno(), 2)
            ROOT.gSystem.ResetSignals()  # no stack trace, which takes seconds
            signal.alarm(seconds)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
            json.dump(values_of(path, expressions), answer)
            answer.flush()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        errors.seek(0)
        answer.seek(0)
        complaints = [
            line for line in errors.read().splitlines() if line.startswith(("Error", "SysError", "Fatal"))
        ]
        return {"values": None if status else json.load(answer), "errors": complaints}


def main():
    """Answer what is asked."""
    ROOT.gErrorIgnoreLevel = ROOT.kError
    questions = json.load(sys.stdin)
    for sound in sys.argv[1:]:
        values_of(sound, sorted({one for _, expressions in questions for one in expressions}))
    seconds = 2 if sys.argv[1:] else 60
    print(json.dumps([read_apart(*question, seconds) for question in questions]))


if __name__ == "__main__":
    main()
