"""One table holds the scores of one network, whatever files it lies in."""

import os
import shutil

import onnx
import pytest
from lab import until
from models import write_external, write_model
from onnx import helper
from runs import parts, plan, receipts, table, verb


@pytest.fixture
def net(tmp_path):
    """A network whose weights lie beside it; `other` is a trained anew one with the same ``.onnx``."""
    for name, seed in (("net", 0), ("other", 1)):
        folder = tmp_path / name
        folder.mkdir()
        write_external(write_model(folder / "net.onnx", seed=seed), rest="net.onnx.data")
    assert (tmp_path / "net/net.onnx").read_bytes() == (tmp_path / "other/net.onnx").read_bytes()
    return tmp_path / "net" / "net.onnx"


@pytest.mark.slow
def test_other_weights_beside_the_same_onnx_file_are_another_plan(net, events, tmp_path, submit):
    arguments = ("--model", net, "--input", events, "--output", "out", "--threads", 1)
    assert submit(*arguments).returncode == 0
    whole, lost = table(tmp_path / "out"), parts(tmp_path / "out")[0]
    lost.unlink()
    shutil.copy(tmp_path / "other/net.onnx.data", net.parent)
    done = submit(*arguments)
    assert done.returncode == 2
    assert "out: belongs to another plan: its tagger differs in model" in done.stderr
    assert not lost.exists()
    done = submit("--model", tmp_path / "other/net.onnx", *arguments[2:4], "--output", "new")
    assert done.returncode == 0
    assert plan(tmp_path / "new")["tagger"]["model"] != plan(tmp_path / "out")["tagger"]["model"]
    assert not table(tmp_path / "new")["electron"].equals(whole["electron"])


@pytest.mark.slow
def test_weights_written_over_while_a_chunk_runs_never_get_into_the_table(lab, clean, tiny_model):
    lab.model = lab.folder / "eg.onnx"
    shutil.copy(tiny_model, lab.model)
    write_external(lab.model, rest="eg.data")
    weights, go = lab.folder / "eg.data", lab.folder / "go"
    sound = weights.read_bytes()
    hold = {"name": "hold", "at": "read", "do": "wait", "file": "a.root", "entry": 40, "until": str(go)}
    process = lab.start(faults=[hold])
    until(lambda: lab.hit("hold"))
    with weights.open("r+b") as stream:  # in place, as cp and most exporters do: the session has it mapped
        stream.write(sound[::-1])
    go.touch()
    code, said = lab.end(process)
    assert (code, "eg.onnx: changed since it was planned: its sha256 (with eg.data) is" in said) == (
        2,
        True,
    ), said
    code, said = lab.run()
    assert (code, "belongs to another plan: its tagger differs in model" in said) == (2, True), said
    weights.write_bytes(sound)
    whole = table(lab.out)
    lab.completes(clean)
    assert 0 < whole.num_rows < clean.num_rows


@pytest.mark.parametrize(
    "damage", ["missing", *(pytest.param(d, marks=pytest.mark.slow) for d in ("short", "outside"))]
)
def test_a_file_with_weights_that_is_not_right_is_one_clear_sentence_everywhere(
    net, events, tmp_path, damage
):
    weights = net.with_name("net.onnx.data")
    if damage == "missing":
        weights.unlink()
    elif damage == "short":
        os.truncate(weights, weights.stat().st_size - 4)
    else:
        net.write_bytes(net.read_bytes().replace(b"net.onnx.data", b"../other/data"))
    why = {
        "missing": "lie in a file that is missing",
        "short": "is too short",
        "outside": "lie outside its folder",
    }
    words = {
        "submit": ("--model", net, "--input", events, "--output", "out", "--dry-run"),
        "tune": ("--model", net, "--budget-s", 1),
        "validate": (net, "--tagger", "eg"),
    }
    for name, arguments in words.items():
        done = verb(name, *arguments, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert why[damage] in done.stderr
    alone = verb("validate", net, cwd=tmp_path)
    assert (alone.returncode, why[damage] in alone.stdout) == (1, True)


@pytest.mark.slow
def test_scores_that_depend_on_the_batch_are_refused_or_accepted_and_noted(events, tmp_path, submit):
    model = onnx.load(write_model(tmp_path / "mixed.onnx"))
    del model.graph.node[-1]
    model.graph.node.append(helper.make_node("Softmax", ["active_modelOutput"], ["modelOutput"], axis=0))
    onnx.save(model, tmp_path / "mixed.onnx")
    arguments = ("--model", "mixed.onnx", "--input", events, "--output", "out", "--threads", 1)
    done = submit(*arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "mixed.onnx: gives one image another score in another batch: electron is" in done.stderr
    assert "(probably by Softmax over axis 0). Export it for inference" in done.stderr
    assert not (tmp_path / "out").exists()
    assert verb("tune", "--model", "mixed.onnx", "--budget-s", 1, cwd=tmp_path).returncode == 2
    done = submit(*arguments, "--accept-failed-validation")
    assert done.returncode == 0, done.stderr
    for said in (plan(tmp_path / "out")["validation"], receipts(tmp_path / "out")[0]["validation"]):
        assert said.startswith("failed, accepted: gives one image another score in another batch: electron")
        assert said.endswith("(validate: none)")
