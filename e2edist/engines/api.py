"""What a module of `e2edist.engines`, or one in another package, imports to be an engine.

An engine module has a function ``make(tagger, options) -> Engine``. It may have options of its own:

- a class ``Options``, for ``[pools.NAME.engine_options]`` of a site file: what decides no number, such as the
  address of a server;
- a class ``ModelOptions``, for ``[model.options.ENGINE]`` of a tagger file: what decides a number, such as
  the version of the model on that server. It is part of the tagger's fingerprint.

Both are subclasses of `PluginOptions`; ``make`` reads them by ``options.own(Options)`` and
``options.of_model(tagger, ModelOptions)``. Keys that are given to an engine without such a class are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from e2edist.config.tagger import TaggerSpec
from e2edist.config.toml_models import Spec, parse
from e2edist.errors import ConfigError, DeviceError, ModelError
from e2edist.imaging.crops import Crops, Normalisation
from e2edist.imaging.event_batch import Array

__all__ = [
    "Array",
    "ConfigError",
    "Crops",
    "DeviceError",
    "Engine",
    "EngineOptions",
    "InferenceStream",
    "ModelError",
    "Normalisation",
    "PluginOptions",
    "StreamingEngine",
    "TaggerSpec",
    "image_shape",
]


class PluginOptions(Spec):
    """Base of an engine's own options: a frozen pydantic model, with the table's keys as fields."""


T = TypeVar("T", bound=PluginOptions)


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
    plugin_options : mapping of str to value
        The engine's own options as the site file has them: see `own`.
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
    # Plain values, so that a worker without the plug-in still says which engine it lacks.
    plugin_options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def kind(self) -> str:
        """What runs the model: pools of one kind are taken to give the same scores."""
        return f"{self.name} {self.provider}"

    def own(self, model: type[T]) -> T:
        """Return the engine's own options.

        Raises
        ------
        ConfigError
            A key is unknown, missing, or has a value of another type; all faults are named.
        """
        return parse(model, dict(self.plugin_options), f"engine_options of a pool with engine {self.name}")

    def of_model(self, tagger: TaggerSpec, model: type[T]) -> T:
        """Return what a tagger says to this engine, which decides numbers.

        Raises
        ------
        ConfigError
            As `own`.
        """
        given = tagger.model.options.get(self.name, {})
        return parse(model, given, f"model.options.{self.name} of tagger {tagger.name}")


class InferenceStream(Protocol):
    """Crops of one chunk on their way through an engine, for one thread.

    Attributes
    ----------
    depth : int
        So many batches may be loaded before the result of the first is asked for.
    bytes_sent : int
        Bytes of inputs so far.
    """

    @property
    def depth(self) -> int: ...  # noqa: D102
    @property
    def bytes_sent(self) -> int: ...  # noqa: D102

    def load(self, start: int, stop: int) -> None:
        """Make the inputs of the crops start:stop, at most a batch."""

    def result(self) -> dict[str, Array]:
        """Return the score columns, each of shape (batch,), of the batch that was loaded first."""

    def close(self) -> None:
        """Release what the stream holds."""


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


@runtime_checkable
class StreamingEngine(Protocol):
    """An engine that takes crops in a way of its own, where the others get dense images."""

    def open_stream(self, crops: Crops, normalisation: Normalisation) -> InferenceStream:
        """Return the way of these crops through the engine."""


def image_shape(tagger: TaggerSpec) -> tuple[int, int, int]:
    """Return the shape of one image as the model takes it."""
    c, n = len(tagger.channels), tagger.crop.size
    return (c, n, n) if tagger.model.layout == "NCHW" else (n, n, c)
