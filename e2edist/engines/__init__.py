"""Floor 2: model runtimes, one module each.

An engine module has a function ``make(tagger, options) -> Engine``. Engines are not picklable and
are made once per process (`open_engine`); the threads of a worker share one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from e2edist.imaging.batch import Array
from e2edist.plugins import load
from e2edist.spec.tagger import TaggerSpec


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
    """

    name: str = "onnx"
    provider: str = "cpu"
    batch: int = 0
    threads: int = 1


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


_open: dict[tuple[str, EngineOptions], Engine] = {}
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


def open_engine(tagger: TaggerSpec, options: EngineOptions) -> Engine:
    """Return the process's one engine for this tagger and these options, made at the first call."""
    key = (tagger.fingerprint(), options)
    with _lock:
        if key not in _open:
            _open[key] = make_engine(tagger, options)
        return _open[key]
