"""A model's identity covers every file that its weights lie in."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from models import write_external, write_model, write_tagger
from onnx import TensorProto, helper, numpy_helper

from e2edist.campaign.cross_pool_check import context_key
from e2edist.campaign.resume import check_same
from e2edist.config.model_files import model_files
from e2edist.config.site import SiteSpec
from e2edist.config.tagger import load_tagger, packaged
from e2edist.engines import EngineOptions, _session, open_engine
from e2edist.errors import ConfigError, ModelError, OutputError
from e2edist.parity.export import free_batch
from e2edist.parity.reference_objects import random_images
from e2edist.parity.validation_record import require_validation, write_record
from e2edist.parity.variants import Options, variants
from e2edist.parity.verdict import examine
from e2edist.records.plan import Plan
from e2edist.tuning.profile import apply_profiles

IMAGES = np.ones((8, 1, 32, 32), np.float32)


@pytest.fixture
def net(tmp_path):
    """Weights in two files, one of them in a folder."""
    return write_external(write_model(tmp_path / "net.onnx"), {"filters": "sub/w.bin"}, rest="net.onnx.data")


def tagger_of(path):
    return load_tagger(str(write_tagger(path.with_suffix(".toml"), path)))


def change(path, step=4):
    """Change one number of a file in place; its size stays."""
    content = bytearray(path.read_bytes())
    content[step - 1] ^= 0x01
    path.write_bytes(content)


def hidden_tensors():
    """Return a model with tensors wherever a file may have them, and how many there are."""

    def tensor(name):
        return numpy_helper.from_array(np.arange(4, dtype=np.float32), name)

    def node(name, **attributes):
        return helper.make_node("Constant", [], [name], **attributes)

    inner = helper.make_graph([node("deep", value=tensor("in_subgraph"))], "inner", [], [], [tensor("init")])
    branch = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    sparse = helper.make_sparse_tensor(tensor("v"), numpy_helper.from_array(np.arange(4), "i"), [9])
    listed = node("listed")
    listed.attribute.append(helper.make_attribute("tensors", [tensor("one"), tensor("two")]))
    listed.attribute.append(helper.make_attribute("graphs", [inner]))
    listed.attribute.append(helper.make_attribute("sparse", sparse))
    graph = helper.make_graph(
        [node("x", value=tensor("constant")), branch, listed], "g", [], [], [tensor("w")]
    )
    graph.sparse_initializer.append(sparse)
    function = helper.make_function("d", "f", [], ["o"], [node("o", value=tensor("of_function"))], [])
    return helper.make_model(graph, functions=[function])


def all_tensors(message):
    """Yield every tensor in a protobuf message, found by walking all its fields."""
    if isinstance(message, TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in value if not hasattr(value, "ListFields") else [value]:
                yield from all_tensors(item)


def test_a_model_in_one_file_is_its_sha256_as_ever(tmp_path):
    path = write_model(tmp_path / "m.onnx")
    assert model_files(path).identity == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(packaged()) == 4
    for name in packaged():
        model = load_tagger(name).model
        assert model.sha256 == hashlib.sha256(Path(model.path).read_bytes()).hexdigest()


def test_each_file_with_weights_is_part_of_the_identity_and_the_folder_is_not(net, tmp_path):
    files = model_files(net)
    assert files.external == ("net.onnx.data", "sub/w.bin")
    assert files.identity != hashlib.sha256(net.read_bytes()).hexdigest()
    copy = Path(shutil.copytree(tmp_path, tmp_path / "elsewhere" / "copy")) / "net.onnx"
    assert model_files(copy).identity == files.identity
    for name in files.external:
        change(copy.parent / name)
        assert copy.read_bytes() == net.read_bytes()
        assert model_files(copy).identity != files.identity
        change(copy.parent / name)
    assert model_files(copy).identity == files.identity


def test_tensors_in_other_files_are_found_wherever_an_onnx_file_may_have_them(tmp_path):
    model = hidden_tensors()
    names = set()
    for i, tensor in enumerate(all_tensors(model)):
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", f"{i}.bin"), ("offset", "8"), ("length", "16")):
            tensor.external_data.add(key=key, value=value)
        names.add(f"{i}.bin")
        (tmp_path / f"{i}.bin").write_bytes(bytes(24))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert len(names) > 12
    assert set(model_files(path).external) == names
    (tmp_path / "5.bin").write_bytes(bytes(23))
    with pytest.raises(ModelError, match=r"too short: .*5\.bin has 23 bytes, its tensors end at 24\. Copy"):
        model_files(path)


@pytest.mark.parametrize(
    "content", [b"", b"\x0a\x08location", b"\x7f" * 99 + b"\x0a\x08location", b"\0" * 9999]
)
def test_what_is_no_onnx_file_is_left_to_the_runtime(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    assert model_files(tmp_path / "m.onnx").identity == hashlib.sha256(content).hexdigest()


def test_a_model_is_asked_for_external_data_without_the_package_onnx(net, tmp_path):
    code = "import sys; sys.modules['onnx'] = None\nfrom e2edist.config.model_files import model_files\n"
    code += f"print(model_files({str(net)!r}).identity)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == model_files(net).identity


@pytest.mark.parametrize(
    "place", ["/etc/passwd", "../w.bin", "sub/../../w.bin", "sub/../w.bin", "", "..", "."]
)
def test_weights_outside_the_model_s_folder_are_refused(net, tmp_path, place):
    model = onnx.load(net, load_external_data=False)
    model.graph.initializer[0].external_data[0].value = place
    net.write_bytes(model.SerializeToString())
    with pytest.raises(
        ModelError, match=r"its weights lie outside its folder, or nowhere: .*Save the model again"
    ):
        tagger_of(net)


def test_missing_weights_are_told_when_the_tagger_is_read(net, tmp_path):
    (tmp_path / "sub/w.bin").unlink()
    with pytest.raises(
        ModelError, match=r"lie in a file that is missing: .*sub/w\.bin\. Put that file beside"
    ):
        tagger_of(net)


def test_weights_beside_a_link_are_found_as_hubs_of_models_keep_them(net, tmp_path):
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    (tmp_path / "hub").mkdir()
    path = write_external(write_model(tmp_path / "one.onnx"), rest="one.onnx.data")
    for i, name in enumerate(("one.onnx", "one.onnx.data")):
        (tmp_path / name).rename(blobs / str(i))
        (tmp_path / "hub" / name).symlink_to(blobs / str(i))
    tagger = tagger_of(tmp_path / "hub" / path.name)
    assert open_engine(tagger, EngineOptions()).columns == {"modelOutput": "float32"}


def test_a_file_that_was_read_is_not_read_again_until_it_changes(net, monkeypatch):
    for file in model_files(net).contents():
        os.utime(net.parent / file, ns=(1, 1))
    monkeypatch.setattr("e2edist.config.model_files._RACY_NS", -(10**18))
    first = model_files(net)
    assert model_files(net) is first
    os.utime(net.parent / "sub/w.bin")
    again = model_files(net)
    assert again is not first
    assert again.identity == first.identity


# ---- engines, plans


def test_a_model_that_changed_since_it_was_planned_is_not_opened(net):
    tagger = tagger_of(net)
    change(net.with_name("net.onnx.data"))
    with pytest.raises(
        ModelError, match=r"changed since it was planned: its sha256 \(with net\.onnx\.data, sub"
    ):
        open_engine(tagger, EngineOptions(batch=5))
    single = write_model(net.with_name("single.onnx"))
    tagger = tagger_of(single)
    write_model(single, seed=1)
    with pytest.raises(ModelError, match=r"changed since it was planned: its sha256 is \w+, planned is"):
        open_engine(tagger, EngineOptions(batch=5))


def test_an_open_session_does_not_go_on_with_weights_that_were_written_over(net):
    tagger, options = tagger_of(net), EngineOptions(batch=8)
    engine = open_engine(tagger, options)
    before = engine.predict(IMAGES)["modelOutput"]
    assert open_engine(tagger, options) is engine
    change(net.with_name("net.onnx.data"))
    with pytest.raises(ModelError, match="changed since it was planned"):
        open_engine(tagger, options)
    change(net.with_name("net.onnx.data"))
    again = open_engine(tagger, options)
    assert again is not engine
    np.testing.assert_array_equal(again.predict(IMAGES)["modelOutput"], before)


def test_a_session_in_memory_goes_on_when_its_one_file_is_replaced(tmp_path):
    path = write_model(tmp_path / "m.onnx")
    tagger, options = tagger_of(path), EngineOptions(batch=8)
    engine = open_engine(tagger, options)
    write_model(path, seed=1)
    assert open_engine(tagger, options) is engine


def test_a_worker_that_stays_serves_the_new_model_to_the_next_campaign(net):
    first = open_engine(tagger_of(net), EngineOptions(batch=8)).predict(IMAGES)["modelOutput"]
    write_external(write_model(net, seed=3), rest="net.onnx.data")
    second = open_engine(tagger_of(net), EngineOptions(batch=8)).predict(IMAGES)["modelOutput"]
    assert not np.isclose(first, second).any()


def test_other_weights_are_another_plan(net, tmp_path):
    tagger = tagger_of(net)
    plan = Plan(tagger.identity(), (), 0.0)
    check_same(plan, tagger, tmp_path)
    change(net.with_name("net.onnx.data"))
    with pytest.raises(OutputError, match="belongs to another plan: its tagger differs in model"):
        check_same(plan, tagger_of(net), tmp_path)


def test_engines_of_tensorrt_are_kept_by_identity(net, monkeypatch):
    monkeypatch.setattr(_session._device_facts, "device_facts", lambda *_: {"device": "A", "build": "b"})
    before = _session.engine_folder(str(net))
    assert before.name == model_files(net).identity[:16]
    change(net.with_name("net.onnx.data"))
    assert _session.engine_folder(str(net)) != before


def test_a_verdict_is_of_the_weights_that_were_validated(net):
    write_record(tagger_of(net), {"passed": True, "faults": [], "when": "today"})
    assert require_validation(tagger_of(net), accept=False).startswith("passed today")
    change(net.with_name("net.onnx.data"))
    assert require_validation(tagger_of(net), accept=False) == "none"


def test_weights_that_change_while_a_model_is_validated_have_no_verdict(net, monkeypatch):
    def meddling(*arguments):
        change(net.with_name("net.onnx.data"))
        return variants(*arguments)

    monkeypatch.setattr("e2edist.parity.verdict.variants", meddling)
    found = examine(tagger_of(net), random_images((1, 32, 32), 4), None, Options())
    assert "net.onnx: changed while it was in use" in found.refused


def test_a_profile_is_for_the_weights_that_were_measured(net):
    site = SiteSpec.model_validate(
        {"name": "s", "pools": {"cpu": {"profile": str(net.with_suffix(".prof"))}}}
    )
    numbers = dict.fromkeys(("batch", "workers", "threads", "intra_op", "sessions"), 1)
    settings = {**numbers, "images": "dense", "conv_search": "heuristic"}
    about = dict.fromkeys(("made", "site", "pool", "kind", "tagger", "provider", "device", "runtime"), "x")
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in about.items())
    text += f"events_per_s = 1.0\nmodel_sha256 = '{tagger_of(net).model.sha256}'\n[settings]\n"
    text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    net.with_suffix(".prof").write_text(text)
    assert apply_profiles(site, tagger_of(net).model.sha256)[1]
    change(net.with_name("net.onnx.data"))
    with pytest.raises(ConfigError, match="is for another model"):
        apply_profiles(site, tagger_of(net).model.sha256)


def test_what_an_exporter_leaves_in_several_files_is_converted_to_one(net):
    free_batch(net)
    assert model_files(net).external == ()
    for name in ("net.onnx.data", "sub/w.bin"):
        (net.parent / name).unlink()
    assert open_engine(tagger_of(net), EngineOptions(batch=3)).batch == 3


def test_jobs_of_one_plan_in_two_folders_are_two_on_a_worker_that_serves_both(tmp_path):
    keys = {context_key("f", tmp_path / folder, "cpu") for folder in ("a", "b")}
    assert len(keys) == 2
    assert context_key("f", tmp_path / "a", "cpu") in keys
