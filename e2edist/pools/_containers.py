"""Container runtimes: from an image to the command line that starts Python in it. Pure functions."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from e2edist.config.jobs import BATCH_RUNTIMES, ContainerSpec, JobSpec
from e2edist.errors import ConfigError


def _options(flag: str, values: list[str]) -> list[str]:
    return [part for value in values for part in (flag, shlex.quote(value))]


def _env(spec: ContainerSpec) -> list[str]:
    return [f"{name}={value}" for name, value in spec.env.items()]


def _shifter(spec: ContainerSpec, *, gpu: bool) -> list[str]:
    modules = spec.modules or (("gpu",) if gpu else ())
    words = ["shifter", f"--image={shlex.quote(spec.image)}"]
    words += [f"--module={','.join(modules)}"] if modules else []
    words += [f"--volume={shlex.quote(bind)}" for bind in spec.binds]
    return words + [f"--env={shlex.quote(item)}" for item in _env(spec)]


def _podman_hpc(spec: ContainerSpec, *, gpu: bool) -> list[str]:
    words = ["podman-hpc", "run", "--rm", *(["--gpu"] if gpu else []), "--net", "host", "--ipc=host"]
    # Unlike the others it passes no variable on by itself.
    words += ["-e", "CUDA_VISIBLE_DEVICES"] if gpu else []
    return [*words, *_options("-v", list(spec.binds)), *_options("-e", _env(spec)), shlex.quote(spec.image)]


def _apptainer(spec: ContainerSpec, *, gpu: bool) -> list[str]:
    # No --cleanenv: it would drop CUDA_VISIBLE_DEVICES.
    words = ["apptainer", "exec", *(["--nv"] if gpu else [])]
    return [
        *words,
        *_options("--bind", list(spec.binds)),
        *_options("--env", _env(spec)),
        shlex.quote(spec.image),
    ]


_PREFIXES: dict[str, Callable[..., list[str]]] = {
    "shifter": _shifter,
    "podman-hpc": _podman_hpc,
    "apptainer": _apptainer,
}


def python_command(spec: ContainerSpec, *, gpu: bool) -> str:
    """Return the shell words that start Python inside the container of `spec`.

    Parameters
    ----------
    gpu : bool
        Whether the container needs the host's GPU driver.
    """
    prefix = _PREFIXES.get(spec.runtime)
    if prefix is not None:
        return " ".join([*prefix(spec, gpu=gpu), spec.python or "python3"])
    inside = spec.runtime != "none"
    return spec.python or ("python3" if inside else shlex.quote(sys.executable))


def inner_exports(spec: ContainerSpec) -> list[str]:
    """Return the shell lines that set a container's variables where the batch system starts the image.

    The others have them as options of their commands.
    """
    if spec.runtime not in BATCH_RUNTIMES:
        return []
    return [f"export {name}={shlex.quote(value)}" for name, value in spec.env.items()]


def worker_command(container: ContainerSpec, job: JobSpec, name: str, *, gpu: bool, rank: str = "") -> str:
    """Return the shell words that stand before ``-m e2edist.pools._worker`` in a job.

    The worker takes the place of the job's shell, so that it gets the batch system's signals and can
    hand back its chunks. Several workers in a job get their names and GPUs in a shell of each. `name` is
    shell text too.

    Parameters
    ----------
    rank : str
        Variable that tells the workers of a job apart, where the batch system has launchers.
    """
    python = python_command(container, gpu=gpu)
    if job.visible_gpus:
        python = f"env CUDA_VISIBLE_DEVICES={job.visible_gpus} {python}"
    if not job.launcher:
        return f"exec {python}"
    # The last of several --name counts.
    each = f'exec {python} "$@" --name "$0.${rank}"'
    return f"exec {job.launcher} sh -c {shlex.quote(each)} {name}"


def check_job_path(path: Path) -> None:
    """Refuse a path with a line break: in a job script it would end its line.

    Raises
    ------
    ConfigError
        It has one.
    """
    if any(mark in str(path) for mark in "\n\r"):
        what = f"{str(path)!r} holds a line break, which a job script can't"
        raise ConfigError("--output", what, "Choose another --output.")
