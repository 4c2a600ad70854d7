"""NVIDIA's driver library by ctypes: what devices there are, and host memory that they can read at once.

No Python package of CUDA is needed for it, and nothing is loaded before it is asked for. NVIDIA's
management library (nvidia-ml-py) would not do: it counts the devices of the host, whatever
CUDA_VISIBLE_DEVICES shows to this process, is not in containers that are started for computing only,
and pins no memory.
"""

from __future__ import annotations

import ctypes
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from e2edist.imaging.event_batch import Array

LIBRARY = "libcuda.so.1"
#: Where the kernel module has its release, inside containers too.
MODULE = Path("/proc/driver/nvidia/version")
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
_PORTABLE = 1  # CU_MEMHOSTREGISTER_PORTABLE: pinned for all contexts
_NAME_BYTES = 256


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU as the driver shows it to this process.

    Attributes
    ----------
    name, uuid : str
        Such as NVIDIA A100-SXM4-40GB, GPU-....
    capability : int
        Compute capability, 80 for 8.0.
    driver : str
        Release of the kernel module; empty where it is not known.
    cuda : int
        Newest CUDA that the driver runs, 12040 for 12.4.
    """

    name: str
    uuid: str
    capability: int
    driver: str
    cuda: int


class DriverError(Exception):
    """The driver is not there, or shows no device."""


def module_version() -> str:
    """Return the release of the kernel module, empty without one."""
    with suppress(OSError):
        found = re.search(r"(\d+\.\d+(?:\.\d+)?)\s", MODULE.read_text(encoding="utf-8"))
        return found[1] if found else ""
    return ""


def find_device(index: int = 0) -> Device:
    """Return a device by its number among those that this process may use.

    Raises
    ------
    DriverError
        No driver, or no such device.
    """
    driver = _driver()
    count, handle, version = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    _call(driver, "cuDeviceGetCount", ctypes.byref(count))
    if count.value <= index:
        raise DriverError(f"the driver shows {count.value} devices")
    _call(driver, "cuDeviceGet", ctypes.byref(handle), index)
    _call(driver, "cuDriverGetVersion", ctypes.byref(version))
    name, raw = ctypes.create_string_buffer(_NAME_BYTES), (ctypes.c_ubyte * 16)()
    _call(driver, "cuDeviceGetName", name, _NAME_BYTES, handle)
    _call(driver, "cuDeviceGetUuid", ctypes.byref(raw), handle)
    major, minor = ctypes.c_int(), ctypes.c_int()
    for value, attribute in ((major, _MAJOR), (minor, _MINOR)):
        _call(driver, "cuDeviceGetAttribute", ctypes.byref(value), attribute, handle)
    uuid = f"GPU-{UUID(bytes=bytes(raw))}"
    return Device(name.value.decode(), uuid, 10 * major.value + minor.value, module_version(), version.value)


def pin(array: Array) -> bool:
    """Pin the memory of an array, so that copies to a device need no second one; return whether it is.

    The array must live as long as the process. Without success it works as well, only slower.
    """
    try:
        driver, context, device = _driver(), ctypes.c_void_p(), ctypes.c_int()
        _call(driver, "cuDeviceGet", ctypes.byref(device), 0)
        _call(driver, "cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        _call(driver, "cuCtxSetCurrent", context)
        size = ctypes.c_size_t(array.nbytes)
        _call(driver, "cuMemHostRegister_v2", ctypes.c_void_p(array.ctypes.data), size, _PORTABLE)
    except DriverError:
        return False
    return True


def page_aligned(shape: tuple[int, ...], dtype: str) -> Array:
    """Return an array of zeros on memory pages of its own, as pinning wants it."""
    page = 4096
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 2 * page, np.uint8)
    first = -raw.ctypes.data % page
    return raw[first : first + size].view(dtype).reshape(shape)


def _driver() -> Any:
    try:
        driver = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise DriverError(str(error)) from error
    _call(driver, "cuInit", 0)
    return driver


def _call(driver: Any, function: str, *arguments: Any) -> None:
    code = getattr(driver, function)(*arguments)
    if code:
        text = ctypes.c_char_p()
        driver.cuGetErrorString(code, ctypes.byref(text))
        why = text.value.decode() if text.value else "unknown error"
        raise DriverError(f"{function} answers {code}, {why}")
