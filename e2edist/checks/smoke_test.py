"""One chunk of demo events on one worker of each pool: the only check that proves anything."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Timer
from typing import TYPE_CHECKING

from e2edist.campaign.campaign import plan_campaign
from e2edist.campaign.heartbeat_record import read_heartbeat
from e2edist.campaign.run import RunResult, run_campaign
from e2edist.config.campaign import CampaignSpec
from e2edist.config.site import PoolSpec, SiteSpec
from e2edist.counted import counted
from e2edist.demo import LABELS, make_events
from e2edist.errors import E2EError
from e2edist.pools import batch_system, is_batch

from . import Finding
from .container_images import ours
from .host import nearest

if TYPE_CHECKING:
    from e2edist.accounting.progress import Progress

_EVENTS = 40
#: A chunk that began so long before its campaign, or after its end, did so by another clock.
_SKEW_S = 5.0


@dataclass(frozen=True, slots=True)
class Demo:
    """What is run where.

    Attributes
    ----------
    inputs : tuple of str
        Files in place of made-up events; one chunk of them is run.
    output : Path
        The demo's own folder lies beside it.
    timeout_s : float
        Patience with each pool.
    """

    tagger: str
    model: str | None
    inputs: tuple[str, ...]
    output: Path
    timeout_s: float


@dataclass(slots=True)
class _Watch:
    """When the first worker was there; says stop when the first chunk is done."""

    stop: Event
    clock: float = field(default_factory=time.time)
    joined_s: float | None = None

    def __call__(self, progress: Progress) -> None:
        self.joined_s = progress.start_s
        if progress.done:
            self.stop.set()


def run_smoke_tests(site: SiteSpec, demo: Demo) -> Iterator[Finding]:
    """Run a chunk on a worker of each pool in turn, in a hidden folder beside the output that is removed."""
    if demo.tagger not in LABELS and not demo.inputs:
        text = f"there are no demo events for tagger {demo.tagger}"
        yield Finding("warn", "demo", text, f"Give --input, or try one of {', '.join(LABELS)}.")
        return
    try:
        folder = Path(tempfile.mkdtemp(prefix=".e2edist-doctor-", dir=nearest(demo.output)))
    except OSError as error:
        yield Finding("fail", "demo", f"no folder for it ({error.strerror})", "See output.")
        return
    try:
        inputs = demo.inputs or _events(folder, demo.tagger)
        for name, pool in site.pools.items():
            if not (pool.job.shared_disk or demo.inputs):
                text = "not run: its workers don't see made-up events on this disk"
                yield Finding("warn", f"demo on {name}", text, "Give --input with a root:// address.")
                continue
            place = str(folder / name)
            spec = CampaignSpec(tagger=demo.tagger, model=demo.model, inputs=inputs, output=place)
            yield _trial(name, _alone(site, name), spec, demo.timeout_s)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _events(folder: Path, tagger: str) -> tuple[str, ...]:
    return tuple(map(str, make_events(folder / "events", tagger, _EVENTS, seed=3, files=1)))


def _alone(site: SiteSpec, name: str) -> SiteSpec:
    pool = site.pools[name].model_copy(update={"workers": 1})
    return site.model_copy(update={"pools": {name: pool}})


def _trial(name: str, site: SiteSpec, spec: CampaignSpec, timeout_s: float) -> Finding:
    topic, stop = f"demo on {name}", Event()
    watch = _Watch(stop)
    timer = Timer(timeout_s, stop.set)
    timer.daemon = True
    timer.start()
    try:
        result = run_campaign(plan_campaign(spec, site), watch, stop, lambda _: None)
    except E2EError as error:
        return Finding("fail", topic, f"{error.where}: {error.what}".removeprefix(": "), error.todo)
    finally:
        timer.cancel()
    if result.events:
        return _finished(topic, result, watch)
    if result.bad:
        return Finding("fail", topic, f"its chunk failed: {result.bad[0]['reason']}", "See the reason.")
    return _unfinished(name, site.pools[name], spec, watch, timeout_s)


def _finished(topic: str, result: RunResult, watch: _Watch) -> Finding:
    receipt = next(iter(result.ledger.done.values()))
    engine = receipt.engine
    device = engine.get("device", "") or engine.get("provider", "")
    text = f"{counted(result.events, 'event')} on {receipt.host} ({device}) in {result.seconds:.1f} s"
    text += f", first worker after {watch.joined_s:.1f} s" if watch.joined_s is not None else ""
    theirs, mine = receipt.versions["python"], ours()["python"]
    if theirs.split(".")[:2] != mine.split(".")[:2]:
        todo = "Use the same Python inside and outside."
        return Finding("fail", topic, f"{text}; Python {theirs} there, {mine} here", todo)
    skew = max(watch.clock - receipt.started, receipt.started - time.time())
    if skew > _SKEW_S:
        todo = "Have the clocks set: certificates and locks rely on them."
        return Finding("warn", topic, f"{text}; its clock is {skew:.0f} s off", todo)
    if left := engine.get("cpu_nodes"):
        todo = f"The model is slower there than it could be: {engine['nodes']}."
        return Finding("warn", topic, f"{text}; ONNX Runtime leaves nodes to the CPU: {left}", todo)
    return Finding("ok", topic, text)


def _unfinished(name: str, pool: PoolSpec, spec: CampaignSpec, watch: _Watch, timeout_s: float) -> Finding:
    topic, limit = f"demo on {name}", f"after {timeout_s:.0f} s"
    if watch.joined_s is not None:
        text = f"a worker came, its chunk was not done {limit}"
        return Finding("fail", topic, text, "Raise --timeout-s, or look at the pool's logs.")
    beat = read_heartbeat(Path(spec.output))
    if beat is not None and beat.pools[name].running:
        todo = "Workers don't reach the scheduler: set interface, worker_args and ports as the site allows."
        return Finding("fail", topic, f"its job runs, but no worker had come {limit}", todo)
    return Finding("warn", topic, f"its job was still queued {limit}", _sooner(pool.kind))


def _sooner(kind: str) -> str:
    """Return what to do about a job that waits."""
    if not is_batch(kind):
        return "Raise --timeout-s."
    system = batch_system(kind)
    other = "" if "queue" in system.unsupported else ", or name a queue that starts sooner"
    why = f" {system.why_queued} says why it waits." if system.why_queued else ""
    return f"Raise --timeout-s{other}.{why}"
