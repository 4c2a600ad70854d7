"""The state of a campaign, from its folder, and from the queue if its controller is a job."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from e2edist.accounting.folder_counts import FolderCounts, count_folder
from e2edist.campaign.heartbeat import INTERVAL_S
from e2edist.campaign.heartbeat_record import HeartbeatRecord, read_heartbeat
from e2edist.errors import E2EError
from e2edist.pools import batch_system
from e2edist.records.folder import CampaignFolder
from e2edist.records.folder_checks import no_campaign
from e2edist.records.lock import Holder, find_holder

from .controller_record import ControllerRecord, read_controller

#: A heartbeat that is older is reported.
SILENT_S = 15 * INTERVAL_S
#: A heartbeat that is older makes us ask the queue.
_PAUSE_S = 5 * INTERVAL_S
#: States in which a controller is there or will be.
UNDER_WAY = ("queued", "starting", "running", "finishing")


@dataclass(frozen=True, slots=True)
class State:
    """A campaign as it stands.

    Attributes
    ----------
    state : str
        planned: never started. queued: the controller waits for its turn. starting: a driver is there and
        gives out nothing yet. running: chunks are given out. finishing: the driver closes its pools and
        files. done: every chunk has ended. stopped: ended in good order before all were done.
        failed: ended by an error. died: the driver was killed.
    why : str
        What is known besides.
    counts : FolderCounts
    heartbeat : HeartbeatRecord or None
        Of the latest run, None before the first.
    controller : ControllerRecord or None
        Only if the latest run is or was its own.
    holder : Holder or None
        Who works on it now.
    quality : dict
        ``quality.json`` of the latest run that ended, empty before.
    """

    state: str
    why: str
    counts: FolderCounts
    heartbeat: HeartbeatRecord | None = None
    controller: ControllerRecord | None = None
    holder: Holder | None = None
    quality: dict[str, Any] = field(default_factory=dict)

    @property
    def under_way(self) -> bool:
        """Whether a driver works on it, or will without anybody's doing."""
        return self.state in UNDER_WAY

    @property
    def silent_s(self) -> float:
        """Seconds since the last heartbeat of a running driver, if longer than usual; else 0."""
        silent = time.time() - (self.heartbeat.updated if self.heartbeat else 0.0)
        return silent if self.state == "running" and silent > SILENT_S else 0.0

    @property
    def warnings(self) -> list[str]:
        """What looks wrong with scores and inputs: of the current run, else of the whole campaign."""
        if self.under_way:
            return list(self.heartbeat.progress.warnings) if self.heartbeat else []
        return [str(line) for line in self.quality.get("warnings", [])]

    def facts(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        counts = asdict(self.counts) | {
            "events_failed": self.counts.events_failed,
            "complete": self.counts.complete,
        }
        return {
            "state": self.state,
            "why": self.why,
            "under_way": self.under_way,
            "counts": counts,
            "heartbeat": self.heartbeat.facts() if self.heartbeat else None,
            "silent_s": round(self.silent_s, 1),
            "warnings": self.warnings,
            "controller": asdict(self.controller) if self.controller else None,
            "driver": asdict(self.holder) if self.holder else None,
        }


def read_state(folder: Path, *, ask_queue: bool = True) -> State:
    """Return how a campaign stands.

    Parameters
    ----------
    ask_queue : bool
        Whether to ask the batch system for a controller that is not seen to run.

    Raises
    ------
    OutputError
        The folder holds no campaign, or what it holds can't be read.
    """
    # The driver first: one that ends while we read must not pass for one that died half-way.
    holder, beat, record = find_holder(folder), read_heartbeat(folder), read_controller(folder)
    counts = count_folder(folder)
    if counts is None:
        raise no_campaign(folder)
    if record is not None and not _is_latest(record, beat):
        record = None
    if record is not None and beat is not None and beat.controller != record.token:
        beat = None  # of an earlier run
    if holder is not None and not holder.here and ask_queue and _job_is_gone(record, beat):
        holder = None  # a lock of another host looks held for a while after its end
    if holder is not None:
        return State(*_state_with_driver(holder, beat), counts, beat, record, holder)
    found = _state_without_driver(counts, beat, record, ask_queue=ask_queue)
    return State(*found, counts, beat, record, quality=_read(CampaignFolder(folder).quality))


def _job_is_gone(record: ControllerRecord | None, beat: HeartbeatRecord | None) -> bool:
    """Return whether a driver without heartbeat was a job that has left its queue."""
    if record is None or not record.is_job:
        return False
    if beat is not None and time.time() - beat.updated < _PAUSE_S:
        return False
    try:
        return not batch_system(record.kind).states([record.id])
    except E2EError:
        return False


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # shown a moment later; the counts do not come from here
        return {}
    return found if isinstance(found, dict) else {}


def _is_latest(record: ControllerRecord, beat: HeartbeatRecord | None) -> bool:
    """Return whether the last run was the controller's; a plain submit may have followed it."""
    return beat is None or beat.controller == record.token or beat.started < record.submitted


def _state_with_driver(holder: Holder, beat: HeartbeatRecord | None) -> tuple[str, str]:
    if beat is None or (beat.host, beat.pid) != (holder.host, holder.pid):
        return "starting", ""
    return ("running", "") if beat.state == "running" else ("finishing", "")


def _state_without_driver(
    counts: FolderCounts, beat: HeartbeatRecord | None, record: ControllerRecord | None, *, ask_queue: bool
) -> tuple[str, str]:
    """Return state and reason of a campaign that nobody works on."""
    if record is not None and beat is None:
        waiting = _state_of_queued(record, ask_queue=ask_queue)
        if waiting:
            return waiting
    if counts.complete:
        return "done", ""
    if record is not None and record.cancelled:
        return "stopped", "cancelled"
    if record is not None and beat is None:
        return "failed", f"{record.name} ended before it began:\n{_tail(Path(record.log))}"
    if beat is None:
        return ("stopped", "") if counts.parts or counts.failed else ("planned", "")
    return _state_after_run(beat)


def _state_after_run(beat: HeartbeatRecord) -> tuple[str, str]:
    if beat.state == "failed":
        return "failed", beat.error
    if beat.state == "running":
        where = f"pid {beat.pid} on {beat.host}"
        return "died", f"its driver ({where}) was killed, its host is gone, or it could not write here"
    return "stopped", ""


def _state_of_queued(record: ControllerRecord, *, ask_queue: bool) -> tuple[str, str] | None:
    """Return what a controller that has not begun waits for, or None if it is gone."""
    if not record.is_job:
        return ("starting", "") if record.process_lives else None
    if not ask_queue:
        return "queued", "as far as is known: its queue was not asked"
    try:
        state = batch_system(record.kind).states([record.id]).get(record.id)
    except E2EError as error:
        return "queued", f"as far as is known: {error}"
    if state in ("running", "ending"):
        return ("starting" if state == "running" else "finishing"), ""
    if state is None or state == "queued":
        return ("queued", "") if state else None
    return "queued", state.replace("queued", batch_system(record.kind).title, 1)  # or held, and why


def _tail(path: Path, lines: int = 10) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        text = []
    return "\n".join(text[-lines:]) or "it wrote no log"
