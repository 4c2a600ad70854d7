"""Models in the framework that they were trained in: run in the verb's own process, never in a worker."""

from __future__ import annotations

import inspect
import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from e2edist.config.tagger import TaggerSpec
from e2edist.engines import first_line
from e2edist.errors import ModelError
from e2edist.imaging.event_batch import Array
from e2edist.install_hint import pip_install

from .reference_objects import ReferenceObjects
from .reference_scores import Reference, as_columns

#: What a source looks like, for the help of the verbs.
FORMS = "module:name (a torch model, or what makes one), TorchScript .pt, Keras .keras/.h5, SavedModel folder"
_TORCH_FILES = {".pt", ".pth", ".ts", ".torchscript", ".jit"}
_KERAS_FILES = {".keras", ".h5", ".hdf5"}
_STEP = 64
_COLOURS = re.compile("\x1b\\[[0-9;]*m")
#: Under what the weights are found in checkpoints that hold more.
_WRAPS = ("state_dict", "model_state_dict", "model")


def kind_of(source: str) -> str:
    """Return torch, torchscript, keras, savedmodel or frozen.

    Raises
    ------
    ModelError
        None of these, or there is no such file.
    """
    path = Path(source)
    if (path / "saved_model.pb").is_file():
        return "savedmodel"
    kinds = (
        dict.fromkeys(_TORCH_FILES, "torchscript") | dict.fromkeys(_KERAS_FILES, "keras") | {".pb": "frozen"}
    )
    if path.suffix in kinds:
        if not path.is_file():
            raise ModelError(source, "there is no such file")
        return kinds[path.suffix]
    if ":" in source and not path.exists():
        return "torch"
    raise ModelError(source, "is not a source of a model", f"Name {FORMS}, or a frozen graph .pb.")


@lru_cache(maxsize=1)
def load_torch(source: str, checkpoint: str | None) -> Any:
    """Return a torch module in evaluation mode: of ``module:name``, or of a TorchScript file.

    Asked again it is the same one: what makes it may give other weights each time.

    Parameters
    ----------
    source : str
        A name is a module, or a class or function without arguments that makes one. The current folder
        is searched first.
    checkpoint : str, optional
        State of its weights, as ``torch.save(model.state_dict(), ...)`` or in a dict under ``state_dict``.

    Raises
    ------
    ModelError
        torch is missing, there is no such model, or the checkpoint is not its own.
    """
    torch = _import_torch(source)
    if kind_of(source) == "torchscript":
        if checkpoint is not None:
            raise ModelError(source, "holds its weights itself", "Leave out --checkpoint.")
        return _load_script(torch, source)
    module = _make(source)
    if not isinstance(module, torch.nn.Module):
        raise ModelError(source, f"gives a {type(module).__name__}, not a torch.nn.Module")
    if checkpoint is not None:
        _fill(module, source, checkpoint)
    return module.eval()


def _fill(module: Any, source: str, checkpoint: str) -> None:
    """Load the weights of a checkpoint, as frameworks wrap them: in a dict, behind ``module.`` of DDP."""
    torch = import_module("torch")
    if not Path(checkpoint).is_file():
        raise ModelError(checkpoint, "there is no such file", "Name the checkpoint with its path.")
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling raises whatever it meets
        what = "is no file of weights alone: a whole model, or no checkpoint at all"
        raise ModelError(checkpoint, what, f"Save model.state_dict() of {source}.") from error
    for name in _WRAPS:
        if isinstance(state, Mapping) and isinstance(state.get(name), Mapping):
            state = state[name]
    if not isinstance(state, Mapping):
        raise ModelError(checkpoint, f"holds a {type(state).__name__}, not a dict of weights")
    if state and all(str(key).startswith("module.") for key in state):
        state = {str(key).removeprefix("module."): value for key, value in state.items()}
    try:
        module.load_state_dict(state)
    except Exception as error:  # matching too
        found = "; ".join(line.strip() for line in str(error).splitlines()[1:4])[:300]
        what = f"is no checkpoint of {source}: {found or first_line(error)}"
        raise ModelError(checkpoint, what, "Save model.state_dict() of that very class.") from error


