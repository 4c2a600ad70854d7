"""ONNX Runtime sessions on the provider that was asked for, or an error with the reason."""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from e2edist.config.model_files import model_files
from e2edist.errors import DeviceError, ModelError
from e2edist.process import writable_cache

from . import _device_facts, _node_placement
from ._runtime import load_error, runtime, session_options
from .api import EngineOptions

log = logging.getLogger(__name__)

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
#: Folder of engines that TensorRT built, else below ~/.cache.
CACHE = "E2EDIST_CACHE"


def open_session(model: str | bytes, path: str, options: EngineOptions) -> Any:
    """Return a session on `options.provider`, whatever else this machine could run it on.

    Parameters
    ----------
    model : str or bytes
        The file, or its content.
    path : str
        The file, for errors.

    Raises
    ------
    DeviceError
        The provider can't be used here: says which of build, driver, device and library is missing.
    ModelError
        The model does not load.
    """
    ort, provider = runtime(), PROVIDERS[options.provider]
    on_cpu = options.provider == "cpu"
    if not on_cpu:
        _check_device(provider, ort)
    settings = session_options(options.threads)
    settings.add_session_config_entry(*_node_placement.RECORD)
    try:
        session = ort.InferenceSession(
            model,
            settings,
            providers=provider_settings(options, path),
            # Else a call that fails on the device is run on the CPU from then on, with a line on stdout.
            enable_fallback=0,
        )
    except Exception as error:  # onnxruntime's errors have no common class of their own
        raise load_error(path, error) from error
    ran = session.get_providers()[0]
    if ran != provider:  # none of the known reasons, and still it fell back
        _check_device(provider, ort)
        raise DeviceError(provider, f"the model would run on {ran}")
    if not on_cpu and (why := _node_placement.no_nodes_on(_node_placement.placement(session), provider)):
        raise ModelError(path, why, "Run it on the CPU, or export it with operators that the provider has.")
    return session


def _check_device(provider: str, ort: Any) -> None:
    why, todo = _device_facts.why_unusable(provider, ort)
    if why:
        raise DeviceError(provider, why, todo)


def provider_settings(options: EngineOptions, path: str) -> list[tuple[str, dict[str, str]]]:
    """Return the providers of a session and their settings, the wanted one first."""
    cuda = {
        "use_tf32": str(int(options.tf32)),  # on by default on A100, and then scores differ from the CPU's
        "cudnn_conv_algo_search": options.conv_search.upper(),  # EXHAUSTIVE searches anew for each shape
        "arena_extend_strategy": "kSameAsRequested",  # several workers share a GPU's memory
    }
    if options.provider == "cpu":
        return [(PROVIDERS["cpu"], {})]
    if options.provider == "cuda":
        return [(PROVIDERS["cuda"], cuda)]
    # TensorRT reads this when it starts; onnxruntime has no setting for it. A user's own decides no number.
    os.environ["NVIDIA_TF32_OVERRIDE"] = str(int(options.tf32))
    trt = {"trt_fp16_enable": "False"}
    folder = engine_folder(path)
    if folder is not None:  # building takes minutes
        for kind in ("engine", "timing"):
            trt |= {f"trt_{kind}_cache_enable": "True", f"trt_{kind}_cache_path": str(folder)}
    return [(PROVIDERS["tensorrt"], trt), (PROVIDERS["cuda"], cuda)]


def engine_folder(path: str) -> Path | None:
    """Return the folder of TensorRT engines of a model on this machine's device and runtime.

    They fit one kind of device, one release and one model only, so all three are in its name. None where
    no folder can be written: each process builds its own.
    """
    facts = _device_facts.device_facts(PROVIDERS["tensorrt"], runtime())
    model = model_files(path).identity[:16]
    kind = re.sub(r"\W+", "-", f"{facts['device']} {facts['build']}").strip("-")
    chosen = os.environ.get(CACHE)
    return writable_cache(f"tensorrt/{kind}/{model}", chosen and f"{chosen}/tensorrt/{kind}/{model}")


def tf32(options: EngineOptions) -> str:
    """Return whether a GPU rounds to TF32, on or off: NVIDIA's variable stands above all settings."""
    if options.provider == "cpu" or os.environ.get("NVIDIA_TF32_OVERRIDE") == "0":
        return "off"
    # TensorRT has no other switch than the variable.
    return "on" if options.tf32 or options.provider == "tensorrt" else "off"


@contextmanager
def engine_build_lock(path: str, options: EngineOptions) -> Iterator[None]:
    """Let one process of a node build TensorRT engines while the others wait to read them."""
    if options.provider != "tensorrt":
        yield
        return
    _check_device(PROVIDERS["tensorrt"], runtime())
    folder = engine_folder(path)
    with ExitStack() as held:
        try:
            if folder is not None:
                lock = held.enter_context((folder / ".lock").open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:  # full, or without locks: they are built more than once
            log.warning("engines of TensorRT are not shared in %s: %s", folder, error.strerror)
        yield
