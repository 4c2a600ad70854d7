"""Container images: whether runtime and image are there, and the same software inside as outside."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from e2edist import __version__
from e2edist.config.jobs import ContainerSpec
from e2edist.config.site import SiteSpec
from e2edist.install_hint import checkout
from e2edist.pools import image_of, python_command

from . import Finding, run_command

#: Both ends of a connection must have the same; the others may differ in what does not matter.
_SAME = ("e2edist", "dask", "distributed", "cloudpickle", "msgpack", "tornado")
_CODE = """
import json, platform
from importlib.metadata import PackageNotFoundError, version
found = {"python": platform.python_version()}
for name in %r:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        found[name] = ""
try:
    from e2edist import __version__
    found["e2edist"] = __version__
except ImportError:
    pass
print("\\n" + json.dumps(found))
"""
_BINARIES = {"shifter": ("shifter", "shifterimg"), "podman-hpc": ("podman-hpc",), "apptainer": ("apptainer",)}
#: A first listing of a cold cache may take that long; jobs wait for it too.
_SLOW_S = 30.0


def check_images(site: SiteSpec) -> Iterator[Finding]:
    """Look at the image of each pool, or at its Python where that is another one, once each."""
    seen = set()
    for name, pool in site.pools.items():
        spec = pool.container
        key = spec.runtime, spec.image, spec.python
        if key in seen or (spec.runtime == "none" and not spec.python):
            continue
        seen.add(key)
        if spec.runtime == "none":  # a Python of the site's own
            yield _versions(name, spec)
            continue
        missing = [word for word in _BINARIES.get(spec.runtime, ()) if shutil.which(word) is None]
        if missing:
            todo = "Load the site's module, or choose another runtime."
            yield Finding("fail", f"image of {name}", f"there is no {', '.join(missing)} here", todo)
            continue
        present = _present(name, spec)
        yield present
        if present.level != "fail" and spec.runtime in _BINARIES:
            yield _versions(name, spec)


def _present(name: str, spec: ContainerSpec) -> Finding:
    """See whether the image is there, with the time that one look takes."""
    topic, path = f"image of {name}", Path(spec.image)
    began = time.monotonic()
    if spec.runtime == "shifter":
        result = run_command(("shifterimg", "lookup", spec.image))
        fault = result.last if result.code else ""
        todo = f"Run shifterimg pull {spec.image}."
    elif spec.runtime == "podman-hpc":
        result = run_command(("podman-hpc", "image", "exists", spec.image))
        fault = "it is not here" if result.code else ""
        todo = f"Run podman-hpc pull {spec.image} and podman-hpc migrate {spec.image}."
    elif "://" in spec.image:
        text = f"{spec.image} is pulled by each job"
        return Finding("warn", topic, text, "Build a SIF file once, and name that.")
    else:
        fault = _fault_of(path)
        todo = "Name a SIF file or an unpacked tree, as under /cvmfs/unpacked.cern.ch; mind its spelling."
    seconds = time.monotonic() - began
    if fault:
        return Finding("fail", topic, f"{spec.image}: {fault}", todo)
    if seconds > _SLOW_S:
        todo = "A cold cache: start few workers first, and raise job.death_timeout_s."
        return Finding("warn", topic, f"{image_of(spec)} seen in {seconds:.1f} s", todo)
    return Finding("ok", topic, f"{image_of(spec)} seen in {seconds:.2f} s")


def _fault_of(path: Path) -> str:
    try:
        if path.is_dir():
            return "" if list(path.iterdir()) else "the folder is empty"
        if not path.exists():
            return "there is no such file"
        if not os.access(path, os.R_OK):
            return "it can't be read"
    except OSError as error:
        return str(error.strerror)
    if shutil.which("apptainer"):
        result = run_command(("apptainer", "inspect", str(path)))
        return result.last if result.code else ""
    return ""


def ours() -> dict[str, str]:
    """Return our own versions of what must be the same inside and outside."""
    found = {"python": platform.python_version()}
    for name in _SAME:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found | {"e2edist": __version__}


def _versions(name: str, spec: ContainerSpec) -> Finding:
    topic = f"versions in {name}"
    result = run_command(("sh", "-c", f'{python_command(spec, gpu=False)} -c "$0"', _CODE % (_SAME,)))
    try:
        theirs = json.loads(result.out.strip().splitlines()[-1]) if result.code == 0 else {}
    except (ValueError, IndexError):
        theirs = {}
    if not theirs:
        text = f"its Python does not run here: {result.last}"
        return Finding("fail", topic, text, "Set container.python, or build the image anew.")
    mine = ours()
    other = [
        f"{key} {theirs.get(key) or 'none'} inside, {mine[key]} outside"
        for key in mine
        if _main(key, theirs.get(key, "")) != _main(key, mine[key])
    ]
    if other:
        return Finding("fail", topic, "; ".join(other), _same_todo(theirs, mine))
    return Finding("ok", topic, f"the same inside and outside, seen in {result.seconds:.1f} s")


def _same_todo(theirs: dict[str, str], mine: dict[str, str]) -> str:
    """Return how both sides become the same."""
    here = f"e2edist {mine['e2edist']} and Python {_main('python', mine['python'])}"
    inside = "build it anew"
    if _main("python", theirs.get("python", "")) != _main("python", mine["python"]):
        inside = f"use Python {_main('python', theirs.get('python', ''))} out here"
    elif theirs.get("e2edist") not in ("", None, mine["e2edist"]):
        inside = f"install e2edist {theirs['e2edist']} out here"
    else:
        others = [f"{x}=={theirs[x]}" for x in _SAME if theirs.get(x) and theirs[x] != mine.get(x)]
        if others:
            inside = f"install the versions inside out here: pip install {' '.join(others)}"
    sources = checkout()
    build = f"{sources}/containers/build" if sources else "containers/build of the sources"
    return f"Name an image with {here} ({build} makes one), or {inside}."


def _main(name: str, text: str) -> str:
    """Return what of a version must agree: of Python the first two numbers."""
    return ".".join(text.split(".")[:2]) if name == "python" else text