def _import_torch(source: str) -> Any:
    try:
        return import_module("torch")
    except ImportError as error:
        todo = f"Install it where you convert and validate, workers need none: {pip_install('train')}."
        raise ModelError(source, "needs torch, which is not installed", todo) from error


def _load_script(torch: Any, source: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch would rather have another format
            return torch.jit.load(source, map_location="cpu").eval()
    except Exception as error:  # as above
        todo = "A checkpoint alone has no model: name module:name, and this file with --checkpoint."
        raise ModelError(source, f"is no TorchScript file: {first_line(error)}", todo) from error


def _make(source: str) -> Any:
    place, _, name = source.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(import_module(place), name)
        return found() if inspect.isclass(found) or inspect.isroutine(found) else found
    except Exception as error:  # it is the user's own code
        todo = "Name an importable module and a model in it, or a function without arguments that makes it."
        if place.endswith(".py"):
            todo = f"Name the module without .py: {place.removesuffix('.py')}:{name}."
        raise ModelError(
            source, f"gives no model: {type(error).__name__}: {first_line(error)}", todo
        ) from error
    finally:
        sys.path.pop(0)


def framework_scores(
    source: str, checkpoint: str | None, tagger: TaggerSpec, objects: ReferenceObjects
) -> Reference:
    """Return the scores that the source framework gives the reference objects.

    Raises
    ------
    ModelError
        The framework is missing, or the model fails.
    """
    kind = kind_of(source)
    if kind in ("torch", "torchscript"):
        run, facts = _torch_runner(load_torch(source, checkpoint))
    elif kind in ("keras", "savedmodel"):
        run, facts = _keras_runner(source, kind)
    else:
        raise ModelError(source, "a frozen graph can't be run here", "Name its SavedModel, or saved scores.")
    parts = []
    try:
        for start in range(0, len(objects), _STEP):
            outputs = run(objects.images[start : start + _STEP])
            parts.append(as_columns(_in_tagger_order(outputs, tagger), tagger))
    except ModelError:
        raise
    except Exception as error:  # whatever the framework raises; its first line may only say where
        why = " ".join(_COLOURS.sub("", str(error)).split())[:300] or type(error).__name__
        what = f"fails on images {objects.images.shape[1:]}: {why}"
        todo = "Check channels, crop.size and model.layout of the tagger file."
        raise ModelError(source, what, todo) from error
    return Reference(objects, np.concatenate(parts), {"by": f"{Path(source).name}, {facts}"})


def _torch_runner(module: Any) -> tuple[Callable[[Array], Any], str]:
    torch = import_module("torch")

    def run(images: Array) -> Any:
        with torch.inference_mode():
            return _plain(module(torch.tensor(images)))  # a copy: some models write into what they are given

    return run, f"torch {torch.__version__}"


def _keras_runner(source: str, kind: str) -> tuple[Callable[[Array], Any], str]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # it tells of CPU flags and missing GPUs
    try:
        tf = import_module("tensorflow")
    except ImportError as error:
        todo = "Install tensorflow in an environment of its own, and validate there."
        raise ModelError(source, "needs tensorflow, which is not installed", todo) from error
    try:
        if kind == "keras":
            model = tf.keras.models.load_model(source, compile=False)
            return lambda images: _plain(model(images, training=False)), f"tensorflow {tf.__version__}"
        signature = tf.saved_model.load(source).signatures["serving_default"]
        name = next(iter(signature.structured_input_signature[1]))
    except Exception as error:  # as above
        raise ModelError(source, f"can't be loaded: {first_line(error)}") from error
    return lambda images: _plain(signature(**{name: tf.constant(images)})), f"tensorflow {tf.__version__}"


def _plain(outputs: Any) -> Any:
    if isinstance(outputs, Mapping):
        return {name: np.asarray(value) for name, value in outputs.items()}
    return [np.asarray(value) for value in (outputs if isinstance(outputs, tuple | list) else (outputs,))]


def _in_tagger_order(outputs: Any, tagger: TaggerSpec) -> list[Array]:
    """Return outputs in the tagger's order: by name where the framework names them so, else as they come."""
    if isinstance(outputs, Mapping):
        names = [output.name for output in tagger.outputs]
        return [outputs[name] for name in names] if set(names) == set(outputs) else list(outputs.values())
    return list(outputs)
