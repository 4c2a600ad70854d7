"""Scores by an independent implementation: the ONNX project's reference evaluator, in double precision.

It shares no code with ONNX Runtime (numpy, operator by operator), so it is wrong in other ways, if at all. It
is slow: fit for some dozens of objects.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from e2edist.config.tagger import TaggerSpec
from e2edist.engines import first_line
from e2edist.errors import ModelError
from e2edist.install_hint import pip_install

from .reference_objects import ReferenceObjects
from .reference_scores import Reference, as_columns


def float64_scores(tagger: TaggerSpec, objects: ReferenceObjects) -> Reference:
    """Return the scores of reference objects, evaluated in float64 one by one.

    Raises
    ------
    ModelError
        The package onnx is missing, or does not know how to evaluate the graph.
    """
    path = tagger.model.path
    try:
        import onnx
        from onnx.reference import ReferenceEvaluator
    except ImportError as error:
        todo = f"Run {pip_install('validate')}."
        raise ModelError(path, "exact scores need the package onnx", todo) from error
    try:
        model = in_double(onnx.load(path))
        evaluator = ReferenceEvaluator(model)
        weights = {tensor.name for tensor in model.graph.initializer}
        name = next(item.name for item in model.graph.input if item.name not in weights)
        have = [item.name for item in model.graph.output]
        names = [output.name or have[0] for output in tagger.outputs] or have
        images = objects.images.astype(np.float64)
        rows = [
            as_columns([np.asarray(x) for x in evaluator.run(names, {name: images[i : i + 1]})], tagger)
            for i in range(len(objects))
        ]
    except Exception as error:  # the evaluator raises whatever numpy meets
        raise ModelError(path, f"can't be evaluated in float64: {first_line(error)}") from error
    facts = {"by": "onnx.reference in float64", "onnx": str(onnx.__version__), "model": Path(path).name}
    return Reference(objects, np.concatenate(rows), facts)


def in_double(model: Any) -> Any:
    """Return the ONNX model with every float32 weight, constant, input and cast made float64."""
    from onnx import TensorProto, numpy_helper

    def widen(tensor: Any) -> None:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    graph = model.graph
    for tensor in graph.initializer:
        widen(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                widen(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.DOUBLE
    for item in (*graph.input, *graph.output, *graph.value_info):
        if item.type.tensor_type.elem_type == TensorProto.FLOAT:
            item.type.tensor_type.elem_type = TensorProto.DOUBLE
    return model
