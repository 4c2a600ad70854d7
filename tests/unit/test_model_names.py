"""`--model` with names of its own: taken with a packaged tagger, law where a file of the user says so."""

import re
import shutil

import numpy as np
import onnx
import pytest
from models import write_external, write_model, write_tagger
from onnx import TensorProto, helper

import e2edist
from e2edist.config.model_names import ModelNames, read_names
from e2edist.config.tagger import TaggerSpec, load_tagger, packaged
from e2edist.config.toml_models import parse, read_toml
from e2edist.demo import make_events
from e2edist.engines import EngineOptions, open_engine
from e2edist.errors import ModelError
from e2edist.parity.converted_file import validate_staged
from e2edist.parity.float64_reference import float64_scores
from e2edist.parity.reference_objects import find_objects

OTHER = {"input_name": "images", "outputs": {"score": 1}}


def columns_of(tagger):
    return list(open_engine(tagger, EngineOptions(batch=4, threads=1)).columns)


def test_the_example_of_the_readme_runs_whatever_the_model_calls_its_input_and_output(tmp_path):
    files = make_events(tmp_path / "data", "top", 30, seed=1, files=1)
    ours = write_model(tmp_path / "ours.onnx", channels=5, size=125)
    yours = write_model(tmp_path / "my_top.onnx", channels=5, size=125, **OTHER)
    expected, found = (e2edist.predict(files, "top", model=model) for model in (ours, yours))
    assert found["top"].null_count < len(found)
    assert found.equals(expected)


@pytest.mark.parametrize(
    ("options", "name", "columns"),
    [
        ({}, "modelInput", ["electron"]),
        (OTHER, "images", ["electron"]),
        ({"input_name": "x:0", "outputs": {"Identity:0": 1}}, "x:0", ["electron"]),
        ({"outputs": {"prob": 0}}, "modelInput", ["electron"]),
        ({"outputs": {"aux": 3, "modelOutput": 1}}, "modelInput", ["electron"]),
        # Which of these is the electron is for the user to say: columns are called as the model says.
        ({"outputs": {"modelOutput": 2}}, "modelInput", ["modelOutput_0", "modelOutput_1"]),
        ({"outputs": {"logits": 2, "mass": 1}}, "modelInput", ["logits_0", "logits_1", "mass"]),
    ],
)
def test_inputs_and_outputs_of_any_name_are_taken_with_a_packaged_tagger(options, name, columns, tmp_path):
    tagger = load_tagger("eg", str(write_model(tmp_path / "m.onnx", **options)))
    assert tagger.model.input == name
    assert columns_of(tagger) == columns


@pytest.mark.parametrize(
    ("options", "changes", "what"),
    [
        (
            {"input_name": "images"},
            {"model": {"input": "modelInput"}},
            r"no input 'modelInput'; its inputs: images .*model\.input = \"images\"",
        ),
        (
            {"outputs": {"score": 1}},
            {"outputs": [{"name": "modelOutput", "columns": ["x"]}]},
            r"no output 'modelOutput'; its outputs: score\. .*\[\[outputs\]\], as name = \"score\"",
        ),
        (
            {"outputs": {"score": 2}},
            {"outputs": [{"columns": ["x"]}]},
            r"score gives 2 numbers per image, the tagger names 1 \(x\)\. Correct outputs\.columns.*2 names",
        ),
    ],
)
def test_what_a_users_tagger_file_says_is_never_changed(options, changes, what, tmp_path):
    model = write_model(tmp_path / "m.onnx", **options)
    tagger = load_tagger(str(write_tagger(tmp_path / "t.toml", "other.onnx", **changes)), str(model))
    with pytest.raises(ModelError) as caught:
        columns_of(tagger)
    assert re.search(what, str(caught.value)), str(caught.value)


def test_a_copy_of_a_packaged_tagger_is_the_users_own(tmp_path):
    copy = shutil.copy(packaged()["eg"], tmp_path / "my_eg.toml")
    model = write_model(tmp_path / "m.onnx", **OTHER)
    with pytest.raises(ModelError, match="no input 'modelInput'; its inputs: images"):
        columns_of(load_tagger(str(copy), str(model)))


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"twist": "two_inputs", **OTHER}, r"2 inputs: images \[.*\], extra \[.*exactly one"),
        ({"layout": "NHWC", **OTHER}, r"input images .*32, 32, 1\].*Set model\.layout = \"NHWC\""),
        (
            {"twist": "rank2", **OTHER},
            r"input images has shape \['batch', 1024\].*Check channels, crop\.size",
        ),
    ],
)
def test_what_is_ambiguous_is_refused_with_the_names_of_the_model(options, what, tmp_path):
    tagger = load_tagger("eg", str(write_model(tmp_path / "m.onnx", **options)))
    with pytest.raises(ModelError) as caught:
        columns_of(tagger)
    assert re.search(what, str(caught.value)), str(caught.value)


def test_names_are_part_of_the_fingerprint_and_those_of_the_tagger_change_nothing(tmp_path):
    own = parse(TaggerSpec, read_toml(packaged()["eg"]), "eg")
    ours = write_model(tmp_path / "ours.onnx")
    loaded = load_tagger("eg", str(ours))
    as_before = own.model.model_copy(update={"sha256": loaded.model.sha256})
    assert loaded.fingerprint() == own.model_copy(update={"model": as_before}).fingerprint()
    assert load_tagger("eg", str(packaged()["eg"].parent / own.model.path)) == load_tagger("eg")
    yours = str(write_model(tmp_path / "yours.onnx", **OTHER))
    assert load_tagger("eg", yours) == load_tagger("eg", yours)
    identity = load_tagger("eg", yours).identity()
    assert (identity["model"]["input"], identity["outputs"][0]["name"]) == ("images", "score")


def test_names_are_read_as_the_runtime_has_them(tmp_path):
    path = write_model(tmp_path / "m.onnx", input_name="img", outputs={"a": 3, "b": 0})
    assert read_names(path.read_bytes()) == ModelNames(("img",), {"a": 3, "b": 1})
    model = onnx.load(path)
    for tensor in model.graph.initializer:  # as old exporters list weights
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims))
    del model.graph.output[:]
    shapes = {"open": ["n", "k"], "deep": ["n", 2, 3], "none": None}
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()
    )
    assert read_names(model.SerializeToString()) == ModelNames(
        ("img",), {"open": None, "deep": 6, "none": None}
    )


def test_weights_in_files_beside_the_model_do_not_hide_its_names(tmp_path):
    path = write_external(write_model(tmp_path / "m.onnx", **OTHER), rest="m.data")
    assert columns_of(load_tagger("eg", str(path))) == ["electron"]


@pytest.mark.parametrize("content", [b"", b"no model", bytes(range(256))])
def test_what_is_no_model_is_left_to_the_runtime_to_name(content, tmp_path):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.onnx: does not load"):
        columns_of(load_tagger("eg", str(tmp_path / "m.onnx")))


def test_validation_takes_the_names_of_a_model_too(tmp_path):
    path = write_model(tmp_path / "m.onnx", **OTHER)
    tagger = load_tagger("eg", str(path))
    objects = find_objects(tagger, None, 6)
    verdict = validate_staged("eg", path, objects, float64_scores(tagger, objects))
    assert not verdict.faults
    assert np.isfinite(float64_scores(tagger, objects).scores).all()
