"""The ways in which a model may be run, each of which must give the reference's scores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from e2edist.config.tagger import TaggerSpec
from e2edist.engines import Engine, EngineOptions, make_engine, runtime, score
from e2edist.errors import DeviceError, ModelError
from e2edist.imaging.event_batch import Array

from .reduced_precision import to_half, to_int8
from .reference_objects import ReferenceObjects, crops_of
from .sessions import Session, Settings

#: Our providers on a GPU -> (name for people, ONNX Runtime's); those of which a campaign can have a pool.
GPUS = {
    "cuda": ("CUDA", "CUDAExecutionProvider"),
    # Last: it sets NVIDIA's variable against TF32, which other libraries in the process read too.
    "tensorrt": ("TensorRT", "TensorrtExecutionProvider"),
}


class NotApplicableError(ModelError):
    """A variant does not fit a model or its objects, which says nothing about either."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user wants besides what always runs.

    Attributes
    ----------
    batch : int
        Images in a call; 0: as the tagger says.
    fp16, int8, tf32 : bool
        Whether to hold these to the tolerance as well.
    """

    batch: int = 0
    fp16: bool = False
    int8: bool = False
    tf32: bool = False


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to run the model.

    Attributes
    ----------
    name : str
    run : callable
        Golden objects -> scores, float64, shape (objects, columns).
    counts : bool
        Whether campaigns run the model so: then it must pass.
    asked : bool
        Whether the user asked for it: then it must run, whatever is missing for it.
    facts : mapping of str to str
        What it ran on, as in the receipts of campaigns; known after it ran.
    """

    name: str
    run: Callable[[ReferenceObjects], Array]
    counts: bool = True
    asked: bool = True
    facts: Mapping[str, str] = field(default_factory=dict)


class EngineRun:
    """The product's own engine, with its batches, buffers and activations.

    Attributes
    ----------
    facts : dict of str to str
        Of the engine, once it ran.
    """

    def __init__(self, tagger: TaggerSpec, options: EngineOptions) -> None:
        self._tagger, self._options = tagger, options
        self.facts: dict[str, str] = {}

    def __call__(self, golden: ReferenceObjects) -> Array:
        """Return the scores of golden objects, float64, shape (objects, columns)."""
        tagger, crops = self._tagger, golden.crops
        if (
            crops is None
        ):  # known as images only: their pixels are lists too, of numbers that stay as they are
            crops = crops_of(golden.images, channels_last=tagger.model.layout == "NHWC")
            tagger = _as_it_is(tagger)
        engine = self._open(tagger)
        self.facts.update(engine.facts)
        return score(engine, crops, tagger.normalisation).table

    def _open(self, tagger: TaggerSpec) -> Engine:
        try:
            return make_engine(tagger, self._options)
        except DeviceError:
            raise
        except ModelError as error:
            if self._options.images == "dense":
                raise
            # A model to which no sparse graph can be joined runs dense.
            raise NotApplicableError(*error.args) from error


def _as_it_is(tagger: TaggerSpec) -> TaggerSpec:
    """Return the tagger with a normalisation that changes nothing."""
    plain = {"threshold": 0.0, "scale": 1.0, "offset": 0.0}
    channels = tuple(channel.model_copy(update=plain) for channel in tagger.channels)
    return tagger.model_copy(update={"channels": channels})


def baseline(tagger: TaggerSpec) -> Callable[[ReferenceObjects], Array]:
    """Return the plainest way to run a model: CPU, the graph as it stands, one image a call."""
    return _session(tagger, Settings(optimised=False), 1)


def variants(tagger: TaggerSpec, asked: Options) -> Iterator[Variant]:
    """Yield the ways to run the model of `tagger`, the plainest first."""
    batch = asked.batch or tagger.batch
    fixed = Session(tagger.model.path, tagger, Settings()).fixed
    yield Variant("CPU, unoptimised", _session(tagger, Settings(optimised=False), batch))
    yield Variant("CPU, optimised", _session(tagger, Settings(), batch))
    yield _engine("CPU, e2edist's", tagger, EngineOptions(batch=batch))
    sparse = EngineOptions(batch=batch, images="sparse")
    yield _engine("CPU, sparse images", tagger, sparse, asked=False)
    if not fixed:
        yield Variant("CPU, batch 1", _session(tagger, Settings(), 1))
        yield Variant(f"CPU, batch {3 * batch + 1}", _session(tagger, Settings(), 3 * batch + 1))
    if fixed != 1:
        yield Variant("CPU, shuffled", _shuffled(_session(tagger, Settings(), batch)))
    cores = len(os.sched_getaffinity(0))
    for threads in sorted({2, cores} - {1}):
        yield Variant(f"CPU, {threads} threads", _session(tagger, Settings(threads=threads), batch))
    yield from _on_gpus(tagger, batch, asked)
    yield from _smaller(tagger, batch, asked)


def _on_gpus(tagger: TaggerSpec, batch: int, asked: Options) -> Iterator[Variant]:
    """Yield what a pool on each GPU provider of this build does; where there is no device, it does not run.

    Whatever fails on a device that is there is a failure of the model on it.
    """
    for provider, (name, theirs) in GPUS.items():
        if theirs not in runtime().get_available_providers():
            continue
        options = EngineOptions(provider=provider, batch=batch)
        yield _engine(name, tagger, options, asked=False)
        sparse = replace(options, images="sparse")
        yield _engine(f"{name}, sparse images", tagger, sparse, asked=False)
        if provider == "cuda":  # TensorRT has no switch of its own for TF32
            quick = replace(options, tf32=True)
            yield _engine(f"{name}, TF32", tagger, quick, counts=False, asked=asked.tf32)


def _engine(
    name: str, tagger: TaggerSpec, options: EngineOptions, *, counts: bool = True, asked: bool = True
) -> Variant:
    run = EngineRun(tagger, options)
    return Variant(name, run, counts, asked, run.facts)


def _smaller(tagger: TaggerSpec, batch: int, asked: Options) -> Iterator[Variant]:
    path = tagger.model.path

    def half(golden: ReferenceObjects) -> Array:
        return Session(to_half(path).SerializeToString(), tagger, Settings()).scores(golden.images, batch)

    def whole(golden: ReferenceObjects) -> Array:
        return Session(to_int8(path), tagger, Settings()).scores(golden.images, batch)

    if asked.fp16:
        yield Variant("CPU, fp16", half, counts=False)
    if asked.int8:
        yield Variant("CPU, int8 dynamic", whole, counts=False)


def _session(tagger: TaggerSpec, settings: Settings, batch: int) -> Callable[[ReferenceObjects], Array]:
    def run(golden: ReferenceObjects) -> Array:
        return Session(tagger.model.path, tagger, settings).scores(golden.images, batch)

    return run


def _shuffled(run: Callable[[ReferenceObjects], Array]) -> Callable[[ReferenceObjects], Array]:
    """Return the same with every image among other neighbours."""

    def shuffled(golden: ReferenceObjects) -> Array:
        order = np.random.default_rng(1).permutation(len(golden))
        back = np.argsort(order)
        return run(replace(golden, images=golden.images[order], crops=None))[back]

    return shuffled
