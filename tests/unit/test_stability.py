"""A network whose scores depend on the batch or on chance is not run without a word."""

import sys

import numpy as np
import onnx
import pytest
from models import JETS, write_model, write_tagger
from onnx import TensorProto, helper, numpy_helper

from e2edist.config.tagger import load_tagger, packaged
from e2edist.engines import EngineOptions, check_stability, make_engine, open_engine
from e2edist.errors import ModelError
from e2edist.parity.reduced_precision import to_half
from e2edist.parity.reference_objects import random_images
from e2edist.parity.variants import Options
from e2edist.parity.verdict import examine

#: Name -> (nodes from "x", shape (batch, 1), to "y"; weights; what is named as the likely reason).
KINDS = {
    "softmax": ([("Softmax", "x", "y", {"axis": 0})], {}, "Softmax over axis 0"),
    "softmax_from_the_end": ([("Softmax", "x", "y", {"axis": -2})], {}, "Softmax over axis 0"),
    "mean": (
        [("ReduceMean", "x", "m", {"axes": [0]}), ("Sub", "x m", "y", {})],
        {},
        "ReduceMean over axis 0",
    ),
    "sum_of_all": ([("ReduceSum", "x", "s", {}), ("Div", "x s", "y", {})], {}, "ReduceSum over all axes"),
    "max_of_rows": (
        [("ReduceMax", "x", "s", {"axes": [-2]}), ("Sub", "x s", "y", {})],
        {},
        "ReduceMax over axis 0",
    ),
    "cumsum": ([("CumSum", "x zero", "y", {})], {"zero": np.array(0)}, "CumSum over axis 0"),
    "batch_normalisation": (
        [("BatchNormalization", "x one one one one", "y r v", {"training_mode": 1})],
        {"one": np.ones(1, np.float32)},
        "BatchNormalization in training mode",
    ),
    "dropout": (
        [("Dropout", "x half yes", "y", {"seed": 1})],
        {"half": np.float32(0.5), "yes": np.array(True)},
        "Dropout in training mode",
    ),
    "normal": ([("RandomNormalLike", "x", "r", {}), ("Add", "x r", "y", {})], {}, "RandomNormalLike"),
    "seeded": (
        [("RandomUniformLike", "x", "r", {"seed": 1.0}), ("Add", "x r", "y", {})],
        {},
        "RandomUniformLike",
    ),
    "one_number_for_all": (
        [("RandomNormal", "", "r", {"shape": [1, 1]}), ("Add", "x r", "y", {})],
        {},
        "RandomNormal",
    ),
    "bernoulli": (
        [("Sub", "x x", "z", {}), ("Sigmoid", "z", "p", {}), ("Bernoulli", "p", "y", {"seed": 1.0})],
        {},
        "Bernoulli",
    ),
    "divided_by_the_size": (
        [
            ("Shape", "x", "s", {"end": 1}),
            ("Cast", "s", "n", {"to": TensorProto.FLOAT}),
            ("Div", "x n", "y", {}),
        ],
        {},
        "",
    ),
    "turned": (
        [
            ("Reshape", "x as_row", "t", {}),
            ("Softmax", "t", "u", {"axis": 1}),
            ("Reshape", "u as_column", "y", {}),
        ],
        {"as_row": np.array([1, -1]), "as_column": np.array([-1, 1])},
        "",
    ),
    "shifted": (
        [("Split", "x", "a b", {"num_outputs": 2}), ("Concat", "b a", "y", {"axis": 0})],
        {},
        "",
    ),
    "one_scale": (
        [("DynamicQuantizeLinear", "x", "q s z", {}), ("DequantizeLinear", "q s z", "y", {})],
        {},
        "DynamicQuantizeLinear, one scale for the whole batch: quantise it statically",
    ),
    "nan_by_neighbours": (
        [("ReduceMean", "x", "m", {"axes": [0]}), ("Sub", "x m", "d", {}), ("Sqrt", "d", "y", {})],
        {},
        "ReduceMean over axis 0",
    ),
}
#: Likewise, and nothing is wrong with them.
SOUND = {
    "softmax_of_an_image": ([("Softmax", "x", "y", {"axis": 1})], {}),
    "dropout_of_inference": ([("Dropout", "x", "y", {})], {}),
    "nan_for_all": ([("Neg", "x", "n", {}), ("Log", "n", "y", {})], {}),
    "zero": ([("Sub", "x x", "y", {})], {}),
    "mean_of_weights": (
        [("ReduceMean", "w", "m", {"axes": [0]}), ("Add", "x m", "y", {})],
        {"w": np.ones((3, 1), np.float32)},
    ),
}


