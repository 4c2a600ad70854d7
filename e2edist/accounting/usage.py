"""What a campaign occupied: how many jobs of each pool ran and were at work, and when.

One JSON object a line in ``usage.jsonl``, appended by the driver when a count changes and every ten
seconds; later runs of the campaign add to it. A driver that is killed loses ten seconds of it.
Of a pool it has jobs that run, jobs whose workers are there, thread seconds lost and, of batch jobs, the
seconds of this run so far that they ran, and that they ran until their workers came.
"""

from __future__ import annotations

import json
import secrets
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2edist.config._batch_systems import find_batch_system
from e2edist.config.site import threads_of
from e2edist.records.folder import CampaignFolder
from e2edist.redaction import redact_word

if TYPE_CHECKING:
    from e2edist.config.site import PoolSpec

#: Without a change a line comes so often.
_INTERVAL_S = 10.0
#: Between lines that are further apart nobody knows what ran: a laptop slept, a disk was full.
_LARGEST_GAP_S = 120.0


def pool_facts(spec: PoolSpec) -> dict[str, Any]:
    """Return what a bill needs of a pool; workers that are no batch jobs count as one together."""
    charge, workers, jobs = spec.charge, spec.workers or 1, find_batch_system(spec.kind) is not None
    return {
        "kind": spec.kind,
        "threads": (spec.threads or 1) if jobs else threads_of(spec),
        "workers": spec.job.workers_per_job if jobs else 1,
        "nodes": charge.nodes / (1 if jobs else workers),
        "gpus": charge.gpus or spec.job.gpus,
        "factor": charge.factor,
        "unit": charge.unit,
        "price": charge.price,
        "currency": charge.currency,
    }


class UsageLog:
    """Writes the usage of one run."""

    def __init__(self, folder: Path, pools: Mapping[str, Mapping[str, Any]], command: str = "") -> None:
        self._path, self._run = CampaignFolder(folder).usage, secrets.token_hex(4)
        self._last: tuple[float, Any] = (0.0, None)
        first = {"command": command} if command else {}
        self._append(first | {"pools": {name: dict(facts) for name, facts in pools.items()}})

    def record(
        self,
        counts: Mapping[str, Mapping[str, Any]],
        lost_s: Mapping[str, float],
        job_s: Mapping[str, tuple[float, float]] | None = None,
        *,
        last: bool = False,
    ) -> None:
        """Record running and joined jobs of each pool, and thread seconds of attempts that came to nothing.

        Parameters
        ----------
        job_s : mapping of str to (float, float)
            Pool -> seconds that its jobs ran in this run until now, and those until their workers came, where
            the pool knows better than its counts tell.
        last : bool
            Of this run: a line of its own, whatever came before.
        """
        now, known = time.time(), job_s or {}
        what = {
            name: [count["running"], count["joined"], round(lost_s.get(name, 0.0), 3)]
            for name, count in counts.items()
        }
        if last or what != self._last[1] or now - self._last[0] >= _INTERVAL_S:
            self._last = (now, what)
            jobs = {name: row + [round(one, 3) for one in known.get(name, ())] for name, row in what.items()}
            self._append({"t": round(now, 3), "jobs": jobs})

    def _append(self, content: dict[str, Any]) -> None:
        # A bill is no reason to stop a campaign.
        with suppress(OSError), self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"run": self._run} | content, separators=(",", ":")) + "\n")


@dataclass(slots=True)
class PoolUsage:
    """What the jobs of a pool took, in seconds of jobs.

    Attributes
    ----------
    facts : dict
        As `pool_facts` returns them, of the last run.
    running_s, starting_s : float
        Of all jobs; until their workers had joined.
    lost_s : float
        Thread seconds of attempts that came to nothing.
    """

    facts: dict[str, Any]
    running_s: float = 0.0
    starting_s: float = 0.0
    lost_s: float = 0.0


@dataclass(slots=True)
class _Run:
    pools: dict[str, dict[str, Any]]
    last: tuple[float, dict[str, list[float]]] | None = None
    lost: dict[str, float] = field(default_factory=dict)
    job_s: dict[str, list[float]] = field(default_factory=dict)


def read_usage(folder: Path) -> dict[str, PoolUsage]:
    """Return what each pool occupied in all runs of a campaign; empty where nothing was written."""
    found: dict[str, PoolUsage] = {}
    runs: dict[str, _Run] = {}
    for line in _lines(CampaignFolder(folder).usage):
        if "pools" in line:
            runs[line["run"]] = _Run(line["pools"])
            for name, facts in line["pools"].items():
                found.setdefault(name, PoolUsage(facts)).facts = facts
        elif line.get("run") in runs:
            _add(found, runs[line["run"]], line["t"], line["jobs"])
    return found


def read_commands(folder: Path) -> list[str]:
    """Return the command of each run of a campaign, as far as they are known."""
    lines = _lines(CampaignFolder(folder).usage)
    return [str(line["command"]) for line in lines if line.get("command")]


def submit_command(words: Sequence[str]) -> str:
    """Return the command line of ``submit`` that a process was started with, without secrets; empty if none.

    Parameters
    ----------
    words : sequence of str
        `sys.orig_argv`.
    """
    for i, word in enumerate(words):
        if word == "e2edist.submit":
            options = words[i + 1 :]
        elif Path(word).name == "e2edist" and words[i + 1 : i + 2] == ["submit"]:
            options = words[i + 2 :]
        else:
            continue
        return shlex.join(["python", "-m", "e2edist.submit", *map(redact_word, options)])
    return ""


def _add(found: dict[str, PoolUsage], run: _Run, now: float, jobs: dict[str, list[float]]) -> None:
    """Add the time since the last line of a run: what it said held until now, or what its jobs say."""
    for name, (_, _, lost, *job_s) in jobs.items():
        if name in found:
            found[name].lost_s += lost - run.lost.get(name, 0.0)
            before = run.job_s.get(name, [0.0, 0.0])
            for key, one, other in zip(("running_s", "starting_s"), job_s, before, strict=False):
                setattr(found[name], key, getattr(found[name], key) + one - other)
        run.lost[name] = lost
        run.job_s |= {name: job_s} if job_s else {}
    if run.last is not None:
        seconds = min(max(0.0, now - run.last[0]), _LARGEST_GAP_S)
        for name, (running, joined, *_) in run.last[1].items():
            if name in found and name not in run.job_s:
                found[name].running_s += running * seconds
                found[name].starting_s += max(0, running - joined) * seconds
    run.last = (now, jobs)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open("rb") as stream:
            for line in stream:
                try:
                    content = json.loads(line)
                except ValueError:  # cut
                    continue
                if isinstance(content, dict):
                    yield content
    except OSError:  # a bill decides nothing: that of what can be read
        return
