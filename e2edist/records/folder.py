"""The files of a campaign's output folder: their names, their meaning, and which of them may be removed.

Imports next to nothing, so that looking at a folder takes no time.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from .chunk import is_chunk_id


class FolderEntry:
    """A file or folder of an output folder; as an attribute of one (`CampaignFolder`) it is its path.

    Parameters
    ----------
    meaning : str
        What it holds.
    kept : bool
        Whether it stays when the campaign is cleared.
    """

    def __init__(self, name: str, meaning: str, *, kept: bool = False) -> None:
        self.name, self.meaning, self.kept = name, meaning, kept

    @overload
    def __get__(self, folder: None, owner: type) -> FolderEntry: ...

    @overload
    def __get__(self, folder: OutputFolder, owner: type) -> Path: ...

    def __get__(self, folder: OutputFolder | None, owner: type) -> FolderEntry | Path:
        return self if folder is None else folder.path / self.name


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """A folder that e2edist writes, with the path of each of its files."""

    path: Path

    @classmethod
    def entries(cls) -> list[FolderEntry]:
        """Return all that may be written there."""
        return [entry for entry in vars(cls).values() if isinstance(entry, FolderEntry)]


@dataclass(frozen=True, slots=True)
class AggregatedFolder(OutputFolder):
    """The folder that ``aggregate`` writes."""

    table = FolderEntry("table", "all rows, sorted, in a few Parquet files")
    friends = FolderEntry("friends", "a friend tree for each input file")
    timing = FolderEntry("timing.parquet", "time by chunk and module")
    losses = FolderEntry("bad.parquet", "skipped files and entries that were given up, and why")
    lumis = FolderEntry(
        "processed_lumis.json", "luminosity blocks of the events that are done, where all are known"
    )
    datasets = FolderEntry("datasets.json", "sums by dataset, with its metadata; where the inputs name any")
    summary = FolderEntry("summary.json", "sums, written last: where it is, everything is")


@dataclass(frozen=True, slots=True)
class CampaignFolder(OutputFolder):
    """The output folder of a campaign."""

    plan = FolderEntry("plan.json", "the plan, frozen before any work starts")
    ledger = FolderEntry("ledger.jsonl", "what is done and what was given up, one JSON object a line")
    predictions = FolderEntry("predictions", "the parts: one Parquet file for each chunk", kept=True)
    timing = FolderEntry("timing.parquet", "time by chunk and module")
    losses = FolderEntry("bad.parquet", "skipped files and entries that were given up, and why")
    quality = FolderEntry("quality.json", "what scores and inputs look like, and their drift")
    heartbeat = FolderEntry("progress.json", "state of the latest run, written every two seconds")
    usage = FolderEntry("usage.jsonl", "what the jobs occupied, and when, one JSON object a line")
    submitted_jobs = FolderEntry("jobs.jsonl", "batch jobs that were submitted, one JSON object a line")
    controller = FolderEntry("controller.json", "where the controller of a detached campaign was sent")
    aggregated = FolderEntry("aggregated", "what aggregate writes unless --output names another folder")
    report = FolderEntry("report", "what report writes unless --output names another folder")
    log = FolderEntry("submit.log", "one line per chunk that ended, and all warnings", kept=True)
    controller_log = FolderEntry("controller.log", "what the controller prints", kept=True)
    controller_script = FolderEntry(".controller.sh", "what a controller's job runs", kept=True)
    job_logs = FolderEntry("logs", "logs of the batch jobs, unless the site names another folder", kept=True)
    lock = FolderEntry(".lock", "held by the driver that works on the campaign", kept=True)
    certificates = FolderEntry(".tls", "certificates of the campaign's encrypted connections", kept=True)
    site = FolderEntry(".site.json", "the site with all that was chosen, for a controller")
    access = FolderEntry(".access.json", "addresses with secrets, for a controller", kept=True)

    def part(self, chunk_id: str) -> Path:
        """Return the path of the part of a chunk."""
        return self.predictions / f"{chunk_id}.parquet"

    def is_planned(self) -> bool:
        """Return whether there is a plan, without which a folder is no campaign's."""
        return self.plan.exists()

    def clear(self) -> None:
        """Remove the campaign: its plan first, so that what a crash leaves is no campaign.

        Logs stay, and so does what is not ours among the parts.
        """
        for entry in self.entries():
            path = self.path / entry.name
            if entry.kept:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        for part in self.predictions.glob("*.parquet"):
            if is_chunk_id(part.stem):
                part.unlink(missing_ok=True)
