"""Why a GPU can't be used, in one sentence; a driver that we play stands in for what is not here."""

import os
import platform
import re
import subprocess
import sys
import time
from collections import Counter
from threading import Event
from types import SimpleNamespace

import pytest
from models import write_model
from receipts import make_receipt

from e2edist.checks import smoke_test
from e2edist.engines import EngineOptions, _cuda, _device_facts, _node_placement, _session
from e2edist.engines._cuda import Device, DriverError
from e2edist.errors import DeviceError, ModelError

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
A100 = Device("NVIDIA A100-SXM4-40GB", "GPU-1", 80, "580.65", 13000)


def runtime(tmp_path, release="1.31.1"):
    """Return what stands in for onnxruntime-gpu; its provider libraries are not there."""
    return SimpleNamespace(
        __version__=release,
        __file__=str(tmp_path / "__init__.py"),
        get_available_providers=lambda: [TENSORRT, CUDA, "CPUExecutionProvider"],
        preload_dlls=lambda: print("Failed to load libcublas"),
    )


@pytest.fixture
def driver(monkeypatch):
    """Let the driver show a device, or raise."""

    def show(device):
        def find(index=0):
            if isinstance(device, Exception):
                raise device
            return device

        monkeypatch.setattr(_cuda, "find_device", find)

    return show


@pytest.mark.parametrize(
    ("release", "cuda", "oldest"),
    [("1.23.0", 12, 60), ("1.26.1", 12, 60), ("1.28.0", 13, 75), ("1.31.1", 13, 75), ("2.0", 13, 75)],
)
def test_what_a_build_needs_follows_the_table(release, cuda, oldest):
    assert _device_facts.build_requirements(release) == (cuda, oldest)


@pytest.mark.parametrize(
    ("device", "release", "why"),
    [
        (
            DriverError("libcuda.so.1: cannot open"),
            "1.31.1",
            r"no NVIDIA driver.*libcuda\.so\.1 .*provider = ",
        ),
        (
            DriverError("the driver shows 0 devices"),
            "1.31.1",
            r"no usable GPU: the driver shows 0 devices.*job",
        ),
        (Device("Tesla P100", "GPU-1", 60, "580.65", 13000), "1.31.1", r"P100 .*6\.0.*from 7\.5 on.*1\.26"),
        (
            Device("Tesla K80", "GPU-1", 37, "535.1", 12020),
            "1.26.0",
            r"K80 .*3\.7.*from 6\.0 on.*another GPU",
        ),
        (
            Device("A100", "GPU-1", 80, "535.1", 12020),
            "1.31.1",
            r"535\.1 runs CUDA 12\.2.*needs 13.*driver 580",
        ),
        (A100, "1.31.1", r"a library of CUDAExecutionProvider is missing: .*providers_cuda.*pip install"),
    ],
)
def test_each_thing_that_is_missing_is_named_with_what_to_do(
    tmp_path, driver, monkeypatch, device, release, why
):
    monkeypatch.setattr(_cuda, "MODULE", tmp_path / "none")
    driver(device)
    what, todo = _device_facts.why_unusable(CUDA, runtime(tmp_path, release))
    assert re.search(why, f"{what}. {todo}"), (what, todo)


def test_a_container_that_hides_the_driver_is_told_from_a_machine_without_one(tmp_path, driver, monkeypatch):
    module = tmp_path / "version"
    module.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\n")
    monkeypatch.setattr(_cuda, "MODULE", module)
    driver(DriverError("libcuda.so.1: cannot open shared object file"))
    what, todo = _device_facts.why_unusable(CUDA, runtime(tmp_path))
    assert "535.104.05 is on this host" in what
    assert "--nv" in todo


def test_hidden_devices_are_told_with_the_variable_that_hides_them(tmp_path, driver, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "10000")
    driver(DriverError("the driver shows 0 devices"))
    assert "CUDA_VISIBLE_DEVICES='10000'" in _device_facts.why_unusable(CUDA, runtime(tmp_path))[0]


def test_a_receipt_tells_device_uuid_driver_and_build(tmp_path, driver):
    driver(A100)
    facts = _device_facts.device_facts(CUDA, runtime(tmp_path))
    assert (facts["device"], facts["uuid"], facts["driver"]) == (A100.name, "GPU-1", "580.65")
    assert facts["capability"] == "8.0"
    assert "1.31.1" in facts["build"]


def test_on_a_cpu_it_tells_the_model_of_the_processor(tmp_path):
    facts = _device_facts.device_facts("CPUExecutionProvider", runtime(tmp_path))
    assert facts["device"]
    assert "uuid" not in facts


def test_settings_of_a_gpu_are_those_that_were_found_to_be_sound(tmp_path, driver, monkeypatch):
    driver(A100)
    ((name, cuda),) = _session.provider_settings(EngineOptions(provider="cuda"), "m.onnx")
    assert name == CUDA
    assert cuda["use_tf32"] == "0"
    assert cuda["cudnn_conv_algo_search"] == "HEURISTIC"
    assert cuda["arena_extend_strategy"] == "kSameAsRequested"
    monkeypatch.setenv("E2EDIST_CACHE", str(tmp_path))
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    monkeypatch.setattr(_session, "runtime", lambda: runtime(tmp_path))
    (tmp_path / "m.onnx").write_bytes(b"model")
    options = EngineOptions(provider="tensorrt")
    first, second = _session.provider_settings(options, str(tmp_path / "m.onnx"))
    assert (first[0], second) == (TENSORRT, (CUDA, cuda))
    assert first[1]["trt_engine_cache_path"].startswith(str(tmp_path / "tensorrt" / "NVIDIA-A100-SXM4-40GB"))


