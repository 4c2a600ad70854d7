"""Model runtimes, one module each.

An engine module has a function ``make(tagger, options) -> Engine``. Engines are not picklable and
are made once per process (`open_engine`); the threads of a worker share one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import Literal, Protocol

from e2edist.config.model_files import ModelFiles, check_planned
from e2edist.config.site import PoolSpec
from e2edist.config.tagger import TaggerSpec
from e2edist.errors import ModelError
from e2edist.imaging.crops import Crops, Normalisation
from e2edist.imaging.event_batch import Array
from e2edist.plugins import load

from ._dense_stream import DenseStream
from ._device import processor as processor
from ._model_io import image_shape as image_shape
from ._runtime import first_line as first_line
from ._runtime import refused_load as refused_load
from ._runtime import runtime as runtime
from ._stability import TODO, fault, fault_in_any_batch
from ._toposort import in_order as in_order
from ._unstable_nodes import RANDOM as RANDOM


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How to run a model; nothing here decides a number.

    Attributes
    ----------
    name : str
        Module of `e2edist.engines`.
    provider : str
        cpu, cuda or tensorrt; never another one than asked for.
    batch : int
        Images per call; 0: as the tagger says. A model with a fixed batch has its own.
    threads : int
        Threads inside one call; the worker's threads come on top.
    images : str
        dense, or sparse: lists of pixels that become images on the device.
    sessions : int
        Sessions of a process, which its threads take in turn.
    conv_search : str
        How cuDNN chooses its convolutions.
    tf32 : bool
        Let a GPU round to 10 bits of mantissa; for comparing only.
    profile : str
        File of the tuning profile that chose these, for the receipts.
    accepted : bool
        Run a model whose scores depend on the batch or on chance, too.
    """

    name: str = "onnx"
    provider: str = "cpu"
    batch: int = 0
    threads: int = 1
    images: Literal["dense", "sparse"] = "dense"
    sessions: int = 1
    conv_search: Literal["heuristic", "exhaustive", "default"] = "heuristic"
    tf32: bool = False
    profile: str = ""
    accepted: bool = False

    @property
    def kind(self) -> str:
        """What runs the model: pools of one kind are taken to give the same scores."""
        return f"{self.name} {self.provider}"


def engine_options(pool: PoolSpec, batch: int = 0) -> EngineOptions:
    """Return the options of a pool; `batch` 0: as the pool says."""
    return EngineOptions(
        name=pool.engine,
        provider=pool.provider,
        batch=batch or pool.batch,
        threads=pool.intra_op or 1,
        images="sparse" if pool.images == "sparse" else "dense",
        sessions=pool.sessions or 1,
        conv_search=pool.conv_search,
        profile="" if pool.profile in {"auto", "none"} else pool.profile,
    )


class InferenceStream(Protocol):
    """Crops of one chunk on their way through an engine, for one thread.

    Attributes
    ----------
    depth : int
        So many batches may be loaded before the result of the first is asked for.
    sent : int
        Bytes of inputs so far.
    """

    @property
    def depth(self) -> int: ...  # noqa: D102
    @property
    def sent(self) -> int: ...  # noqa: D102

    def load(self, start: int, stop: int) -> None:
        """Make the inputs of the crops start:stop, at most a batch."""

    def result(self) -> dict[str, Array]:
        """Return the score columns, each of shape (batch,), of the batch that was loaded first."""

    def close(self) -> None:
        """Let go of what it holds."""


class Engine(Protocol):
    """A model that is ready to run, safe to share between threads.

    Attributes
    ----------
    batch : int
        Images that each call takes: the tail of a chunk is padded.
    columns : mapping of str to str
        Score column -> numpy dtype, in order.
    facts : mapping of str to str
        Provider, device, versions: for the receipt of each part.
    """

    @property
    def batch(self) -> int: ...  # noqa: D102
    @property
    def columns(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def facts(self) -> Mapping[str, str]: ...  # noqa: D102

    def predict(self, images: Array) -> dict[str, Array]:
        """Return the score columns, each of shape (batch,), of a batch of images.

        Parameters
        ----------
        images : float32, shape (batch, channels, n, n), or (batch, n, n, channels) for NHWC
        """


_open: dict[tuple[str, EngineOptions], tuple[Engine, ModelFiles]] = {}
_lock = Lock()


def make_engine(tagger: TaggerSpec, options: EngineOptions) -> Engine:
    """Return a new engine.

    Raises
    ------
    ModelError
        The model does not load or does not fit the tagger, or the provider is not to be had.
    UnknownNameError
        There is no such engine.
    """
    engine: Engine = load("engines", options.name).make(tagger, options)
    return engine


def check_stability(tagger: TaggerSpec, options: EngineOptions) -> str:
    """Open a model with these options and return how its scores depend on the batch or on chance.

    Returns
    -------
    str
        Empty if they don't; only with ``options.accepted`` may they.

    Raises
    ------
    ModelError, UnknownNameError
        As `make_engine`, or they do.
    """

    def open_at(batch: int) -> Engine:
        return make_engine(tagger, replace(options, batch=batch or options.batch))

    why = fault_in_any_batch(tagger, open_at, sparse=options.images == "sparse")
    if why and not options.accepted:
        raise ModelError(tagger.model.path, why, TODO)
    return why


def open_engine(tagger: TaggerSpec, options: EngineOptions) -> Engine:
    """Return the process's one engine for this tagger and these options, made at the first call.

    It is made anew where files with weights beside the model changed since: runtimes map such files, so
    that what is written to them changes the scores of an engine that is open.

    Raises
    ------
    ModelError
        As `make_engine`; and if the model is not the one that the tagger was read with, or its scores depend
        on the batch or on chance.
    """
    key = (tagger.fingerprint(), options)
    with _lock:
        engine, files = _open.get(key, (None, None))
        if engine is None or files is None or (files.external and files.changed):
            _open.pop(key, None)
            files = check_planned(tagger.model.path, tagger.model.sha256)
            engine = make_engine(tagger, options)
            if not options.accepted and (why := fault(tagger, engine, sparse=options.images == "sparse")):
                raise ModelError(tagger.model.path, why, TODO)
            files.check_unchanged()
            _open[key] = (engine, files)
        return engine


def open_stream(engine: Engine, crops: Crops, rule: Normalisation) -> InferenceStream:
    """Return the way of crops into an engine: its own method ``feed``, or else dense images."""
    make = getattr(engine, "feed", None)
    feed: InferenceStream = make(crops, rule) if make else DenseStream(engine, crops, rule)
    return feed


def forget_engines(but: EngineOptions) -> None:
    """Close this process's engines with other options, so that they hold no memory of a device."""
    with _lock:
        for key in [key for key in _open if key[1] != but]:
            del _open[key]
