"""``controller.json``: where the controller of a detached campaign was sent, so that others find it."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

from e2edist.config.controller import PROCESS
from e2edist.errors import OutputError
from e2edist.pools import batch_system
from e2edist.records.folder import CampaignFolder
from e2edist.storage.publish import publish


@dataclass(frozen=True, slots=True)
class ControllerRecord:
    """A controller that was started or submitted.

    Attributes
    ----------
    kind : str
        process, or the batch system.
    id : str
        Process or job number.
    host : str
        Where it was submitted; for a process, where it runs.
    token : str
        What identifies the controller in its heartbeat.
    born : int
        Start of the process in ticks of its host, as its number may be another's later; 0 for jobs.
    submitted : float
        Seconds since 1970.
    log : str
        What it prints.
    cancelled : bool
        Whether it was cancelled.
    """

    kind: str
    id: str
    host: str
    token: str
    born: int
    submitted: float
    log: str
    cancelled: bool = False

    @property
    def name(self) -> str:
        """What people call it."""
        if not self.is_job:
            return f"process {self.id}"
        return f"{batch_system(self.kind).title} job {self.id}"

    @property
    def is_job(self) -> bool:
        """Whether it is a job of a batch system."""
        return self.kind != PROCESS

    @property
    def process_lives(self) -> bool:
        """Whether it is a process of this host that runs."""
        return not self.is_job and self.host == platform.node() and birth(self.id) == self.born

    def write(self, folder: Path) -> None:
        """Write ``controller.json``."""
        with publish(CampaignFolder(folder).controller) as draft:
            draft.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")


def read_controller(folder: Path) -> ControllerRecord | None:
    """Return the controller of a folder, or None if it never had one.

    Raises
    ------
    OutputError
        The record can't be read.
    """
    path = CampaignFolder(folder).controller
    try:
        return ControllerRecord(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(str(path), f"can't be read ({error})", "Remove it if nothing runs.") from error


def birth(pid: int | str) -> int:
    """Return when a process of this host started, in ticks since boot; 0 if it is gone or a zombie."""
    if not Path("/proc/self/stat").exists():
        return _created(int(pid))
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # The name, in brackets, may hold spaces and brackets; the state comes behind it.
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] == "Z" else int(fields[19])


def _created(pid: int) -> int:
    """Return what `birth` does where there is no /proc, as on macOS: in milliseconds since 1970."""
    import psutil

    try:
        process = psutil.Process(pid)
        return 0 if process.status() == psutil.STATUS_ZOMBIE else int(process.create_time() * 1e3)
    except psutil.Error:
        return 0