def network(path, nodes, weights=(), **options):
    """Write the small network with some nodes at its end."""
    model = onnx.load(write_model(path, **options))
    assert model.graph.node[-1].op_type == "Identity"
    del model.graph.node[-1]
    names = {"x": "active_modelOutput", "y": "modelOutput"}
    for kind, inputs, outputs, attributes in nodes:
        ends = [[names.get(name, name) for name in text.split()] for text in (inputs, outputs)]
        model.graph.node.append(helper.make_node(kind, *ends, **attributes))
    for name, values in dict(weights).items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    if any(node[0] == "Split" for node in nodes):
        model.opset_import[0].version = 18
    onnx.save(model, path)
    return path


def tagger_of(path, **changes):
    return load_tagger(str(write_tagger(path.with_suffix(".toml"), path, **changes)))


@pytest.mark.parametrize("batch", [1, 2, 3, 8, 32, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_refused_when_a_campaign_is_planned_whatever_the_batch(tmp_path, kind, batch):
    nodes, weights, reason = KINDS[kind]
    tagger = tagger_of(network(tmp_path / "m.onnx", nodes, weights))
    with pytest.raises(
        ModelError, match=r"gives one image another score (in another batch|each time): mo"
    ) as e:
        check_stability(tagger, EngineOptions(batch=batch))
    assert f"(probably by {reason})" in str(e.value) if reason else "probably" not in str(e.value)
    assert "--accept-failed-validation" in e.value.todo
    why = check_stability(tagger, EngineOptions(batch=batch, accepted=True))
    assert why.startswith("gives one image another score")


@pytest.mark.parametrize("images", ["dense", "sparse"])
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"divided_by_the_size"}))
def test_a_worker_that_opens_one_asks_again(tmp_path, kind, images):
    nodes, weights, _ = KINDS[kind]
    tagger = tagger_of(network(tmp_path / "m.onnx", nodes, weights))
    with pytest.raises(ModelError, match="gives one image another score"):
        open_engine(tagger, EngineOptions(images=images))
    assert open_engine(tagger, EngineOptions(images=images, accepted=True)).batch == 8


def test_chance_is_told_from_neighbours(tmp_path):
    words = {
        "normal": "each time",
        "dropout": "each time",
        "softmax": "in another batch",
        "mean": "in another",
    }
    for kind, word in words.items():
        tagger = tagger_of(network(tmp_path / f"{kind}.onnx", *KINDS[kind][:2]))
        assert f"another score {word}" in check_stability(tagger, EngineOptions(batch=32, accepted=True))


@pytest.mark.parametrize("images", ["dense", "sparse"])
@pytest.mark.parametrize("batch", [1, 2, 3, 32, 100])
@pytest.mark.parametrize("kind", SOUND)
def test_what_only_looks_like_one_passes(tmp_path, kind, batch, images):
    tagger = tagger_of(network(tmp_path / "m.onnx", *SOUND[kind]))
    assert check_stability(tagger, EngineOptions(batch=batch, images=images)) == ""
    open_engine(tagger, EngineOptions(batch=batch, images=images))


@pytest.mark.parametrize("images", ["dense", "sparse"])
@pytest.mark.parametrize("name", packaged())
def test_the_packaged_taggers_pass(name, images):
    tagger = load_tagger(name)
    for batch in (0, 1, 100):
        assert check_stability(tagger, EngineOptions(batch=batch, images=images)) == ""
    assert open_engine(tagger, EngineOptions(images=images)).columns


@pytest.mark.parametrize(
    "options",
    [
        {"batch": 1},
        {"batch": 5},
        {"batch": 200},
        {"dtype": "float16"},
        {"dtype": "float64"},
        {"layout": "NHWC", "channels": 3},
        {"twist": "int"},
        {"twist": "bool"},
        {"twist": "logits"},
        {"size": 125, "channels": 3},
    ],
)
def test_models_of_all_shapes_and_types_pass(tmp_path, options):
    channels = [{"layer": "EB_energy", "scale": 0.02, "threshold": 0.1, "offset": -0.5}]
    changes = {
        "channels": channels * options.get("channels", 1),
        "model": {"layout": options.get("layout", "NCHW")},
    }
    if "size" in options:
        changes |= JETS | {"channels": [{"layer": "ECAL_energy", "scale": 50.0}] * 3}
    tagger = tagger_of(write_model(tmp_path / "m.onnx", **options), **changes)
    assert check_stability(tagger, EngineOptions()) == ""
    open_engine(tagger, EngineOptions())


