"""The real onnxruntime-gpu on a machine without a GPU: a GPU pool says why it can't run, and runs nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from runs import ROOT, TIMEOUT_S, parts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
#: A folder with the wheel unpacked, so that 250 MB need not come over the network.
FOLDER = "E2EDIST_GPU_WHEEL"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Folder that holds onnxruntime-gpu, to go before site-packages on the path."""
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("there is a driver on this machine")
    if folder := os.environ.get(FOLDER):
        return Path(folder)
    if "gpuwheel" not in os.environ.get("E2EDIST_REQUIRE", "").split(","):
        pytest.skip(f"set E2EDIST_REQUIRE=gpuwheel to download onnxruntime-gpu, or {FOLDER} to its folder")
    folder = tmp_path_factory.mktemp("gpuwheel")
    install = ("-m", "pip", "install", "--no-deps", "--quiet", "--target", folder, "onnxruntime-gpu")
    subprocess.run([sys.executable, *install], check=True, timeout=600)
    return folder


def submit(wheel, cwd, *arguments):
    path = os.pathsep.join([str(wheel), str(ROOT)])
    command = [sys.executable, "-m", "e2edist.submit", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def site(folder, provider):
    text = f'name = "gpus"\n[pools.gpu]\nkind = "local"\nworkers = 1\nthreads = 1\nprovider = "{provider}"\n'
    (folder / "gpus.toml").write_text(text)
    return folder / "gpus.toml"


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
@pytest.mark.parametrize("images", ["dense", "sparse"])
def test_a_gpu_pool_without_a_gpu_fails_with_one_sentence_and_never_runs(
    wheel, events, model, tmp_path, provider, images
):
    file = site(tmp_path, provider)
    file.write_text(file.read_text() + f'images = "{images}"\n')
    done = submit(wheel, tmp_path, "--site", file, "--input", events, "--model", model, "--output", "out")
    assert done.returncode == 2, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("e2edist:")]
    assert len(said) == 1, done.stderr
    assert "no NVIDIA driver on this machine: libcuda.so.1 can't be loaded" in said[0]
    assert "Traceback" not in done.stderr + done.stdout
    assert parts(tmp_path / "out") == []


def test_the_same_build_runs_a_cpu_pool_and_says_so_in_the_receipts(wheel, events, model, tmp_path):
    from runs import receipts

    done = submit(
        wheel,
        tmp_path,
        "--site",
        site(tmp_path, "cpu"),
        "--input",
        events,
        "--model",
        model,
        "--output",
        "out",
    )
    assert done.returncode == 0, done.stderr
    for receipt in receipts(tmp_path / "out"):
        assert receipt["engine"]["provider"] == "CPUExecutionProvider"
        assert receipt["engine"]["build"].startswith("onnxruntime-gpu 1.")
