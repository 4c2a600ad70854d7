"""The ways in which a model may be run, each of which must give the reference's scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from e2edist.config.tagger import TaggerSpec
from e2edist.engines import Engine, EngineOptions, make_engine, runtime, score
from e2edist.errors import DeviceError, ModelError
from e2edist.imaging.event_batch import Array
from e2edist.process import usable_cores

from .cpu_sessions import Session, SessionSettings
from .reduced_precision import to_half, to_int8
from .reference_objects import ReferenceObjects, crops_of

#: Our providers on a GPU -> (name for people, ONNX Runtime's); those of which a campaign can have a pool.
GPUS = {
    "cuda": ("CUDA", "CUDAExecutionProvider"),
    # Last: it sets NVIDIA's variable against TF32, which other libraries in the process read too.
    "tensorrt": ("TensorRT", "TensorrtExecutionProvider"),
}


#: Reference objects -> scores, float64, shape (objects, columns).
Run = Callable[[ReferenceObjects], Array]


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
    run : Run
    in_campaigns : bool
        Whether campaigns run the model so: then it must pass.
    requested : bool
        Whether the user asked for it: then it must run, whatever is missing for it.
    facts : mapping of str to str
        What it ran on, as in the receipts of campaigns; known after it ran.
    """

    name: str
    run: Run
    in_campaigns: bool = True
    requested: bool = True
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

    def __call__(self, objects: ReferenceObjects) -> Array:
        """Return the scores of reference objects, float64, shape (objects, columns)."""
        tagger, crops = self._tagger, objects.crops
        if (
            crops is None
        ):  # only the images are known: their pixels are lists of numbers that stay as they are
            crops = crops_of(objects.images, channels_last=tagger.model.layout == "NHWC")
            tagger = _without_normalisation(tagger)
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


def _without_normalisation(tagger: TaggerSpec) -> TaggerSpec:
    plain = {"threshold": 0.0, "scale": 1.0, "offset": 0.0}
    channels = tuple(channel.model_copy(update=plain) for channel in tagger.channels)
    return tagger.model_copy(update={"channels": channels})


def baseline(tagger: TaggerSpec) -> Run:
    """Return the plainest way to run a model: CPU, the graph as it stands, one image a call."""
    return _session(tagger, SessionSettings(optimised=False), 1)


def variants(tagger: TaggerSpec, options: Options) -> Iterator[Variant]:
    """Yield the ways to run the model of `tagger`, the plainest first."""
    batch, usual = options.batch or tagger.batch, SessionSettings()
    fixed = Session(tagger.model.path, tagger, usual).fixed_batch
    yield Variant("CPU, unoptimised", _session(tagger, SessionSettings(optimised=False), batch))
    yield Variant("CPU, optimised", _session(tagger, usual, batch))
    yield _engine("CPU, e2edist's", tagger, EngineOptions(batch=batch))
    sparse = _engine("CPU, sparse images", tagger, EngineOptions(batch=batch, images="sparse"))
    yield replace(sparse, requested=False)
    if not fixed:
        yield Variant("CPU, batch 1", _session(tagger, usual, 1))
        yield Variant(f"CPU, batch {3 * batch + 1}", _session(tagger, usual, 3 * batch + 1))
    if fixed != 1:
        yield Variant("CPU, shuffled", _shuffled(_session(tagger, usual, batch)))
    cores = usable_cores()
    for threads in sorted({2, cores} - {1}):
        yield Variant(f"CPU, {threads} threads", _session(tagger, SessionSettings(threads=threads), batch))
    yield from _on_gpus(tagger, batch, tf32=options.tf32)
    if options.fp16:
        half = _converted(lambda: to_half(tagger.model.path).SerializeToString(), tagger, batch)
        yield Variant("CPU, fp16", half, in_campaigns=False)
    if options.int8:
        whole = _converted(lambda: to_int8(tagger.model.path), tagger, batch)
        yield Variant("CPU, int8 dynamic", whole, in_campaigns=False)


def _on_gpus(tagger: TaggerSpec, batch: int, *, tf32: bool) -> Iterator[Variant]:
    """Yield what a pool on each GPU provider of this build does; where there is no device, it does not run.

    Whatever fails on a device that is there is a failure of the model on it.
    """
    for provider, (name, theirs) in GPUS.items():
        if theirs not in runtime().get_available_providers():
            continue
        dense = EngineOptions(provider=provider, batch=batch)
        sparse = replace(dense, images="sparse")
        yield replace(_engine(name, tagger, dense), requested=False)
        yield replace(_engine(f"{name}, sparse images", tagger, sparse), requested=False)
        if provider == "cuda":  # TensorRT has no switch of its own for TF32
            rounded = _engine(f"{name}, TF32", tagger, replace(dense, tf32=True))
            yield replace(rounded, in_campaigns=False, requested=tf32)


def _engine(name: str, tagger: TaggerSpec, options: EngineOptions) -> Variant:
    run = EngineRun(tagger, options)
    return Variant(name, run, facts=run.facts)


def _session(tagger: TaggerSpec, settings: SessionSettings, batch: int) -> Run:
    def run(objects: ReferenceObjects) -> Array:
        return Session(tagger.model.path, tagger, settings).scores(objects.images, batch)

    return run


def _converted(convert: Callable[[], bytes], tagger: TaggerSpec, batch: int) -> Run:
    def run(objects: ReferenceObjects) -> Array:
        return Session(convert(), tagger, SessionSettings()).scores(objects.images, batch)

    return run


def _shuffled(run: Run) -> Run:
    """Return the same with every image among other neighbours."""

    def shuffled(objects: ReferenceObjects) -> Array:
        order = np.random.default_rng(1).permutation(len(objects))
        back = np.argsort(order)
        return run(replace(objects, images=objects.images[order], crops=None))[back]

    return shuffled
