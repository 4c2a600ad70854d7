"""The module onnxruntime, imported when it is needed, and what its errors say."""

from __future__ import annotations

import os
import re
from typing import Any

from e2edist.errors import ModelError
from e2edist.install_hint import pip_install

#: Codes, source files and lines of the runtime's own in its messages.
_NOISE = re.compile(
    r"\[ONNXRuntimeError\] : -?\d+ : \w+ : |Exception during initialization: |"
    r"Load model from .+? failed:\s*|"
    r"\S*onnxruntime\S*\.(?:cc|h):\d+ [^\[\n]*(?=\[ONNX)|"
    r"\S*onnxruntime\S*\.(?:cc|h):\d+ onnxruntime::.*?\) (?!const)|\b\w+\.(?:cc|h):\d+ \w+ "
)
_EXPORT_AGAIN = "Copy or export it again."
#: What the runtime says of a damaged model -> what that means, with what it names, and what to do.
_DAMAGES = (
    (
        re.compile(r'External data path does not exist: "?([^"]+)'),
        "its weights lie in a file that is missing: ",
        "Put that file beside the model; better save the model as one file.",
    ),
    (
        re.compile(r"External initializer: (\S+).*out of bounds"),
        "the file with its weights is too short: ",
        _EXPORT_AGAIN,
    ),
    (
        re.compile(r"Initializer '([^']+)': \w+ size .*does not match"),
        "it is damaged, a weight is too short: ",
        _EXPORT_AGAIN,
    ),
    (
        re.compile(r"External data path escapes.*External data path: \"?([^\"]+)"),
        "its weights lie outside its folder: ",
        "Put that file itself beside the model, not a link to it.",
    ),
    (re.compile(r"Protobuf parsing failed()"), "it is damaged, or no ONNX file", _EXPORT_AGAIN),
    (re.compile(r"No graph was found()"), "it is no ONNX file, or an empty one", _EXPORT_AGAIN),
    (
        re.compile(r"(Could not find an implementation for \S+)"),
        "",
        "This ONNX Runtime has no such operator, or not that version of it: export it with a newer opset.",
    ),
)


def runtime() -> Any:
    """Return the module onnxruntime.

    Raises
    ------
    ModelError
        It is not installed.
    """
    # Official builds report usage to their maker unless told not to before they are loaded.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        todo = f"Install the extra [cpu] or [gpu], never both: {pip_install('cpu')}."
        raise ModelError("", "onnxruntime is not installed", todo) from error
    return onnxruntime


def session_options(threads: int) -> Any:
    """Return ONNX Runtime's settings of a session, `threads` of which are inside one call."""
    settings = runtime().SessionOptions()
    # An explicit number: the runtime's own choice counts the cores of the node, not those of the job.
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    # Workers share cores: a thread that waits must not burn the one that another thread needs.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.log_severity_level = 4  # the exception says what went wrong
    return settings


def cpu_session(model: str | bytes, path: str, *, threads: int = 1, optimised: bool = True) -> Any:
    """Return a plain session on the CPU, for looking at a model and for comparing.

    Parameters
    ----------
    model : str or bytes
        The file, or its content.
    path : str
        The file, for errors.
    optimised : bool
        Whether the graph is rewritten before it runs.

    Raises
    ------
    ModelError
        The model does not load.
    """
    ort = runtime()
    settings, level = session_options(threads), ort.GraphOptimizationLevel
    settings.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class of their own
        raise load_error(path, error) from error


def first_line(error: Exception) -> str:
    """Return the first line of an error without the runtime's own codes and source lines, or its class."""
    lines = _NOISE.sub("", str(error)).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def load_error(path: str, error: Exception) -> ModelError:
    """Return the error of a model that the runtime does not load: the usual damages in plain words."""
    for sign, why, todo in _DAMAGES:
        if found := sign.search(str(error)):
            return ModelError(path, f"does not load: {why}{found[1]}", todo)
    return ModelError(path, f"does not load: {first_line(error)}")