def test_engines_of_tensorrt_are_built_by_one_process_at_a_time(tmp_path, driver, monkeypatch):
    driver(A100)
    monkeypatch.setenv("E2EDIST_CACHE", str(tmp_path))
    monkeypatch.setattr(_session, "runtime", lambda: runtime(tmp_path))
    (tmp_path / "m.onnx").write_bytes(b"model")
    options = EngineOptions(provider="tensorrt")
    with pytest.raises(DeviceError, match="a library of TensorrtExecutionProvider is missing"):
        _session.engine_build_lock(str(tmp_path / "m.onnx"), options).__enter__()
    assert list(tmp_path.rglob(".lock")) == []
    monkeypatch.setattr(_session, "_check_device", lambda provider, ort: None)
    code = "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with _session.engine_build_lock(str(tmp_path / "m.onnx"), options):
        (lock,) = tmp_path.rglob(".lock")
        other = [sys.executable, "-c", code, str(lock)]
        assert subprocess.run(other, check=False, capture_output=True).returncode != 0
    assert subprocess.run(other, check=False).returncode == 0


def test_tf32_is_told_as_it_is_with_the_variable_that_stands_above_all_settings(monkeypatch):
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    told = [_session.tf32(EngineOptions(provider=p, tf32=on)) for p in ("cuda", "tensorrt") for on in (0, 1)]
    assert told == ["off", "on", "on", "on"]
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert _session.tf32(EngineOptions(provider="cuda", tf32=True)) == "off"


def test_a_session_remembers_which_provider_has_which_node_and_never_falls_back_later(tmp_path):
    path = str(write_model(tmp_path / "m.onnx"))
    session = _session.open_session(path, path, EngineOptions())
    placed = _node_placement.placement(session)
    assert placed.keys() == {"CPUExecutionProvider"}
    assert placed["CPUExecutionProvider"]["Conv"] == 1
    # Else onnxruntime itself runs on the CPU from the first failure on, with a line on stdout.
    assert session._enable_fallback is False


def test_nodes_that_are_left_to_the_cpu_are_told_in_receipts():
    placed = {CUDA: Counter(Conv=10, Relu=9), "CPUExecutionProvider": Counter(Shape=2, Gather=1)}
    assert _node_placement.facts(placed, CUDA) == {
        "nodes": "19 on CUDAExecutionProvider, of 22",
        "cpu_nodes": "2 Shape, 1 Gather",
    }
    both = {TENSORRT: Counter(Conv=10), CUDA: Counter(ScatterElements=1)}
    assert _node_placement.facts(both, TENSORRT) == {"nodes": f"10 on {TENSORRT}, 1 on {CUDA}, of 11"}
    assert "not told" in _node_placement.facts({}, CUDA)["nodes"]


def test_a_provider_that_takes_no_node_of_a_model_is_no_proof_of_a_device(tmp_path, monkeypatch):
    assert _node_placement.no_nodes_on({}, CUDA) == ""
    assert _node_placement.no_nodes_on({CUDA: Counter(Conv=1)}, CUDA) == ""
    path = str(write_model(tmp_path / "m.onnx"))
    monkeypatch.setattr(_session, "_check_device", lambda provider, ort: None)
    monkeypatch.setattr(_session, "provider_settings", lambda options, path: ["CPUExecutionProvider"])
    with pytest.raises(DeviceError, match="the model would run on CPUExecutionProvider"):
        _session.open_session(path, path, EngineOptions(provider="cuda"))
    monkeypatch.setitem(_session.PROVIDERS, "cuda", "CPUExecutionProvider")
    monkeypatch.setattr(_node_placement, "placement", lambda session: {"Other": Counter(Conv=1, Relu=1)})
    with pytest.raises(ModelError, match="takes none of its 2 nodes: 1 Conv, 1 Relu"):
        _session.open_session(path, path, EngineOptions(provider="cuda"))


def test_the_doctor_warns_of_nodes_that_the_cpu_has_to_run():
    engine = {"device": A100.name, "nodes": f"19 on {CUDA}, of 22", "cpu_nodes": "2 Shape, 1 Gather"}
    versions = {"python": platform.python_version()}
    receipt = make_receipt(engine=engine, host="node1", versions=versions, started=time.time())
    result = SimpleNamespace(ledger=SimpleNamespace(done={"chunk": receipt}), events=40, seconds=1.0)
    found = smoke_test._finished("demo on gpu", result, smoke_test._Watch(Event()))
    assert found.level == "warn"
    assert "leaves nodes to the CPU: 2 Shape, 1 Gather" in found.text
    del engine["cpu_nodes"]
    assert "leaves nodes" not in smoke_test._finished("demo on gpu", result, smoke_test._Watch(Event())).text


@pytest.mark.parametrize("theirs", ["1", "0", None])
def test_no_variable_of_a_user_lets_tensorrt_round_to_tf32(tmp_path, monkeypatch, theirs):
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", theirs or "")
    if theirs is None:
        monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")
    path = str(write_model(tmp_path / "m.onnx"))
    _session.provider_settings(EngineOptions(provider="tensorrt"), path)
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"
    assert _session.tf32(EngineOptions(provider="tensorrt")) == "off"
