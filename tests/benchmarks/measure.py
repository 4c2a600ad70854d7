"""All ways over one sample, round by round in turn, so that a busy machine is busy for all of them."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import child
import numpy as np
import ours
from peers import _dense

#: What the figures divide by.
OWN = ("ours", "limit")
WAYS = (*OWN, "processes", "script", "coffea_futures", "coffea_dask", "ray_data")
SLOW_WAYS = ("batched", "kept", "paper")
#: Sums inside a batch may be taken in another order, e.g. for another number of images or of threads.
TOLERANCE = 1e-5
#: With so few rounds, peers have one only.
_FEW = 2
_CHILD = Path(child.__file__)


class Way:
    """A process that keeps one way ready."""

    def __init__(self, name, threads):
        self.name, self.module = name, child.load(name)
        command = [sys.executable, str(_CHILD), name, str(threads)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.started = self._answer()["ready"]
        self.met = False

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended: {self.process.stderr.read()[-2000:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer

    def run(self, task):
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        self.met = True
        return self._answer()

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.stderr.close()
        self.process.wait(60)


def missing(name):
    """Return the distributions that a way lacks here."""
    return [need for need in child.load(name).NEEDS if find_spec(need) is None]


def start_all(names, threads):
    """Return the ways that can run, and why the others can't."""
    lacking = {name: f"not installed: {', '.join(missing(name))}" for name in names if missing(name)}
    return [Way(name, threads) for name in names if name not in lacking], lacking


def compare(sample, ways, threads, folder, repeats, *, warm=False, cold=True):
    """Return a row per way: medians of CPU and wall per event, scores compared with ours.

    With `warm` the ways have met this tagger before, and need no round that does not count; `cold` also
    measures our command from its start.
    """
    files = {False: sample.big, True: sample.small}
    expected = {slow: _scores(ways[0], sample.tagger, files[slow], folder) for slow in (True, False)}
    objects = len(expected[False][0])
    runs = {way.name: [] for way in ways}
    odd = {}
    for turn in range(0 if warm else -1, repeats):
        for way in ways:
            if repeats <= _FEW and _left_out(way, turn):
                continue
            slow = way.module.SMALL or turn < 0
            out = folder / f"{way.name}.npz"
            task = {"tagger": sample.tagger, "files": files[slow], "out": str(out), "objects": objects}
            answer = way.run(task)
            if way.name == "limit":
                odd[way.name] = difference(out, expected[slow], part=True)
            else:
                odd[way.name] = max(odd.get(way.name, 0.0), difference(out, expected[slow]))
            if turn >= 0:
                runs[way.name].append(answer)
    counts = {slow: _events(files[slow]) for slow in files}
    starts = range(max(1, repeats // 2) if cold else 0)
    colds = [ours.cold({"tagger": sample.tagger, "files": sample.big}, threads) for _ in starts]
    return {
        "sample": f"{sample.name}: {sample.distinct} distinct x {sample.copies}",
        "events": counts[False],
        "objects": objects,
        "ways": {
            way.name: {
                "label": way.module.LABEL,
                "start_cpu": way.started,
                "difference": odd[way.name],
                **_medians(runs[way.name], counts[way.module.SMALL]),
            }
            for way in ways
        },
        "cold": {key: median(one[key] for one in colds) for key in colds[0]} if colds else {},
    }


def _left_out(way, turn):
    """Return whether a short comparison does without a turn: peers have one, and slow ones rehearse once."""
    return way.name not in OWN and (turn > 0 or (turn < 0 and way.module.SMALL and way.met))


def _scores(way, tagger, files, folder):
    out = folder / "expected.npz"
    way.run({"tagger": tagger, "files": files, "out": str(out)})
    with np.load(out) as saved:
        return saved["keys"], saved["scores"]


def _events(files):
    return sum(_dense.opened(path).num_entries for path in files)


def difference(path, expected, *, part=False):
    """Return the largest difference of two sets of scores; an error if the objects are not the same.

    With `part` the first objects only are there.
    """
    with np.load(path) as saved:
        keys, scores = saved["keys"], saved["scores"]
    wanted = (expected[0][: len(keys)], expected[1][: len(keys)]) if part else expected
    if not np.array_equal(keys, wanted[0]):
        raise AssertionError(f"{path.stem} has {len(keys)} objects that are not our {len(wanted[0])}")
    most = float(np.abs(scores - wanted[1]).max(initial=0))
    if not most <= TOLERANCE:
        raise AssertionError(f"{path.stem}: a score differs from ours by {most:g}")
    return most


def _medians(answers, events):
    numbers = {key: median(answer[key] for answer in answers) for key in answers[0]}
    times = ("cpu", "wall", "decompress", "inference")
    return {k: v / events * 1e6 if k in times else v for k, v in numbers.items()}


def ratios(result, threads):
    """Return the figures that the goals are about, from a result of `compare`."""
    ways = result["ways"]
    mine, limit = ways["ours"]["cpu"], ways["limit"]["cpu"]
    peers = {name: way["cpu"] for name, way in ways.items() if name not in (*OWN, "paper", "kept")}
    found = {"efficiency, warm": limit / mine, "first part, warm [s]": ways["ours"]["first_part"]}
    if cold := result["cold"]:
        found |= {
            "efficiency, cold": limit / (cold["cpu"] / result["events"] * 1e6),
            "first part, cold [s]": cold["first_part"],
            "peak memory per thread [MiB]": cold["peak_mib"] / threads,
        }
    if peers:
        best = min(peers, key=peers.get)
        found[f"times the best peer ({ways[best]['label']})"] = peers[best] / mine
    if "paper" in ways:
        found["times the paper's way"] = ways["paper"]["cpu"] / mine
    return found
