"""Small ONNX models and tagger files for tests: random weights, the same for the same arguments."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, external_data_helper, helper, numpy_helper

_FILTERS = 4
_DTYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "float64": TensorProto.DOUBLE,
    "uint8": TensorProto.UINT8,
}
#: What can be odd about a model, besides its shapes and names.
TWISTS = (
    "",
    "logits",  # no sigmoid at the end
    "rank2",  # takes [batch, channels * size * size]
    "two_inputs",  # a number per image besides the image
    "int",  # gives whole numbers, int64
    "bool",  # gives true and false
    "meaned",  # one row for the whole batch
    "doubled",  # two rows per image
)


def write_model(
    path,
    *,
    channels=1,
    size=32,
    layout="NCHW",
    batch=None,
    dtype="float32",
    outputs=None,
    input_name="modelInput",
    twist="",
    seed=0,
):
    """Write conv -> relu -> global mean -> matmul -> sigmoid and return its path.

    `batch` None is a dynamic batch. `outputs` is name -> numbers per image, 0 for shape [batch].
    """
    assert twist in TWISTS
    rng = np.random.default_rng(seed)
    outputs = {"modelOutput": 1} if outputs is None else outputs
    weights = {"filters": rng.normal(0, 0.3, (_FILTERS, channels, 3, 3))}
    nodes, last = _body(layout, dtype, input_name, twist)
    if twist == "rank2":
        weights["shape"] = np.array([-1, channels, size, size])
    for name, width in outputs.items():
        weights[f"w_{name}"] = rng.normal(0, 2, (_FILTERS, max(width, 1)))
        weights[f"b_{name}"] = rng.normal(0, 1, max(width, 1))
        nodes += _head(name, last, twist, flat=width == 0)
    if any(width == 0 for width in outputs.values()):
        weights["last_axis"] = np.array([1])
    image = [channels, size, size] if layout == "NCHW" else [size, size, channels]
    shape = [batch or "batch", channels * size**2] if twist == "rank2" else [batch or "batch", *image]
    inputs = [helper.make_tensor_value_info(input_name, _DTYPES[dtype], shape)]
    if twist == "two_inputs":
        inputs.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, [batch or "batch", 1]))
    kind = {"int": TensorProto.INT64, "bool": TensorProto.BOOL}.get(twist, TensorProto.FLOAT)
    ends = [
        helper.make_tensor_value_info(name, kind, ["rows", width] if width else ["rows"])
        for name, width in outputs.items()
    ]
    graph = helper.make_graph(nodes, "small", inputs, ends, [_constant(k, v) for k, v in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def _constant(name, values):
    return numpy_helper.from_array(values.astype("i8" if values.dtype.kind == "i" else "f4"), name)


def _body(layout, dtype, image, twist):
    """Return the nodes up to one row of numbers per image, and the name of that row."""
    nodes = []
    if dtype != "float32":
        nodes.append(helper.make_node("Cast", [image], ["cast"], to=TensorProto.FLOAT))
        image = "cast"
    if twist == "rank2":
        nodes.append(helper.make_node("Reshape", [image, "shape"], ["shaped"]))
        image = "shaped"
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", [image], ["turned"], perm=[0, 3, 1, 2]))
        image = "turned"
    nodes += [
        helper.make_node("Conv", [image, "filters"], ["conv"]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["row"]),
    ]
    if twist == "two_inputs":
        nodes.append(helper.make_node("Add", ["row", "extra"], ["sum"]))
        return nodes, "sum"
    if twist == "meaned":
        nodes.append(helper.make_node("ReduceMean", ["row"], ["mean"], axes=[0]))
        return nodes, "mean"
    if twist == "doubled":
        nodes.append(helper.make_node("Concat", ["row", "row"], ["twice"], axis=0))
        return nodes, "twice"
    return nodes, "row"


def _head(name, row, twist, *, flat):
    product, total, active = f"product_{name}", f"total_{name}", f"active_{name}"
    nodes = [
        helper.make_node("MatMul", [row, f"w_{name}"], [product]),
        helper.make_node("Add", [product, f"b_{name}"], [total]),
        helper.make_node("Identity" if twist in ("logits", "int") else "Sigmoid", [total], [active]),
    ]
    if twist == "int":
        nodes.append(helper.make_node("Cast", [active], [name], to=TensorProto.INT64))
    elif twist == "bool":
        nodes.append(helper.make_node("Round", [active], [f"round_{name}"]))
        nodes.append(helper.make_node("Cast", [f"round_{name}"], [name], to=TensorProto.BOOL))
    elif flat:
        nodes.append(helper.make_node("Squeeze", [active, "last_axis"], [name]))
    else:
        nodes.append(helper.make_node("Identity", [active], [name]))
    return nodes


def write_external(path, places=(), rest=""):
    """Move the weights of a model into files beside it: tensor -> file, and the file for all others."""
    model = onnx.load(path)
    for tensor in external_data_helper._get_all_tensors(model):
        if (place := dict(places).get(tensor.name, rest)) and not tensor.HasField("raw_data"):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
        if place:
            external_data_helper.set_external_data(tensor, place)
            (Path(path).parent / place).parent.mkdir(exist_ok=True)
    onnx.save(model, path)
    return path


#: A small tagger of barrel photons and electrons; `write_tagger` changes it.
TAGGER = {
    "name": "small",
    "module": "SmallTagger",
    "chunk_events": 20,
    "batch": 8,
    "objects": {"kinds": ["photon", "electron"], "pt_min": 10.0, "eta_max": 1.44},
    "seed": {"method": "eb_hottest"},
    "crop": {"frame": "EB", "size": 32},
    "channels": [{"layer": "EB_energy", "scale": 0.02}],
    "model": {},
}
#: Changes that make it a tagger of jets.
JETS = {
    "objects": {"kinds": ["jet"], "pt_min": 35.0, "eta_max": 2.4},
    "seed": {"method": "hcal_tower"},
    "crop": {"frame": "ECAL", "size": 125},
}


def write_tagger(path, model, /, **changes):
    """Write a tagger file and return its path.

    A table in `changes` is merged into the default's, any other value replaces it, None removes it.
    """
    content = _merged(_merged(TAGGER, {"model": {"path": str(model)}}), changes)
    Path(path).write_text("".join(f"{k} = {_toml(v)}\n" for k, v in content.items()), encoding="utf-8")
    return path


def _merged(old, changes):
    merged = dict(old)
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(old.get(key), dict):
            merged[key] = _merged(old[key], value)
        else:
            merged[key] = value
    return merged


def _toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
