"""Models of real frameworks, converted by the verb and held to their own scores."""

import importlib.util
import subprocess

import onnx
import pytest
from environments import python_with
from models import write_tagger
from runs import environment

_NET = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.filters = torch.nn.Conv2d(1, 4, 3)
        self.last = torch.nn.Linear(4, 1)

    def forward(self, x):
        return torch.sigmoid(self.last(torch.relu(self.filters(x)).amax(dim=(2, 3))))


class Centred(Net):
    # Looks at the other images of its batch.
    def forward(self, x):
        return super().forward(x - x.mean(dim=0, keepdim=True))


class Wide(Net):
    # Takes other images.
    def __init__(self):
        super().__init__()
        self.filters = torch.nn.Conv2d(3, 4, 3)


class Loud(Net):
    # Has numbers in between that float16 does not have.
    def forward(self, x):
        return super().forward(x * 1e7 * 1e-7 + 1e-3 * torch.relu(x * 1e7) * 1e-7)


def boom():
    return 3


def save():
    torch.manual_seed(0)
    net = Net().eval()
    torch.save(net.state_dict(), "weights.pt")
    torch.jit.trace(net, torch.zeros(2, 1, 32, 32)).save("script.pt")
"""


@pytest.fixture(scope="module")
def torch():
    """The Python of an environment with torch."""
    return python_with("torch")


@pytest.fixture(scope="module")
def tensorflow():
    """The Python of an environment with tensorflow and tf2onnx."""
    return python_with("tensorflow")


def code(python, text, cwd):
    """Run some Python in `cwd`."""
    words = [python, "-W", "ignore", "-c", text]
    quiet = environment() | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(words, cwd=cwd, env=quiet, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr


def test_convert_without_a_source_or_framework_says_what_to_do(verb, tmp_path):
    (tmp_path / "graph.pb").write_bytes(b"")
    frozen = verb("convert", "graph.pb", "--tagger", "eg", "--output", "m.onnx", "--objects", 4)
    assert frozen.returncode == 2
    assert "--inputs and --outputs" in frozen.stderr
    assert verb("convert", "x.xyz", "--tagger", "eg", "--output", "m.onnx").returncode == 2
    assert not (tmp_path / "m.onnx").exists()
    if importlib.util.find_spec("tf2onnx") is None:
        names = ("--inputs", "x:0", "--outputs", "y:0")
        missing = verb("convert", "graph.pb", "--tagger", "eg", "--output", "m.onnx", "--objects", 4, *names)
        assert missing.returncode == 2
        assert "needs tf2onnx, which is not installed" in missing.stderr


def passed(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def net(torch, tmp_path):
    """A module with torch networks, their weights, and a tagger for them, in `tmp_path`."""
    (tmp_path / "net.py").write_text(_NET)
    code(torch, "import net; net.save()", tmp_path)
    # Wide enough for half precision, too narrow for another model.
    limits = {"max_abs": 1e-3, "max_mean": 1e-4}
    write_tagger(tmp_path / "t.toml", "net.onnx", tolerance=limits)
    return ("--tagger", "t.toml", "--output", "net.onnx", "--objects", 40)


@pytest.mark.slow
def test_a_torch_model_is_converted_and_held_to_its_own_scores(verb, tmp_path, torch, net):
    said = passed(verb("convert", "net:Net", "--checkpoint", "weights.pt", *net, "--fp16", python=torch))
    assert "scores: net:Net, torch" in said
    assert {path.name for path in tmp_path.glob("*.onnx")} == {"net.onnx", "net.fp16.onnx"}
    assert onnx.load(tmp_path / "net.onnx").graph.input[0].type.tensor_type.shape.dim[0].dim_param
    names = {path.name for path in tmp_path.glob("*.npz")}
    assert names == {"net.reference.npz", "net.fp16.reference.npz"}
    again = ("validate", "net.onnx", "--tagger", "t.toml")
    # Where there is no torch the saved scores stand in for it.
    assert "scores: net:Net, torch" in passed(verb(*again))
    passed(verb(*again, "--source", "script.pt", python=torch))
    # Other weights than those that were exported.
    assert verb(*again, "--source", "net:Net", python=torch).returncode == 1


@pytest.mark.slow
def test_a_good_model_is_replaced_only_by_one_that_passes(verb, tmp_path, torch, net):
    passed(verb("convert", "script.pt", *net, python=torch))
    before = {path: path.read_bytes() for path in tmp_path.glob("net*") if path.is_file()}
    assert len(before) == 4  # module, model, reference, verdict
    failed = verb("convert", "net:Centred", *net, python=torch)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "net.onnx is left as it was; --keep-failed writes net.failed.onnx" in failed.stdout
    assert {path: path.read_bytes() for path in tmp_path.glob("net*") if path.is_file()} == before
    kept = verb("convert", "net:Centred", *net, "--keep-failed", python=torch)
    assert kept.returncode == 1
    assert {path: path.read_bytes() for path in before} == before
    assert (tmp_path / "net.failed.onnx").is_file()
    assert (tmp_path / "net.failed.reference.npz").is_file()
    for name in ("Wide", "boom"):
        broken = verb("convert", f"net:{name}", *net, python=torch)
        assert (broken.returncode, broken.stderr.count("\n")) == (2, 1)
        assert f"net:{name}: " in broken.stderr  # and no picture for a name between colons
    assert {path: path.read_bytes() for path in before} == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.slow
def test_checkpoints_are_taken_as_trainings_wrap_them_and_others_refused_by_what_is_wrong(
    verb, tmp_path, torch, net
):
    wrap = """
