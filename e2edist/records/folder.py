"""The output folder of a campaign: may it be used, and how it is emptied."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from e2edist.errors import OutputError
from e2edist.records.chunk import is_chunk_id
from e2edist.records.submitted_jobs import JOBS
from e2edist.storage.publish import publish

from . import names

#: What else a campaign writes into its folder.
_TABLES = (
    "timing.parquet",
    "bad.parquet",
    "quality.json",
    "progress.json",
    "controller.json",
    names.USAGE,
    JOBS,
)


def look_at_folder(folder: Path, *, fresh: bool = False) -> None:
    """Refuse an output folder that could not be used; writes nothing.

    A folder without a plan must be empty; with `fresh` it may hold what is left of a campaign.

    Raises
    ------
    OutputError
        It is a file, can't be looked at or written, or holds something that is not a campaign's.
    """
    try:
        found = {path.name for path in folder.iterdir()} if folder.exists() else set()
    except OSError as error:
        what = "is a file, not a folder" if folder.is_file() else f"can't be used ({error.strerror})"
        raise OutputError(str(folder), what, "Choose another --output.") from error
    base = next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)
    if not os.access(base, os.W_OK):
        raise OutputError(str(folder), f"can't be written: {base} is read-only", "Choose another --output.")
    ours = {
        names.PREDICTIONS,
        *((names.LEDGER, names.LOG, *_TABLES, "logs", names.AGGREGATED, names.REPORT) if fresh else ()),
    }
    if names.PLAN not in found and any(not name.startswith(".") and name not in ours for name in found):
        raise OutputError(str(folder), "holds other files and no plan", "Choose an empty --output.")


def check_folder(folder: Path, *, fresh: bool = False) -> None:
    """Make the output folder and see that it can be written.

    Raises
    ------
    OutputError
        It can't be made or written, or `look_at_folder` refuses it.
    """
    look_at_folder(folder, fresh=fresh)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"can't be made ({error.strerror})"
        raise OutputError(str(folder), what, "Choose another --output.") from error
    with publish(folder / ".writable") as draft:
        draft.touch()
    (folder / ".writable").unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Remove a campaign from its folder: plan first, so that what a crash leaves is never taken for one."""
    for name in (names.PLAN, names.LEDGER, *_TABLES):
        (folder / name).unlink(missing_ok=True)
    for name in (names.AGGREGATED, names.REPORT):
        shutil.rmtree(folder / name, ignore_errors=True)
    for part in (folder / names.PREDICTIONS).glob("*.parquet"):
        if is_chunk_id(part.stem):
            part.unlink(missing_ok=True)
