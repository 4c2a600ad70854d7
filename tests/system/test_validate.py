"""Real runs of the verbs validate and convert, and of submit after a verdict."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from models import write_tagger
from onnx import numpy_helper
from runs import environment, plan, receipts

from e2edist.spec.tagger import load_tagger

#: Models that come with the package onnx.
BACKEND = Path(onnx.__file__).parent / "backend" / "test" / "data"
_NET = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.filters = torch.nn.Conv2d(1, 4, 3)
        self.last = torch.nn.Linear(4, 1)

    def forward(self, x):
        return torch.sigmoid(self.last(torch.relu(self.filters(x)).amax(dim=(2, 3))))


def save():
    torch.manual_seed(0)
    net = Net().eval()
    torch.save(net.state_dict(), "weights.pt")
    torch.jit.trace(net, torch.zeros(2, 1, 32, 32)).save("script.pt")
"""


@pytest.fixture
def verb(tmp_path):
    """Run ``python -m e2edist.VERB`` in `tmp_path`, with a user's cache of its own."""

    def call(name, *arguments):
        words = [sys.executable, "-m", f"e2edist.{name}", *map(str, arguments)]
        cache = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "200"}
        return subprocess.run(
            words,
            cwd=tmp_path,
            env=environment() | cache,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    return call


@pytest.fixture(scope="module")
def torch():
    if importlib.util.find_spec("torch") is None:
        if "torch" in os.environ.get("E2EDIST_REQUIRE", "").split(","):
            pytest.fail("E2EDIST_REQUIRE names torch, and it is not installed")
        pytest.skip("torch is not installed")


def test_a_demo_tagger_passes_and_its_verdict_is_kept(verb, tmp_path):
    done = verb("validate", "--tagger", "eg", "--objects", 50, "--json", "v.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "validation of eg passed" in done.stdout
    content = json.loads((tmp_path / "v.json").read_text())
    assert content["passed"]
    assert {"CPU, unoptimised", "CPU, optimised", "CPU, batch 1"} <= {v["name"] for v in content["variants"]}
    assert len(list((tmp_path / "cache" / "e2edist" / "verdicts").glob("*.json"))) == 1


def test_a_model_with_one_weight_changed_fails_and_is_not_submitted_unless_accepted(verb, tmp_path, events):
    own = load_tagger("eg").model.path
    model = onnx.load(own)
    values = numpy_helper.to_array(model.graph.initializer[-1]).copy()
    values.flat[0] += np.float32(0.01)
    model.graph.initializer[-1].CopyFrom(numpy_helper.from_array(values, model.graph.initializer[-1].name))
    onnx.save(model, tmp_path / "m.onnx")
    reference = own.replace(".onnx", ".reference.npz")
    options = ("--tagger", "eg", "--objects", 20, "--reference", reference)
    done = verb("validate", "m.onnx", *options)
    assert (done.returncode, done.stderr) == (1, "")
    assert "FAIL" in done.stdout
    run = ("submit", "--tagger", "eg", "--model", "m.onnx", "--input", events, "--output", "out")
    refused = verb(*run)
    assert refused.returncode == 2
    assert "failed validation" in refused.stderr
    assert not (tmp_path / "out").exists()
    accepted = verb(*run, "--accept-failed-validation", "--workers", 1, "--threads", 1)
    assert (accepted.returncode, accepted.stderr) == (0, "")
    assert plan(tmp_path / "out")["validation"].startswith("failed")
    assert all(", accepted: " in receipt["validation"] for receipt in receipts(tmp_path / "out"))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "nothing to validate"),
        (("missing.onnx",), "can't be read"),
        (("--tagger", "eh"), "there is no tagger 'eh'"),
        (("--tagger", "eg", "--objects", "1"), "can't be compared"),
        (("--tagger", "eg", "--reference", "missing.npz"), "can't be read as a reference"),
        (("--tagger", "eg", "--source", "no_such_module:net"), "torch"),
        (("--tagger", "eg", "--checkpoint", "w.pt"), "--source"),
    ],
)
def test_a_mistake_is_said_in_one_line_with_exit_code_2(verb, words, reason):
    done = verb("validate", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("e2edist: ")
    assert done.stderr.count("\n") == 1
    if reason != "torch" or importlib.util.find_spec("torch") is None:
        assert reason in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted((BACKEND / "light").glob("*.onnx")), ids=lambda path: path.stem)
def test_networks_that_others_made_load_and_run(verb, tmp_path, model):
    shutil.copy(model, tmp_path / "m.onnx")
    done = verb("validate", "m.onnx", "--objects", 2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fixed batch of 1" in done.stdout


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pytorch-converted/test_BatchNorm2d_eval", "does not load: "),
        ("pytorch-converted/test_Conv2d", "images must be square"),
        ("simple/test_sequence_model1", "has 3 inputs"),
        ("simple/test_strnorm_model_nostopwords_nochangecase", "not a batch of images"),
    ],
)
def test_models_that_others_made_for_other_things_are_refused_with_the_reason(verb, tmp_path, name, reason):
    shutil.copy(BACKEND / name / "model.onnx", tmp_path / "m.onnx")
    done = verb("validate", "m.onnx")
    assert done.returncode == 1
    assert reason in done.stdout


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


def test_a_torch_model_is_converted_and_held_to_its_own_scores(verb, tmp_path, torch):
    (tmp_path / "net.py").write_text(_NET)
    subprocess.run([sys.executable, "-W", "ignore", "-c", "import net; net.save()"], cwd=tmp_path, check=True)
    write_tagger(tmp_path / "t.toml", "net.onnx")
    options = ("--tagger", "t.toml", "--output", "net.onnx", "--objects", 40)
    done = verb("convert", "net:Net", "--checkpoint", "weights.pt", *options)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "scores: net:Net, torch" in done.stdout
    assert verb("validate", "net.onnx", "--tagger", "t.toml").returncode == 0
    assert verb("validate", "net.onnx", "--tagger", "t.toml", "--source", "script.pt").returncode == 0
    # Other weights than those that were exported.
    other = verb("validate", "net.onnx", "--tagger", "t.toml", "--source", "net:Net")
    assert other.returncode == 1