import torch, net
plain = torch.load("weights.pt")
torch.save({"epoch": 3, "model_state_dict": {f"module.{k}": v for k, v in plain.items()}}, "wrapped.pt")
torch.save(net.Net(), "whole.pt")
torch.save({k: v for k, v in plain.items() if k != "last.bias"}, "less.pt")
"""
    code(torch, wrap, tmp_path)
    passed(verb("convert", "net:Net", "--checkpoint", "wrapped.pt", *net, python=torch))
    passed(verb("validate", "net.onnx", "--tagger", "t.toml", "--source", "script.pt", python=torch))
    for file, why in (
        ("whole.pt", "a whole model, or no checkpoint"),
        ("less.pt", 'Missing key(s) in state_dict: "last.bias"'),
        ("none.pt", "there is no such file"),
    ):
        done = verb("convert", "net:Net", "--checkpoint", file, *net, python=torch)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert f"e2edist: {file}: " in done.stderr
        assert why in done.stderr


@pytest.mark.slow
def test_half_precision_is_kept_only_if_its_scores_hold(verb, tmp_path, torch, net):
    done = verb("convert", "net:Loud", *net, "--fp16", python=torch)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "net.fp16.onnx is not written; --keep-failed writes net.fp16.failed.onnx" in done.stdout
    assert {path.name for path in tmp_path.glob("*.onnx")} == {"net.onnx"}


_KERAS = """
import numpy as np, tensorflow as tf
from tensorflow import keras
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2 as freeze

tf.random.set_seed(0)
layers = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.BatchNormalization(),
          keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(1, activation="sigmoid")]
net = keras.Sequential([keras.Input((32, 32, 1)), *layers])
net.save("net.keras"), net.save("net.h5"), net.export("saved")
image = tf.TensorSpec([None, 32, 32, 1], tf.float32, name="image")
graph = freeze(tf.function(lambda image: net(image, training=False)).get_concrete_function(image))
open("net.pb", "wb").write(graph.graph.as_graph_def().SerializeToString())
assert (graph.inputs[0].name, graph.outputs[0].name) == ("image:0", "Identity:0")
"""


@pytest.mark.slow
def test_keras_savedmodel_and_frozen_graphs_are_converted_and_give_the_same_scores(
    verb, tmp_path, tensorflow
):
    code(tensorflow, _KERAS, tmp_path)
    write_tagger(tmp_path / "t.toml", "m.onnx", model={"layout": "NHWC"})
    options = ("--tagger", "t.toml", "--output", "m.onnx", "--objects", 40)
    for source in ("net.keras", "net.h5", "saved"):
        said = passed(verb("convert", source, *options, python=tensorflow))
        assert f"scores: {source}, tensorflow 2." in said
    # A frozen graph can't be run here: the scores of its SavedModel are held against it.
    (tmp_path / "m.reference.npz").rename(tmp_path / "saved.npz")
    names = ("--inputs", "image:0", "--outputs", "Identity:0", "--reference", "saved.npz")
    said = passed(verb("convert", "net.pb", *options, *names, python=tensorflow))
    assert "scores: saved, tensorflow 2." in said
    assert len(list(tmp_path.glob("m.onnx.*.verdict.json"))) == 1
    dims = onnx.load(tmp_path / "m.onnx").graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in dims][1:] == [32, 32, 1]
    wrong = verb("convert", "net.pb", *options, "--inputs", "x:0", "--outputs", "y:0", python=tensorflow)
    assert (wrong.returncode, wrong.stderr.count("\n"), "Traceback" in wrong.stderr) == (2, 1, False)
