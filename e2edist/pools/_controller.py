"""The controller of a detached campaign as a batch job: what it runs, whatever the batch system."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from e2edist.config.controller import ControllerSpec
from e2edist.records.folder import CampaignFolder

from ._batch_commands import log_to
from ._containers import inner_exports, python_command


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
    def title(self) -> str:
        """Name of the job in the queue."""
        return f"e2e-ctrl-{re.sub(r'[^A-Za-z0-9._-]', '_', self.folder.name)}"

    @property
    def log(self) -> Path:
        """What it prints."""
        return CampaignFolder(self.folder).controller_log

    @property
    def script_path(self) -> Path:
        """Its script, where a batch system wants a file."""
        return CampaignFolder(self.folder).controller_script

    def commands(self) -> str:
        """Return the shell lines that become the controller: the job's first process gets the signals."""
        spec = self.spec
        # From a shell that is itself in a job or a container's prefix: the words come quoted already.
        command = python_command(spec.container, gpu=False)
        exports = [f"export {name}={shlex.quote(value)}" for name, value in sorted(self.environment.items())]
        lines = [f"cd {shlex.quote(self.cwd)}", *exports, *inner_exports(spec.container), *spec.prologue]
        return "\n".join([*lines, f"exec {command} {shlex.join(self.arguments)}", ""])

    def script(self) -> str:
        """Return a script that writes the log itself, for batch systems that would not append to it."""
        return f"#!/bin/bash\n{log_to(self.log)}\n{self.commands()}"

    def write_script(self) -> None:
        """Write `script` where the submit file names it."""
        self.script_path.write_text(self.script(), encoding="utf-8")
        self.script_path.chmod(0o700)  # a command line may hold what is nobody else's business
