"""The real onnxruntime-gpu on a machine without a GPU: whoever wants a GPU is told why there is none."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from environments import python_with
from runs import TIMEOUT_S, environment, parts, receipts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WHY = "no NVIDIA driver on this machine: libcuda.so.1 can't be loaded"


@pytest.fixture(scope="module")
def python():
    """The Python of an environment with onnxruntime-gpu."""
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("there is a driver on this machine")
    return python_with("gpuwheel")


@pytest.fixture
def verb(python, tmp_path):
    """Run ``python -m e2edist.VERB`` there."""

    def call(name, *arguments):
        words = [python, "-m", f"e2edist.{name}", *map(str, arguments)]
        own = environment() | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "200"}
        own["E2EDIST_PROFILES"] = str(tmp_path / "profiles")
        return subprocess.run(
            words, cwd=tmp_path, env=own, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )

    return call


def site(folder, provider, images="auto"):
    text = f'name = "gpus"\n[pools.gpu]\nkind = "local"\nworkers = 1\nthreads = 1\nprovider = "{provider}"\n'
    (folder / "gpus.toml").write_text(text + f'images = "{images}"\n')
    return folder / "gpus.toml"


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
@pytest.mark.parametrize("images", ["dense", "sparse"])
def test_a_gpu_pool_without_a_gpu_fails_with_one_sentence_and_never_runs(
    verb, events, model, tmp_path, provider, images
):
    options = ("--site", site(tmp_path, provider, images), "--model", model)
    done = verb("submit", *options, "--input", events, "--output", "out")
    assert done.returncode == 2, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("e2edist:")]
    assert len(said) == 1, done.stderr
    assert WHY in said[0]
    assert "Traceback" not in done.stderr + done.stdout
    assert parts(tmp_path / "out") == []


def test_tuning_such_a_pool_says_why_and_keeps_no_profile(verb, model, tmp_path):
    done = verb("tune", "--site", site(tmp_path, "cuda"), "--model", model, "--budget-s", 2, "--events", 20)
    assert done.returncode == 2, done.stdout
    assert (WHY in done.stderr, done.stderr.count("\n")) == (True, 1)
    assert not (tmp_path / "profiles").exists()


def test_the_gate_tells_that_gpu_variants_did_not_run_and_why(verb, model, tmp_path):
    model = shutil.copy(model, tmp_path / "m.onnx")  # its verdict is kept beside it
    options = ("--tagger", "eg", "--objects", 4, "--json", "v.json")
    done = verb("validate", model, *options)
    assert (done.returncode, done.stderr) == (0, "")
    words = {row["name"]: row["verdict"] for row in json.loads((tmp_path / "v.json").read_text())["variants"]}
    gpu = {name: word for name, word in words.items() if not name.startswith("CPU")}
    assert gpu.keys() == {"CUDA", "CUDA, sparse images", "CUDA, TF32", "TensorRT", "TensorRT, sparse images"}
    assert set(gpu.values()) == {"not run"}
    assert f"; CUDA, TF32; TensorRT; TensorRT, sparse images: not run: {WHY}" in done.stdout
    assert done.stdout.count(WHY) == 1
    # Who asks for TF32 wants to know about it: that it can't run is no verdict on it.
    assert verb("validate", model, *options, "--tf32").returncode == 1


def test_the_same_build_runs_a_cpu_pool_and_says_so_in_the_receipts(verb, events, model, tmp_path):
    options = ("--site", site(tmp_path, "cpu"), "--model", model)
    done = verb("submit", *options, "--input", events, "--output", "out")
    assert done.returncode == 0, done.stderr
    found = receipts(tmp_path / "out")
    assert found
    for receipt in found:
        assert receipt["engine"]["provider"] == "CPUExecutionProvider"
        assert receipt["engine"]["build"].startswith("onnxruntime-gpu 1.")
