"""Real runs of the verbs validate and convert, and of submit after a verdict."""

import importlib.util
import json
import re
import shutil

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from runs import plan, receipts

from e2edist.config.tagger import load_tagger


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
    told = [receipt["validation"] for receipt in receipts(tmp_path / "out")]
    assert told
    assert all(", accepted: " in validation for validation in told)


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
        (("--tagger", "eg", "--batch", "100000000"), "are 381 GiB. Take at most 262144"),
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
def test_an_earlier_campaign_is_a_reference_for_the_objects_of_its_files(
    verb, campaign, events, model, tmp_path
):
    model = shutil.copy(model, tmp_path / "m.onnx")  # its verdict is kept beside it
    options = ("--tagger", "eg", "--input", f"{events}/*.root", "--objects", 30, "--reference")
    done = verb("validate", model, *options, campaign)
    assert (done.returncode, done.stderr) == (0, "")
    assert "against 30 objects (2 files), scores: out" in done.stdout
    # Tables look as all others do, and checksums are whole.
    assert re.search(r"^sha256 +[0-9a-f]{64}$", done.stdout, re.M)
    assert not set(done.stdout) & set("…┃│")
    (part, *_) = sorted((campaign / "predictions").glob("*.parquet"))
    assert verb("validate", model, *options, part).returncode == 0
    other = verb("validate", *options, campaign)  # the packaged model gives other scores
    assert other.returncode == 1
    nothing = verb("validate", model, *options, events)
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)
