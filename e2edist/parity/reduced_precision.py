"""Smaller copies of a model: half precision, and weights as whole numbers."""

from __future__ import annotations

import tempfile
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from e2edist.engines import first_line, runtime, toposort
from e2edist.errors import ModelError
from e2edist.install_hint import pip_install


def to_half(path: str) -> Any:
    """Return the ONNX model of `path` with float16 weights and arithmetic; inputs and outputs stay float32.

    Raises
    ------
    ModelError
        No converter is installed, or it does not know the graph.
    """
    try:
        import onnx

        convert = _half_converter()
    except ImportError as error:
        raise ModelError(path, f"can't be made float16 ({error})", _todo()) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of each weight that is clipped to what float16 has
            return toposort(convert(onnx.load(path), keep_io_types=True))
    except Exception as error:  # converters raise whatever their graph code meets
        raise ModelError(path, f"can't be made float16: {first_line(error)}") from error


def _todo() -> str:
    return f"Run {pip_install('convert')}."


def _half_converter() -> Any:
    try:
        module = import_module("onnxconverter_common.float16")
    except ImportError:
        module = import_module("onnxruntime.transformers.float16")
    return module.convert_float_to_float16


def to_int8(path: str) -> bytes:
    """Return the model of `path` with int8 weights, its activations quantised as they come (ONNX Runtime).

    Raises
    ------
    ModelError
        The package onnx is missing, or the graph can't be quantised.
    """
    import logging

    runtime()
    try:
        import onnx
        from onnxruntime.quantization.quant_utils import QuantType
        from onnxruntime.quantization.quantize import quantize_dynamic
    except ImportError as error:
        raise ModelError(path, f"can't be made int8 ({error})", _todo()) from error
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "int8.onnx"
        logging.getLogger().addHandler(silent := logging.NullHandler())  # else it sets up the root logger
        try:
            # Given a path it writes beside the model, where nothing may be writable. Convolutions of ONNX
            # Runtime on the CPU take unsigned weights only.
            quantize_dynamic(onnx.load(path), small, weight_type=QuantType.QUInt8)
            return small.read_bytes()
        except Exception as error:  # as above
            raise ModelError(path, f"can't be made int8: {first_line(error)}") from error
        finally:
            logging.getLogger().removeHandler(silent)
