"""From a training framework to one ONNX file with a free batch."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from e2edist.config.tagger import TaggerSpec
from e2edist.engines import first_line, image_shape
from e2edist.errors import ModelError
from e2edist.install_hint import pip_install

from .frameworks import kind_of, load_torch

#: Understood by every onnxruntime that e2edist works with.
OPSET = 17
INPUT, OUTPUT = "modelInput", "modelOutput"
_BATCH = "batch"
_TF2ONNX_S = 1800


def export(
    source: str, checkpoint: str | None, tagger: TaggerSpec, path: Path, names: dict[str, str]
) -> None:
    """Write the model of `source` as ONNX.

    Parameters
    ----------
    source, checkpoint
        As `frameworks.load_torch` has them; or Keras, SavedModel, frozen graph.
    tagger : TaggerSpec
        Says the shape of the images, and the names of input and outputs.
    path : Path
    names : dict of str to str
        ``inputs`` and ``outputs`` of a frozen graph, as tf2onnx wants them: ``name:0,...``.

    Raises
    ------
    ModelError
        The framework or its exporter is missing, or refuses the model.
    """
    kind = kind_of(source)
    if kind in ("torch", "torchscript"):
        _export_torch(load_torch(source, checkpoint), source, tagger, path)
    else:
        _export_tensorflow(source, kind, tagger, path, names)
    free_batch(path)


def _export_torch(module: Any, source: str, tagger: TaggerSpec, path: Path) -> None:
    torch = import_module("torch")
    inputs = tagger.model.input or INPUT
    # Two images: an exporter may take a batch of one for a constant.
    example = torch.zeros(2, *image_shape(tagger))
    try:
        with warnings.catch_warnings(), torch.inference_mode(), _silent():
            outputs = _output_names(module(example), tagger)
            axes = {name: {0: _BATCH} for name in (inputs, *outputs)}
            # The older exporter warns that it is old; the newer one needs another package, onnxscript.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                (example,),
                str(path),
                input_names=[inputs],
                output_names=outputs,
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
            )
    except Exception as error:  # exporters raise whatever their tracing meets
        raise ModelError(source, f"can't be exported by torch: {first_line(error)}") from error


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what compiled code prints from the terminal: torch shows the whole graph when it fails."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


def _output_names(outputs: Any, tagger: TaggerSpec) -> list[str]:
    """Return the names of outputs: the tagger's, else the framework's, else ours."""
    if tagger.outputs:
        return [output.name or OUTPUT for output in tagger.outputs]
    if isinstance(outputs, Mapping):
        return [str(name) for name in outputs]
    if not isinstance(outputs, tuple | list) or len(outputs) == 1:
        return [OUTPUT]
    return [f"{OUTPUT}_{i}" for i in range(len(outputs))]


def _export_tensorflow(source: str, kind: str, tagger: TaggerSpec, path: Path, names: dict[str, str]) -> None:
    """Run tf2onnx in a process of its own: it and tensorflow print and set up what they like."""
    option = {"savedmodel": "--saved-model", "keras": "--keras", "frozen": "--graphdef"}[kind]
    command = [sys.executable, "-m", "tf2onnx.convert", option, source, "--output", str(path)]
    command += ["--opset", str(OPSET)]
    if kind == "frozen":
        if not names.get("inputs") or not names.get("outputs"):
            todo = "Name them with --inputs and --outputs, as input:0."
            raise ModelError(source, "is a frozen graph, which does not say its inputs and outputs", todo)
        shape = ",".join(["-1", *map(str, image_shape(tagger))])
        command += ["--inputs", f"{names['inputs']}[{shape}]", "--outputs", names["outputs"]]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    try:
        ended = subprocess.run(  # noqa: S603 - no shell, our own interpreter
            command, capture_output=True, text=True, env=environment, timeout=_TF2ONNX_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(source, f"tf2onnx did not end in {_TF2ONNX_S} s") from error
    if ended.returncode or not path.is_file():
        raise ModelError(source, *_failure(ended.stderr))


def _failure(stderr: str) -> tuple[str, str]:
    lines = [line for line in stderr.strip().splitlines() if line.strip()]
    last = lines[-1].strip()[:300] if lines else "it printed nothing"
    for name in ("tf2onnx", "tensorflow"):
        if f"No module named '{name}" in stderr or f"No module named {name}" in stderr:
            todo = f"In an environment of its own: {pip_install('cpu,validate', 'tensorflow', 'tf2onnx')}."
            return f"needs {name}, which is not installed", todo
    return f"can't be converted by tf2onnx: {last}", ""


def free_batch(path: Path) -> None:
    """Name the first axis of inputs and outputs, so that any batch is taken.

    Whether the graph in between takes it too is seen when it is validated with several batches.

    Raises
    ------
    ModelError
        The package onnx is missing.
    """
    try:
        import onnx
    except ImportError as error:
        raise ModelError(str(path), "conversion needs onnx", f"Run {pip_install('validate')}.") from error
    model = onnx.load(str(path))
    stored = {tensor.name for tensor in model.graph.initializer}
    for item in (*model.graph.input, *model.graph.output):
        shape = item.type.tensor_type.shape
        if item.name not in stored and shape.dim:
            shape.dim[0].dim_param = _BATCH
    try:
        onnx.save(model, str(path))  # in one file, whatever the exporter made
    except ValueError as error:  # protobuf's limit of 2 GB
        what = f"can't be written as one file: {first_line(error)}"
        raise ModelError(
            str(path), what, "Export it yourself, with its weights in a file beside it."
        ) from error
