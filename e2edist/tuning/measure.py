"""What is measured: events in memory -> images -> scores, by every thread of every worker at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from e2edist.config.tagger import TaggerSpec
from e2edist.engines import EngineOptions, close_engines, open_engine, score
from e2edist.errors import CampaignError, InputError
from e2edist.formats import open_events
from e2edist.imaging.event_batch import EventBatch
from e2edist.pools import Pool, TaskOutcome
from e2edist.worker.images import make_images

#: A worker that does not answer for so long, compiling included, is given up.
_PATIENCE_S = 600.0
#: The time in which all slots run is cut into so many spells.
_SPELLS = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """Events to measure on: the first `events` of a file."""

    tagger: TaggerSpec
    url: str
    format: str | None
    tree: str | None
    events: int

    def read(self) -> EventBatch:
        """Return them.

        Raises
        ------
        InputError
            The file can't be read, or has no object that the tagger accepts.
        """
        tagger = self.tagger
        with open_events(
            self.url, tagger.columns(), tagger.objects.collections, format=self.format, tree=self.tree
        ) as reader:
            return reader.read(0, min(self.events, reader.info.entries))


@dataclass(frozen=True, slots=True)
class Speed:
    """What one setting does.

    Attributes
    ----------
    events_s, objects_s : float
        Per second, all workers together and at once; reading and writing not included.
    setup_s : float
        Until the model was ready, of the slowest worker.
    kb_per_object : float
        Thousand bytes of inputs.
    objects : int
        In the sample, which is scored again and again.
    facts : dict of str to str
        Of the engine: device, provider, versions.
    """

    events_s: float
    objects_s: float
    setup_s: float
    kb_per_object: float
    objects: int
    facts: dict[str, str]


_samples: dict[str, Sample] = {}
_read: dict[str, EventBatch] = {}
_lock = Lock()


def prepare(key: str, sample: Sample) -> None:
    """Make a sample known to this process."""
    _samples[key] = sample


def _events(key: str) -> EventBatch:
    with _lock:
        if key not in _read:
            _read[key] = _samples[key].read()
        return _read[key]


def warm_thread(key: str, options: EngineOptions) -> dict[str, Any]:
    """Open the model with some options and score the sample once, so that nothing happens first later."""
    batch, tagger = _events(key), _samples[key].tagger
    began = time.perf_counter()
    close_engines(but=options)
    engine = open_engine(tagger, options)
    setup = time.perf_counter() - began
    images = make_images(batch, tagger)
    if not images.crops.objects:
        todo = "Name --input files with objects that the tagger accepts."
        raise InputError(_samples[key].url, "no accepted object to measure with", todo)
    sent = score(engine, images.crops, tagger.normalisation).bytes_sent
    return {
        "setup_s": setup,
        "kb_per_object": sent / images.crops.objects / 1e3,
        "facts": dict(engine.facts) | {"batch": str(engine.batch)},
        "events": batch.events,
        "objects": images.crops.objects,
    }


def time_thread(key: str, options: EngineOptions, seconds: float) -> list[float]:
    """Run the sample again and again for about `seconds`; return when each pass began, and the last ended.

    Times are those of `time.time`, so that threads, processes and nodes can be laid side by side.
    """
    batch, tagger = _events(key), _samples[key].tagger
    engine, times = open_engine(tagger, options), [time.time()]
    while times[-1] - times[0] < seconds or len(times) < 2:
        images = make_images(batch, tagger)
        score(engine, images.crops, tagger.normalisation)
        times.append(time.time())
    return times


def passes_per_s(slots: Sequence[Sequence[float]]) -> float:
    """Return how many passes a second all slots do while all of them run: the median of five spells.

    What one slot does alone, before the others begin or after they ended, is left out: it would be faster.
    The median leaves out what else the machine did for a moment.

    Parameters
    ----------
    slots : sequences of float
        Of each slot, the seconds at which its passes began, and the last ended.
    """
    start, stop = max(times[0] for times in slots), min(times[-1] for times in slots)
    if (
        stop <= start
    ):  # clocks of nodes apart, or one ran after the other: what all of them did, in all the time
        start, stop = min(times[0] for times in slots), max(times[-1] for times in slots)
        return sum(len(times) - 1 for times in slots) / max(stop - start, 1e-6)
    edges = np.linspace(start, stop, _SPELLS + 1)
    # Passes done until each edge, the one that is under way in part.
    done = sum(np.interp(edges, times, np.arange(len(times))) for times in slots)
    return float(np.median(np.diff(done))) / ((stop - start) / _SPELLS)


def time_pool(pool: Pool, key: str, options: EngineOptions, seconds: float) -> Speed:
    """Run the sample in all threads of a pool at once, once all of them are warm.

    Raises
    ------
    E2EError
        The model does not run so, or workers are lost, as by want of memory.
    """
    warm = _in_all_slots(pool, warm_thread, key, options)
    times = _in_all_slots(pool, time_thread, key, options, seconds)
    rate = passes_per_s(times)
    return Speed(
        events_s=rate * warm[0]["events"],
        objects_s=rate * warm[0]["objects"],
        setup_s=max(one["setup_s"] for one in warm),
        kb_per_object=max(one["kb_per_object"] for one in warm),
        objects=warm[0]["objects"],
        facts=warm[0]["facts"],
    )


def _in_all_slots(pool: Pool, task: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Run a task in every slot of a pool at once, and return what they return."""
    tags = [f"tune {i}" for i in range(pool.slots())]
    for tag in tags:
        pool.submit(tag, task, *arguments)
    ended: list[TaskOutcome] = []
    until = time.monotonic() + _PATIENCE_S
    while len(ended) < len(tags):
        ended += pool.wait(0.05)
        if time.monotonic() > until:
            raise CampaignError(f"pool {pool.name}", f"no answer for {_PATIENCE_S:.0f} s")
    for outcome in ended:
        if outcome.error is not None:
            raise outcome.error
    return [outcome.value for outcome in ended]


def wait_for_workers(pool: Pool, limit_s: float) -> None:
    """Wait until a pool has workers.

    Raises
    ------
    CampaignError
        It has none after `limit_s`, or never will.
    """
    until = time.monotonic() + limit_s
    while not pool.slots():
        pool.wait(0.2)
        if pool.failure_reason or time.monotonic() > until:
            what = pool.failure_reason or f"no worker for {limit_s:.0f} s"
            raise CampaignError(f"pool {pool.name}", what, "Try again, or another --site.")
