"""The controller as a batch job: its script, its submit file, its submission."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from e2edist.config.controller import VACATE_S, ControllerSpec
from e2edist.errors import ResourceError

from ._containers import check_job_path, htcondor_attributes, literal, python_command
from ._job_supervisor import call

#: Of the controller, in the campaign's folder.
SCRIPT, JOB_LOG = ".controller.sh", "controller.log"
#: Variables that a batch system may not hand on, and without which another e2edist might start.
_HANDED_ON = (
    "PATH",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "X509_USER_PROXY",
    "SLURM_CONF",
    "CONDOR_CONFIG",
    "LD_LIBRARY_PATH",
)


@dataclass(frozen=True, slots=True)
class ControllerJob:
    """A controller that is to be submitted.

    Attributes
    ----------
    spec : ControllerSpec
    folder : Path
        Of the campaign, absolute.
    arguments : tuple of str
        Of ``python``.
    cwd : str
        Where it runs: paths on its command line may be relative.
    environment : dict
        Variables that it needs besides the site's.
    """

    spec: ControllerSpec
    folder: Path
    arguments: tuple[str, ...]
    cwd: str
    environment: dict[str, str]

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / JOB_LOG

    def script(self) -> str:
        """Return the shell script that becomes the controller: the job's first process gets the signals."""
        spec = self.spec
        # From a shell that is itself in a job or a container's prefix: the words come quoted already.
        command = python_command(spec.container, gpu=False)
        exports = [f"export {name}={shlex.quote(value)}" for name, value in sorted(self.environment.items())]
        lines = [f"cd {shlex.quote(self.cwd)}", *exports, *spec.prologue]
        return "\n".join([*lines, f"exec {command} {shlex.join(self.arguments)}", ""])

    def text(self) -> str:
        """Return what the batch system is given: a job script, or a submit file and its script."""
        if self.spec.kind == "slurm":
            return self._slurm()
        head = f"exec >>{shlex.quote(str(self.log))} 2>&1"
        return f"{self._condor()}\n#!/bin/bash\n{head}\n{self.script()}"

    def trial(self) -> str:
        """Return what the batch system can judge before there is a script of the controller."""
        if self.spec.kind == "slurm":
            return self._slurm()
        return self._condor().replace(f"{literal(str(self.folder))}/{SCRIPT}", "/bin/sh", 1)

    def _slurm(self) -> str:
        spec, name = self.spec, self.folder.name
        minutes = spec.walltime_min
        options = [
            f"--job-name=e2edist-controller-{_plain(name)}",
            *([f"--partition={spec.queue}"] if spec.queue else []),
            *([f"--account={spec.account}"] if spec.account else []),
            "--nodes=1",
            "--ntasks=1",
            f"--cpus-per-task={spec.cores}",
            f"--mem={round(spec.memory_gib * 1024)}M",
            f"--time={minutes // 60:02d}:{minutes % 60:02d}:00",
            f"--signal=B:TERM@{spec.notice_s}",
            f"--output={shlex.quote(str(self.log).replace('%', '%%'))}",
            "--open-mode=append",
            "--no-requeue",
        ]
        if spec.container.runtime == "shifter":
            options.append(f"--image={spec.container.image}")
        lines = [f"#SBATCH {option}" for option in (*options, *spec.directives)]
        return "\n".join(["#!/bin/bash", *lines, self.script()])

    def _condor(self) -> str:
        spec, folder = self.spec, literal(str(self.folder))
        lines = {
            "universe": "vanilla",
            "executable": f"{folder}/{SCRIPT}",
            "initialdir": literal(self.cwd),
            "request_cpus": str(spec.cores),
            "request_memory": f"{round(spec.memory_gib * 1024)}MB",
            "request_disk": f"{round(spec.disk_gib * 1024)}MB",
            "JobBatchName": f'"e2edist-controller-{_plain(self.folder.name)}"',
            "error": f"{folder}/controller.err",
            "log": f"{folder}/controller.condor.log",
            # It is asked to end and waited for, so that no worker job stays behind.
            "kill_sig": "SIGTERM",
            "want_graceful_removal": "true",
            "job_max_vacate_time": str(VACATE_S),
            "+MaxRuntime": str(spec.walltime_min * 60),
        }
        lines |= htcondor_attributes(spec.container) | spec.attributes
        return "\n".join([*(f"{key} = {value}" for key, value in lines.items()), "queue 1", ""])

    def submit(self) -> str:
        """Submit the job; return its id.

        Raises
        ------
        ResourceError
            The batch system is not there or refuses.
        """
        if self.spec.kind == "slurm":
            return call("sbatch", "--parsable", text=self._slurm()).strip().split(";")[0]
        path = self.folder / SCRIPT
        head = f"#!/bin/bash\nexec >>{shlex.quote(str(self.log))} 2>&1\n"
        path.write_text(head + self.script(), encoding="utf-8")
        path.chmod(0o700)  # a command line may hold what is nobody else's business
        # From stdin, as no file is named: a dash would be taken for -verbose.
        out = call("condor_submit", "-terse", text=self._condor())
        found = re.search(r"^(\d+\.\d+) - ", out, re.MULTILINE)
        if found is None:
            raise ResourceError("condor_submit", f"named no job: {out.strip()[:500]}")
        return found[1]


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


def handed_on(environment: dict[str, str]) -> dict[str, str]:
    """Return our own variables that the controller needs on another host, and `environment`."""
    return {name: os.environ[name] for name in _HANDED_ON if name in os.environ} | environment


def make_controller(
    spec: ControllerSpec, folder: Path, arguments: Sequence[str], environment: dict[str, str]
) -> ControllerJob:
    """Return the job of a controller that runs here, in this folder, as we do."""
    if spec.kind != "process":
        check_job_path(folder)
    return ControllerJob(spec, folder, tuple(arguments), str(Path.cwd()), handed_on(environment))
