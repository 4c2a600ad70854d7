"""Folders, clock, network and GPUs of the host that submits."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from e2edist.config.jobs import JobSpec
from e2edist.config.site import SiteSpec
from e2edist.pools import default_address, interface_address, interface_names, is_batch
from e2edist.process import expand_home

from . import Finding, run_command

_GIB = 1024**3
#: A campaign wants some room for its parts.
_LITTLE_GIB = 5.0
#: Certificates and the age of locks need clocks that agree about so well.
_SKEW_S, _WRONG_SKEW_S = 5.0, 120.0
_DASHBOARD_PORT = 8787


def nearest(folder: Path) -> Path:
    """Return the folder, or what of its path is there."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def check_folders(site: SiteSpec, output: Path) -> Iterator[Finding]:
    """Write into output and scratch folders, and compare the output's clock with ours."""
    writable = _folder("output", output)
    yield writable
    if writable.level != "fail":
        yield _clock(nearest(output))
    scratch = {}
    if site.inputs.scratch:
        scratch["input copies"] = Path(os.path.expandvars(site.inputs.scratch))
    for name, pool in site.pools.items():
        if is_batch(pool.kind):
            if pool.job.log_directory:
                yield _logs(name, expand_home(os.path.expandvars(pool.job.log_directory)))
            continue
        scratch[f"scratch of {name}"] = Path(tempfile.gettempdir())
    for topic, folder in scratch.items():
        yield _folder(topic, folder)


def _folder(topic: str, folder: Path) -> Finding:
    place = nearest(folder)
    try:
        with tempfile.NamedTemporaryFile(prefix=".e2edist-doctor-", dir=place) as stream:
            stream.write(b"0" * 4096)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        why = "is not a folder" if place.is_file() else f"can't be written ({error.strerror})"
        return Finding("fail", topic, f"{place} {why}", "Name a folder of yours that all nodes see.")
    free = shutil.disk_usage(place).free / _GIB
    text = f"{folder} writable, {free:,.1f} GiB free"
    if free < _LITTLE_GIB:
        return Finding("warn", topic, text, "Free some space, or choose another folder.")
    return Finding("ok", topic, text)


def _logs(name: str, folder: Path) -> Finding:
    """Look at a site's own folder for logs, of which submit makes the last part where it is missing."""
    if folder.parent.exists():
        return _folder(f"logs of {name}", folder)
    text = f"{folder} is not on this host, nor is {folder.parent}: submit would make both here"
    todo = f"Use a login node of the site, or set log_directory in [pools.{name}.job] to what nodes see."
    return Finding("warn", f"logs of {name}", text, todo)


def _clock(place: Path) -> Finding:
    before = time.time()
    with tempfile.NamedTemporaryFile(prefix=".e2edist-doctor-", dir=place) as stream:
        stream.write(b"0")
        stream.flush()
        after, theirs = time.time(), os.stat(stream.name).st_mtime  # noqa: PTH116 - a name only
    skew = max(before - theirs, theirs - after, 0.0)
    text = f"{skew:.1f} s between this host and the output's file system"
    todo = "Have the clocks set: certificates and locks rely on them."
    if skew > _WRONG_SKEW_S:
        return Finding("fail", "clock", text, todo)
    return Finding("warn", "clock", text, todo) if skew > _SKEW_S else Finding("ok", "clock", text)


def check_network(site: SiteSpec) -> Iterator[Finding]:
    """Open ports on the interfaces that workers will come to, and look for the dashboard's."""
    seen = set()
    for name, pool in site.pools.items():
        if not is_batch(pool.kind):
            continue
        interface = pool.job.scheduler_interface or pool.job.interface
        if (interface, pool.job.scheduler_ports) not in seen:
            seen.add((interface, pool.job.scheduler_ports))
            yield _interface(name, interface, pool.job)
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", _DASHBOARD_PORT))
            yield Finding("ok", "dashboard", f"port {_DASHBOARD_PORT} of loopback is free")
        except OSError:
            text = f"port {_DASHBOARD_PORT} of loopback is taken; submit names the one it finds"
            yield Finding("ok", "dashboard", text)


def check_gpus(site: SiteSpec) -> Iterator[Finding]:
    """List the GPUs of this host for pools that run here; jobs show theirs by the demo chunk."""
    for name, pool in site.pools.items():
        if pool.kind != "local" or pool.provider == "cpu":
            continue
        result = run_command(("nvidia-smi", "-L"))
        topic, lines = f"GPU of {name}", [line for line in result.out.splitlines() if line.startswith("GPU")]
        if result.code or not lines:
            todo = f'Set provider = "cpu" in [pools.{name}], or mend the driver.'
            yield Finding("fail", topic, f"none is seen: {result.last}", todo)
        else:
            yield Finding("ok", topic, f"{len(lines)} seen, {lines[0].split(' (UUID')[0]}")


def _interface(name: str, interface: str, job: JobSpec) -> Finding:
    topic = "network"
    try:
        address = interface_address(interface) if interface else default_address()
    except OSError:
        todo = (
            "Run it on a login node of the site; only if this is one, set scheduler_interface or interface "
            f"in [pools.{name}.job]: one of {', '.join(interface_names())}."
        )
        return Finding("fail", topic, f"this host has no interface {interface!r} with an address", todo)
    ports = range(job.scheduler_ports[0], job.scheduler_ports[1] + 1) if job.scheduler_ports else (0,)
    free = [port for port in ports if _opens(address, port)]
    where = f"{address} ({interface or 'default route'})"
    if not free:
        span = f"{job.scheduler_ports[0]}-{job.scheduler_ports[1]}" if job.scheduler_ports else "any port"
        return Finding("fail", topic, f"no port of {span} can be opened on {where}", "Use another host.")
    if address.startswith("127.") and job.scheduler_interface != "lo" and job.interface != "lo":
        todo = f"Set interface in [pools.{name}.job] if workers are on other hosts."
        return Finding("warn", topic, f"the scheduler would listen on {where} only", todo)
    count = f"{len(free)} of {len(ports)} ports free" if job.scheduler_ports else "ports can be opened"
    return Finding("ok", topic, f"{where}, {count}")


def _opens(address: str, port: int) -> bool:
    """Return whether a port can be listened to, and reached from this host at least."""
    try:
        with (
            socket.create_server((address, port)) as server,
            socket.create_connection(server.getsockname(), timeout=5),
        ):
            return True
    except OSError:
        return False
