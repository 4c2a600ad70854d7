"""Of which dataset and file rows are, and sums by dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2edist.records.file_columns import names_of_files
from e2edist.storage.publish import publish

from .finished_campaigns import FinishedCampaign


@dataclass(frozen=True, slots=True)
class FileNames:
    """What the inputs of campaigns are called.

    Attributes
    ----------
    files : mapping of str to (str, str)
        As `names_of_files`, of all campaigns.
    metadata : mapping of str to dict
        Dataset -> what filesets say of it.
    conflicts : tuple of str
        Keys of metadata, as ``dataset.key``, of which two campaigns say different things; the first counts.
    """

    files: Mapping[str, tuple[str, str]]
    metadata: Mapping[str, dict[str, Any]]
    conflicts: tuple[str, ...] = ()

    @classmethod
    def of(cls, campaigns: Sequence[FinishedCampaign]) -> FileNames:
        """Return those of campaigns."""
        files: dict[str, tuple[str, str]] = {}
        metadata: dict[str, dict[str, Any]] = {}
        conflicts: dict[str, None] = {}
        for one in campaigns:
            files |= names_of_files(one.plan)
            for dataset in one.plan.datasets:
                known = metadata.setdefault(dataset.name, {})
                for key, value in dataset.metadata.items():
                    if known.setdefault(key, value) != value:
                        conflicts[f"{dataset.name}.{key}"] = None
        return cls(files, dict(sorted(metadata.items())), tuple(conflicts))

    def sums(self, campaigns: Sequence[FinishedCampaign]) -> dict[str, dict[str, Any]]:
        """Return dataset -> its files, events, those done, rows, metadata; "" has the files of none."""
        found: dict[str, dict[str, Any]] = {}
        for name in sorted({dataset for dataset, _ in self.files.values()}):
            counts = {"files": 0, "events": 0, "done": 0, "rows": 0}
            found[name] = counts | {"metadata": self.metadata.get(name, {})}
        for one in campaigns:
            for file in one.plan.files:
                sums = found[self.files[file.uuid][0]]
                sums["files"] += 1
                sums["events"] += file.entries
            for part in one.verification.good_parts:
                sums = found[self.files[part.uuid][0]]
                sums["done"] += part.stop - part.start
                sums["rows"] += part.rows
        return found


def write_sums(path: Path, sums: Mapping[str, dict[str, Any]]) -> None:
    """Write the sums of datasets as JSON, or remove the file where no input has the name of one."""
    if not any(sums):
        path.unlink(missing_ok=True)
        return
    with publish(path, keep_same=True) as draft:
        draft.write_text(json.dumps(dict(sums), indent=1), encoding="utf-8")
