"""One chunk from file to part: read -> images -> infer -> write, timed, safe to run twice."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from threading import Lock

import numpy as np
import pyarrow as pa

from e2edist.accounting.quality import measure_quality
from e2edist.config.lumi_mask import parse_mask
from e2edist.config.tagger import TaggerSpec
from e2edist.engines import Engine, EngineOptions, Step, open_engine, score
from e2edist.formats import read_events
from e2edist.imaging.crops import dense
from e2edist.imaging.event_batch import Array, EventBatch
from e2edist.imaging.lumi_mask import LumiMask
from e2edist.imaging.seeds import STATUSES
from e2edist.imaging.select_events import select
from e2edist.plugins import package_of
from e2edist.process import peak_memory_mib, prepare_process
from e2edist.records.chunk import Chunk
from e2edist.records.parts import checksum, write_part
from e2edist.records.receipt import EVENTSETUP, Receipt
from e2edist.records.result_transfer import deliver, unpack_model
from e2edist.storage.read_inputs import InputOptions, read_input

from .clock import DET_FRAMES, OUTPUT, SOURCE, Clock, Stage
from .freed_memory import keep_freed_memory
from .images import Images, cut_images, empty_batch, find_candidates, make_frames, make_images
from .rows import make_table


@dataclass(frozen=True, slots=True)
class TaskContext:
    """All that a worker must know besides the chunk; travels once per worker.

    `folder` is empty for workers that don't see it, and `files` are then those of the model, by their names,
    the ONNX file first. `access` has, by the uuid of a file, the address to open it at where that is not its
    chunks' url; it may hold secrets, so it lives in memory alone.
    """

    tagger: TaggerSpec
    fingerprint: str
    folder: str
    pool: str
    engine: EngineOptions
    inputs: InputOptions = field(default_factory=InputOptions)
    validation: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    image: str = ""
    access: Mapping[str, str] = field(default_factory=dict, repr=False)
    lumi_mask: str = ""


_contexts: dict[str, TaskContext] = {}
_warm: set[str] = set()
_lock = Lock()


def prepare(key: str, context: TaskContext) -> None:
    """Make a context known to this process as `key`; nothing is opened before the first chunk."""
    prepare_process()
    keep_freed_memory()
    if context.files:
        context = replace(context, tagger=unpack_model(context.tagger, context.files), files={})
    _contexts[key] = context


def context_of(key: str) -> TaskContext:
    """Return what `prepare` made known as `key`."""
    return _contexts[key]


def run_chunk(key: str, chunk: Chunk) -> Receipt:
    """Run one chunk with the context `key` and publish its part.

    Returns
    -------
    Receipt
        As it stands in the footer of the part, and the size of the part.

    Raises
    ------
    InputError
        The file changed, is damaged, or lacks a branch.
    ModelError
        The model can't be opened or fails.
    OutputError
        The part can't be written.
    """
    context, clock, started = _contexts[key], Clock(), time.time()
    tagger = context.tagger
    with clock.stage(EVENTSETUP):
        _warm_up(key, tagger, open_engine(tagger, context.engine).columns)
    scored = score_chunk(chunk, context, clock)
    with clock.stage(OUTPUT, len(scored.images.objects)):
        table, quality = scored.table(), measure_quality(scored.scores, scored.images.crops, tagger)

        def receipt() -> Receipt:
            facts = _receipt(chunk, context, scored, clock, started)
            return replace(facts, quality=quality, notes=tuple(scored.batch.notes))

        return deliver(context.folder, chunk.id, lambda path: write_part(path, table, receipt))


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """A chunk in memory, with the score columns of its accepted objects, each of shape (crops,)."""

    chunk: Chunk
    batch: EventBatch
    images: Images
    engine: Engine
    scores: Mapping[str, Array]

    def table(self) -> pa.Table:
        """Return the rows of the chunk, as its part has them."""
        return make_table(self.chunk.uuid, self.batch, self.images, self.scores, self.engine.columns)


def score_chunk(chunk: Chunk, context: TaskContext, clock: Clock) -> ScoredChunk:
    """Read a chunk, make its images and score them, in this process; writes nothing.

    Raises
    ------
    InputError, ModelError
        As `run_chunk`.
    """
    with clock.stage(SOURCE, chunk.events):
        batch = read_chunk(chunk, context)
    images = _timed_images(batch, context.tagger, clock)
    return ScoredChunk(chunk, batch, images, *score_images(images, context, clock))


def _timed_images(batch: EventBatch, tagger: TaggerSpec, clock: Clock) -> Images:
    """Return what `make_images` does, and measure its stages."""
    with clock.stage(tagger.frame_module):
        candidates = find_candidates(batch, tagger)
    with clock.stage(DET_FRAMES, batch.events):
        frames = make_frames(batch, candidates, tagger)
    with clock.stage(tagger.frame_module, len(candidates.objects)):
        return cut_images(candidates, frames, tagger)


def _warm_up(key: str, tagger: TaggerSpec, columns: Mapping[str, str]) -> None:
    """Run every step once on nothing, so that compiling and importing are not taken for work on events."""
    with _lock:
        if key not in _warm:
            batch = select(empty_batch(tagger.columns()), np.zeros(1, np.bool_))  # as a lumi mask does
            images = make_images(batch, tagger)
            scores = {name: np.empty(0, dtype) for name, dtype in columns.items()}
            dense(images.crops)
            measure_quality(scores, images.crops, tagger)
            checksum(make_table("", batch, images, scores, columns))
            _warm.add(key)


def read_chunk(chunk: Chunk, context: TaskContext) -> EventBatch:
    """Return the events of a chunk, wherever its file can be read."""
    tagger, mask = context.tagger, _mask(context.lumi_mask)

    def read(path: str) -> EventBatch:
        file, collections = chunk.at(path), tagger.objects.collections
        return read_events(file, tagger.columns(), collections, chunk.start, chunk.stop, mask)

    return read_input(context.access.get(chunk.uuid, chunk.url), context.inputs, read)


@cache
def _mask(text: str) -> LumiMask | None:
    return parse_mask(text) if text else None


def score_images(images: Images, context: TaskContext, clock: Clock) -> tuple[Engine, dict[str, Array]]:
    """Return the engine of a context, and its score columns, each of shape (crops,).

    Scores during which a file with the model's weights was written to may be of either: they are made again.
    """
    tagger = context.tagger
    modules: dict[Step, str] = {"load": tagger.frame_module, "run": tagger.module}

    def timer(step: Step, crops: int) -> Stage:
        return clock.stage(modules[step], crops)

    while True:
        engine = open_engine(tagger, context.engine)
        scores = score(engine, images.crops, tagger.normalisation, timer)
        if open_engine(tagger, context.engine) is engine:
            return engine, scores.columns


def _receipt(
    chunk: Chunk, context: TaskContext, scored: ScoredChunk, clock: Clock, started: float
) -> Receipt:
    batch, images = scored.batch, scored.images
    codes, counts = np.unique(images.seeds.status, return_counts=True)
    return Receipt(
        id=chunk.id,
        chunk=chunk,
        fingerprint=context.fingerprint,
        rows=len(images.objects),
        events=chunk.events,
        events_in_mask=batch.events_in_mask,
        lumis=batch.lumis(),
        status={STATUSES[code]: int(n) for code, n in zip(codes, counts, strict=True)},
        stages=clock.times(),
        started=round(started, 3),
        host=platform.node(),
        pid=os.getpid(),
        # High-water mark of the whole worker: its threads share what is counted.
        peak_mib=peak_memory_mib(),
        pool=context.pool,
        validation=context.validation,
        image=context.image,
        engine=_engine_facts(scored.engine, context.engine),
        versions=_versions()
        | package_of("engines", context.engine.name)
        | package_of("formats", chunk.format),
    )


def _engine_facts(engine: Engine, options: EngineOptions) -> dict[str, str]:
    # Plug-ins need not know what tables and pages want to show.
    facts = {"device": "unknown", "provider": options.provider} | dict(engine.facts)
    return {name: str(fact) for name, fact in facts.items()} | {
        "kind": options.kind,
        "batch": str(engine.batch),
    }


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("e2edist", "numpy", "numba", "uproot", "awkward", "pyarrow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout
            found[name] = "unknown"
    return found
