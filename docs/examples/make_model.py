"""Write photon_id.onnx: an untrained network with the input and output that photon_id.toml names.

Needs the package onnx. A trained model of any framework takes its place: see `python -m e2edist.convert`.
"""

import sys

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save


def make_model():
    """Return convolution, ReLU, maximum and a fully connected layer: (batch, 2, 32, 32) to (batch, 2)."""
    random = np.random.default_rng(1)
    weights = {
        "filters": random.normal(0, 0.2, (8, 2, 5, 5)),
        "matrix": random.normal(0, 1, (8, 2)),
        "bias": np.zeros(2),
    }
    nodes = [
        helper.make_node("Conv", ["image", "filters"], ["maps"], strides=[2, 2]),
        helper.make_node("Relu", ["maps"], ["positive"]),
        helper.make_node("GlobalMaxPool", ["positive"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "photon_id",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 2, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


if __name__ == "__main__":
    save(make_model(), sys.argv[1] if len(sys.argv) > 1 else "photon_id.onnx")
