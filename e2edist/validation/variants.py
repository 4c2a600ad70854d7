"""The ways in which a model may be run, each of which must give the reference's scores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from e2edist.engines import EngineOptions, make_engine, open_feed
from e2edist.errors import ModelError
from e2edist.imaging.batch import Array
from e2edist.spec.tagger import TaggerSpec

from .golden import Golden
from .precision import to_half, to_int8
from .sessions import Session, Settings, runtime

#: ONNX Runtime's name of a provider -> (ours, options without TF32, options with it).
_GPUS: dict[str, tuple[str, tuple[tuple[str, str], ...] | None, tuple[tuple[str, str], ...]]] = {
    "CUDAExecutionProvider": ("CUDA", (("use_tf32", "0"),), (("use_tf32", "1"),)),
    # TensorRT has no switch of its own for TF32.
    "TensorrtExecutionProvider": ("TensorRT", None, ()),
    "NvTensorRTRTXExecutionProvider": ("TensorRT RTX", None, ()),
    "MIGraphXExecutionProvider": ("MIGraphX", (), ()),
    "ROCMExecutionProvider": ("ROCm", (), ()),
}


@dataclass(frozen=True, slots=True)
class Asked:
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
        Whether the user asked for it: then it must run.
    """

    name: str
    run: Callable[[Golden], Array]
    counts: bool = True
    asked: bool = True


def baseline(tagger: TaggerSpec) -> Callable[[Golden], Array]:
    """Return the plainest way to run a model: CPU, the graph as it stands, one image a call."""
    return _session(tagger, Settings(optimised=False), 1)


def variants(tagger: TaggerSpec, asked: Asked) -> Iterator[Variant]:
    """Yield the ways to run the model of `tagger`, the plainest first."""
    batch = asked.batch or tagger.batch
    fixed = Session(tagger.model.path, tagger, Settings()).fixed
    yield Variant("CPU, unoptimised", _session(tagger, Settings(optimised=False), batch))
    yield Variant("CPU, optimised", _session(tagger, Settings(), batch))
    yield Variant("CPU, e2edist's", _engine(tagger, EngineOptions(batch=batch)))
    # A model to which no sparse graph can be joined runs dense: its failing to join says nothing about it.
    yield Variant("CPU, sparse images", _sparse(tagger, batch), asked=False)
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


def _on_gpus(tagger: TaggerSpec, batch: int, asked: Asked) -> Iterator[Variant]:
    for provider in runtime().get_available_providers():
        if provider not in _GPUS:
            continue
        name, exact, quick = _GPUS[provider]
        if exact is not None:
            # Without a device it can't run, which says nothing about the model.
            yield Variant(f"{name}, no TF32", _session(tagger, Settings(provider, exact), batch), asked=False)
        if exact != quick:
            run = _session(tagger, Settings(provider, quick), batch)
            yield Variant(f"{name}, TF32" if exact else name, run, counts=False, asked=asked.tf32)


def _smaller(tagger: TaggerSpec, batch: int, asked: Asked) -> Iterator[Variant]:
    path = tagger.model.path

    def half(golden: Golden) -> Array:
        return Session(to_half(path).SerializeToString(), tagger, Settings()).scores(golden.images, batch)

    def whole(golden: Golden) -> Array:
        return Session(to_int8(path), tagger, Settings()).scores(golden.images, batch)

    if asked.fp16:
        yield Variant("CPU, fp16", half, counts=False)
    if asked.int8:
        yield Variant("CPU, int8 dynamic", whole, counts=False)


def _session(tagger: TaggerSpec, settings: Settings, batch: int) -> Callable[[Golden], Array]:
    def run(golden: Golden) -> Array:
        return Session(tagger.model.path, tagger, settings).scores(golden.images, batch)

    return run


def _shuffled(run: Callable[[Golden], Array]) -> Callable[[Golden], Array]:
    """Return the same with every image among other neighbours."""

    def shuffled(golden: Golden) -> Array:
        order = np.random.default_rng(1).permutation(len(golden))
        back = np.argsort(order)
        return run(replace(golden, images=golden.images[order], crops=None))[back]

    return shuffled


def _sparse(tagger: TaggerSpec, batch: int) -> Callable[[Golden], Array]:
    """Return the product's engine with images made on the device from lists of pixels."""

    def run(golden: Golden) -> Array:
        if golden.crops is None:
            raise ModelError(tagger.model.path, "these objects are known as images only")
        engine = make_engine(tagger, EngineOptions(batch=batch, images="sparse"))
        feed, parts = open_feed(engine, golden.crops, tagger.normalisation), []
        try:
            for start in range(0, len(golden), engine.batch):
                stop = min(start + engine.batch, len(golden))
                feed.load(start, stop)
                answer = feed.result()
                columns = [answer[name][: stop - start].astype(np.float64) for name in engine.columns]
                parts.append(np.stack(columns, axis=1))
        finally:
            feed.close()
        return np.concatenate(parts)

    return run


def _engine(tagger: TaggerSpec, options: EngineOptions) -> Callable[[Golden], Array]:
    """Return the product's own engine, with its batches and activations."""

    def run(golden: Golden) -> Array:
        engine = make_engine(tagger, options)
        parts = []
        for start in range(0, len(golden), engine.batch):
            part = golden.images[start : start + engine.batch]
            full = np.zeros((engine.batch, *part.shape[1:]), np.float32)
            full[: len(part)] = part
            answer = engine.predict(full)
            columns = [answer[name][: len(part)].astype(np.float64) for name in engine.columns]
            parts.append(np.stack(columns, axis=1))
        return np.concatenate(parts)

    return run
