"""Models that we did not make, those of the package onnx: each runs, or is refused with the true reason."""

import re
import shutil
from pathlib import Path

import onnx
import onnxruntime
import pytest

from e2edist.engines import image_shape
from e2edist.errors import ModelError
from e2edist.parity.reference_objects import random_images
from e2edist.parity.target import stand_in
from e2edist.parity.variants import Options
from e2edist.parity.verdict import examine

BACKEND = Path(onnx.__file__).parent / "backend" / "test" / "data"
#: Whole networks: AlexNet, DenseNet-121, Inception 1 and 2, ResNet-50, ShuffleNet, SqueezeNet, VGG-19, ZFNet.
NETWORKS = sorted((BACKEND / "light").glob("*.onnx"))
OTHERS = sorted(path for path in BACKEND.rglob("*.onnx") if path.parent.name != "light")


@pytest.mark.slow
@pytest.mark.parametrize("model", NETWORKS, ids=lambda path: path.stem)
def test_networks_that_others_made_load_and_run(verb, tmp_path, model):
    shutil.copy(model, tmp_path / "m.onnx")
    done = verb("validate", "m.onnx", "--objects", 2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fixed batch of 1" in done.stdout
    assert "sparse images need opset 16 or newer, it has" in re.sub(r"\s+", " ", done.stdout)


def truth_of(path, error):
    """Return whether the reason of a refusal is the true one, by means that are not ours."""
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception:
        return "does not load: " in error.what
    inputs = session.get_inputs()
    if len(inputs) != 1:
        return f"has {len(inputs)} inputs" in error.what
    shape = inputs[0].shape
    return f"has shape {shape}" in error.what and not (len(shape) == 4 and shape[2] == shape[3] <= 360)


@pytest.mark.slow
def test_every_other_model_runs_alike_in_all_ways_or_is_refused_with_the_true_reason():
    ran, refused = [], []
    for path in OTHERS:
        try:
            spec = stand_in(path)
        except ModelError as error:
            refused.append((path, error))
            continue
        found = examine(spec, random_images(image_shape(spec), 4), None, Options())
        assert found.faults == [], (path, found.faults)
        ran.append(path.parent.name)
    assert [(path, str(error)) for path, error in refused if not truth_of(path, error)] == []
    # With the nine networks: more than the ten of which one may speak.
    assert len(NETWORKS) >= 9
    assert len(ran) >= 10, ran
    assert len(refused) >= 100


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pytorch-converted/test_BatchNorm2d_eval", "does not load: Could not find an implementation for"),
        ("pytorch-converted/test_Conv2d", "images must be square"),
        ("simple/test_sequence_model1", "has 3 inputs"),
        ("simple/test_strnorm_model_nostopwords_nochangecase", "not a batch of images"),
    ],
)
def test_models_for_other_things_are_refused_by_the_verb_with_the_reason(verb, tmp_path, name, reason):
    shutil.copy(BACKEND / name / "model.onnx", tmp_path / "m.onnx")
    done = verb("validate", "m.onnx")
    assert done.returncode == 1
    assert reason in done.stdout
