"""Proof of device: what a model runs on, and why it can't run on what was asked for.

ONNX Runtime falls back to the CPU with one line in a log; here that is an error with
its reason, found in the order in which things are missing: build, driver, device, libraries.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import platform
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from e2edist.install_hint import pip_install

from . import _cuda
from ._runtime import first_line

#: ONNX Runtime releases from here on -> (CUDA major, oldest compute capability of their kernels).
BUILDS = {(1, 28): (13, 75), (0, 0): (12, 60)}
#: Oldest drivers that run a CUDA major: what to ask an administrator for.
_DRIVERS = {12: "525", 13: "580"}
_LIBRARIES = {
    "CUDAExecutionProvider": "libonnxruntime_providers_cuda.so",
    "TensorrtExecutionProvider": "libonnxruntime_providers_tensorrt.so",
}
_OLD_CARDS = "take onnxruntime-gpu 1.26 or older (CUDA 12)"


def build_requirements(release: str) -> tuple[int, int]:
    """Return the CUDA major and the oldest compute capability (75 for 7.5) of an onnxruntime-gpu release."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", release)[:2])
    return next(found for first, found in BUILDS.items() if numbers >= first)


def why_unusable(provider: str, runtime: Any) -> tuple[str, str]:
    """Return why a GPU provider can't be used here, and what to do; empty texts if nothing is known.

    Parameters
    ----------
    provider : str
        Name of ONNX Runtime for it.
    runtime : module
        onnxruntime.
    """
    if provider not in runtime.get_available_providers():
        both = {installed_release("onnxruntime"), installed_release("onnxruntime-gpu")}
        what = f"this onnxruntime has no {provider}: {runtime.__version__} is the CPU build"
        if "" not in both:
            what = "onnxruntime and onnxruntime-gpu are both installed and break each other"
        return what, f"Run pip uninstall onnxruntime, then {pip_install('gpu')}."
    return _driver_fault(runtime.__version__) or _library_fault(provider, runtime) or ("", "")


def _driver_fault(release: str) -> tuple[str, str] | None:
    try:
        device = _cuda.find_device()
    except _cuda.DriverError as error:
        module = _cuda.module_version()
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if _cuda.LIBRARY not in str(error):
            seen = "" if visible is None else f" with CUDA_VISIBLE_DEVICES={visible!r}"
            return f"no usable GPU: {error}{seen}", "Ask the site for a job with a GPU."
        if module:
            what = f"the NVIDIA driver {module} is on this host, but {_cuda.LIBRARY} is not in this container"
            return what, "Start the container with its GPU option (--nv, --gpus, --module=gpu)."
        what = f"no NVIDIA driver on this machine: {_cuda.LIBRARY} can't be loaded"
        return what, 'Run on a node with a GPU, or set provider = "cpu" in the site file.'
    major, oldest = build_requirements(release)
    have = f"{device.name} has compute capability {device.capability / 10}"
    if device.capability < oldest:
        todo = f"Older cards: {_OLD_CARDS}." if oldest > 60 else "Use another GPU."
        return f"{have}, onnxruntime-gpu {release} has kernels from {oldest / 10} on", todo
    if device.cuda // 1000 < major:
        runs = f"{device.cuda // 1000}.{device.cuda % 1000 // 10}"
        what = f"the driver {device.driver} runs CUDA {runs}, onnxruntime-gpu {release} needs {major}"
        return what, f"It needs driver {_DRIVERS[major]} or newer; else {_OLD_CARDS}."
    return None


def _library_fault(provider: str, runtime: Any) -> tuple[str, str] | None:
    preload(runtime)
    path = Path(runtime.__file__).parent / "capi" / _LIBRARIES[provider]
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        # The provider's own symbols come from the runtime; what is missing otherwise is a file.
        if "undefined symbol" in str(error):
            return None
        todo = f"Install the libraries: {pip_install('gpu')}"
        more = ", and TensorRT: pip install tensorrt" if "nvinfer" in str(error) else ""
        return f"a library of {provider} is missing: {first_line(error)}", f"{todo}{more}."
    return None


def preload(runtime: Any) -> str:
    """Load the CUDA and cuDNN libraries that pip installed; return what onnxruntime prints about it."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(Exception):
        runtime.preload_dlls()
    return printed.getvalue()


def device_facts(provider: str, runtime: Any) -> dict[str, str]:
    """Return build, device, uuid and driver, for the receipt of each part."""
    facts = {"engine": f"onnxruntime {runtime.__version__}", "build": _build(runtime)}
    if provider == "CPUExecutionProvider":
        return facts | {"device": processor()}
    try:
        device = _cuda.find_device()
    except _cuda.DriverError as error:  # a build that finds its device by itself
        return facts | {"device": provider, "driver": str(error)}
    shown = device.driver or f"for CUDA {device.cuda // 1000}.{device.cuda % 1000 // 10}"
    capability = str(device.capability / 10)
    return facts | {"device": device.name, "uuid": device.uuid, "capability": capability, "driver": shown}


@cache
def processor() -> str:
    """Return the name of this machine's CPU."""
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE):
            return found[1].strip()
    return platform.processor() or platform.machine()


def _build(runtime: Any) -> str:
    name = "onnxruntime-gpu" if installed_release("onnxruntime-gpu") else "onnxruntime"
    cuda = getattr(runtime, "cuda_version", "") or ""
    return f"{name} {runtime.__version__}" + (f", CUDA {cuda}" if cuda else "")


def installed_release(package: str) -> str:
    """Return the release of an installed package, empty without it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
