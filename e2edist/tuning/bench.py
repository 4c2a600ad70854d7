"""What is measured: events in memory -> images -> scores, by every thread of every worker at once."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from threading import Lock
from typing import Any

from e2edist.campaign.chunk import predict
from e2edist.campaign.clock import Clock
from e2edist.campaign.images import make_frames, make_images
from e2edist.engines import Engine, EngineOptions, forget_engines, open_engine, open_feed
from e2edist.errors import CampaignError, InputError
from e2edist.formats import open_events
from e2edist.imaging.batch import EventBatch
from e2edist.imaging.crops import Crops
from e2edist.pools import Outcome, Pool
from e2edist.spec.tagger import TaggerSpec

#: A worker that does not answer for so long, compiling included, is given up.
_PATIENCE_S = 600.0


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
        Per second, all workers together; reading and writing not included.
    setup_s : float
        Until the model was ready, of the slowest worker.
    kb : float
        Thousand bytes of inputs per object.
    facts : dict of str to str
        Of the engine: device, provider, versions.
    """

    events_s: float
    objects_s: float
    setup_s: float
    kb: float
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


def time_thread(key: str, options: EngineOptions, seconds: float) -> dict[str, Any]:
    """Run the sample with some options for about `seconds`, in this thread."""
    batch, tagger = _events(key), _samples[key].tagger
    began = time.perf_counter()
    forget_engines(but=options)
    engine = open_engine(tagger, options)
    setup = time.perf_counter() - began
    images = make_images(batch, make_frames(batch, tagger), tagger)
    if not images.crops.objects:
        todo = "Name --input files with objects that the tagger accepts."
        raise InputError(_samples[key].url, "no accepted object to measure with", todo)
    sent = _send(engine, images.crops, tagger)
    passes: list[float] = []
    while sum(passes) < seconds:
        began = time.perf_counter()
        images = make_images(batch, make_frames(batch, tagger), tagger)
        predict(images, engine, tagger, Clock())
        passes.append(time.perf_counter() - began)
    took = min(passes)  # what else runs on the machine can only slow a pass
    return {
        "events_s": batch.events / took,
        "objects_s": images.crops.objects / took,
        "setup_s": setup,
        "kb": sent / images.crops.objects / 1e3,
        "facts": dict(engine.facts) | {"batch": str(engine.batch)},
    }


def _send(engine: Engine, crops: Crops, tagger: TaggerSpec) -> int:
    """Score all crops once, which warms everything up; return the bytes of the inputs."""
    with closing(open_feed(engine, crops, tagger.normalisation)) as feed:
        for start in range(0, crops.objects, engine.batch):
            feed.load(start, min(start + engine.batch, crops.objects))
            feed.result()
        return feed.sent


def time_pool(pool: Pool, key: str, options: EngineOptions, seconds: float) -> Speed:
    """Run the sample in all threads of a pool at once, and add up.

    Raises
    ------
    E2EError
        The model does not run so, or workers are lost, as by want of memory.
    """
    tags = [f"tune {i}" for i in range(pool.slots())]
    for tag in tags:
        pool.submit(tag, time_thread, key, options, seconds)
    ended: list[Outcome] = []
    until = time.monotonic() + _PATIENCE_S
    while len(ended) < len(tags):
        ended += pool.wait(0.2)
        if time.monotonic() > until:
            raise CampaignError(f"pool {pool.name}", f"no answer for {_PATIENCE_S:.0f} s")
    for outcome in ended:
        if outcome.error is not None:
            raise outcome.error
    found = [outcome.value for outcome in ended]
    return Speed(
        events_s=sum(one["events_s"] for one in found),
        objects_s=sum(one["objects_s"] for one in found),
        setup_s=max(one["setup_s"] for one in found),
        kb=max(one["kb"] for one in found),
        facts=found[0]["facts"],
    )


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
        if pool.trouble or time.monotonic() > until:
            what = pool.trouble or f"no worker for {limit_s:.0f} s"
            raise CampaignError(f"pool {pool.name}", what, "Try again, or another --site.")