def test_half_precision_passes(tmp_path):
    onnx.save(to_half(load_tagger("eg").model.path), tmp_path / "half.onnx")
    assert check_stability(load_tagger("eg", str(tmp_path / "half.onnx")), EngineOptions()) == ""


def test_a_fixed_batch_in_which_images_mix_is_refused(tmp_path):
    tagger = tagger_of(network(tmp_path / "m.onnx", *KINDS["softmax"][:2], batch=100))
    with pytest.raises(ModelError, match="in row 1 of a full batch of 100"):
        check_stability(tagger, EngineOptions())


def test_a_model_that_runs_in_one_size_of_batch_only_is_tried_in_that(tmp_path):
    nodes = [("Reshape", "x shape", "y", {})]
    tagger = tagger_of(network(tmp_path / "m.onnx", nodes, {"shape": np.array([32, 1])}))
    assert check_stability(tagger, EngineOptions(batch=32)) == ""


def test_it_is_found_without_the_package_onnx(tmp_path, monkeypatch):
    tagger = tagger_of(network(tmp_path / "m.onnx", *KINDS["softmax"][:2]))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(
        ModelError,
        match=r"modelOutput is \S+ in row 2 of a full batch of 8, 1 in row 1 of a full batch of 1\. Export",
    ):
        check_stability(tagger, EngineOptions())


def test_the_tolerance_of_a_tagger_is_the_limit(tmp_path):
    nodes = [("ReduceMean", "x", "m", {"axes": [0]}), ("Mul", "m little", "n", {}), ("Add", "x n", "y", {})]
    path = network(tmp_path / "m.onnx", nodes, {"little": np.float32(1e-2)})
    with pytest.raises(ModelError):
        check_stability(tagger_of(path), EngineOptions())
    assert check_stability(tagger_of(path, tolerance={"max_abs": 0.1}), EngineOptions()) == ""


class Moody:
    """An engine of a plug-in whose scores grow from call to call."""

    batch, columns, facts = 4, {"score": "float32"}, {}
    calls = 0

    def predict(self, images):
        self.calls += 1
        return {"score": np.full(len(images), self.calls, np.float32)}


def test_engines_of_plug_ins_are_asked_as_well(tmp_path, monkeypatch):
    tagger = tagger_of(write_model(tmp_path / "m.onnx"))
    assert check_stability(tagger, EngineOptions(name="null")) == ""
    plugin = type(sys)("e2edist.engines.moody")
    plugin.make = lambda *_: Moody()
    monkeypatch.setattr("e2edist.engines._registry.load", lambda *_: plugin)
    for opening in (check_stability, open_engine):
        with pytest.raises(ModelError, match="another score each time: score is "):
            opening(tagger, EngineOptions(name="moody"))
    assert make_engine(tagger, EngineOptions(name="moody")).calls == 0


@pytest.mark.parametrize("kind", ["softmax", "dropout"])
def test_validate_says_so_too(tmp_path, kind):
    tagger = tagger_of(network(tmp_path / "m.onnx", *KINDS[kind][:2]))
    found = examine(tagger, random_images((1, 32, 32), 20), None, Options())
    (fault,) = [fault for fault in found.faults if fault.startswith("batches: ")]
    assert KINDS[kind][2] in fault
    sound = tagger_of(write_model(tmp_path / "s.onnx"))
    assert examine(sound, random_images((1, 32, 32), 20), None, Options()).faults == []


@pytest.mark.parametrize("batch", [1, 2, 3, 32])
@pytest.mark.parametrize(("name", "kinds"), [("eg", None), ("top", ["MatMul", "Gemm"])])
def test_networks_that_are_quantised_while_they_run_are_refused(tmp_path, name, kinds, batch):
    """Near to 0 or 1 the scores of `top` hide it; one scale for all images of a batch it is all the same."""
    quantisation = pytest.importorskip("onnxruntime.quantization")
    path, tagger = tmp_path / "m.onnx", load_tagger(name)
    model = onnx.load(tagger.model.path)  # of a path it writes beside it, as do tests at the same time
    quantisation.quantize_dynamic(model, path, op_types_to_quantize=kinds)
    with pytest.raises(ModelError, match="DynamicQuantizeLinear, one scale for the whole batch"):
        check_stability(load_tagger(name, str(path)), EngineOptions(batch=batch))
