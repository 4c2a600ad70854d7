"""Write photon_id.onnx and coarse_jets.onnx: untrained networks as the tagger files of these names want them.

Needs the package onnx. A trained model of any framework takes its place: see `python -m e2edist.convert`.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

#: Name -> channels, and rows and columns of its images.
MODELS = {"photon_id": (2, 32), "coarse_jets": (3, 125)}


def make_model(name, channels, size):
    """Return convolution, ReLU, maximum and a fully connected layer: images to (batch, 2)."""
    random = np.random.default_rng(1)
    weights = {
        "filters": random.normal(0, 0.2, (8, channels, 5, 5)),
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
        name,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", channels, size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


if __name__ == "__main__":
    for name, images in MODELS.items():
        save(make_model(name, *images), f"{name}.onnx")
