"""Whether an output folder may be used for a campaign."""

from __future__ import annotations

import os
from pathlib import Path

from e2edist.errors import OutputError
from e2edist.storage.publish import publish

from .folder import CampaignFolder

_TODO = "Choose another --output."


def check_usable(folder: Path, *, fresh: bool = False) -> None:
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
        raise OutputError(str(folder), what, _TODO) from error
    base = next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)
    if not os.access(base, os.W_OK):
        raise OutputError(str(folder), f"can't be written: {base} is read-only", _TODO)
    left_over = CampaignFolder.entries() if fresh else [CampaignFolder.predictions]
    expected = {entry.name for entry in left_over}
    others = [name for name in found if not name.startswith(".") and name not in expected]
    if others and CampaignFolder.plan.name not in found:
        raise OutputError(str(folder), "holds other files and no plan", "Choose an empty --output.")


def no_campaign(folder: Path) -> OutputError:
    """Return the error of a folder without a plan."""
    return OutputError(str(folder), "holds no campaign", "Name the --output folder of a submit.")


def prepare_folder(folder: Path, *, fresh: bool = False) -> None:
    """Make the output folder and see that it can be written.

    Raises
    ------
    OutputError
        It can't be made or written, or `check_usable` refuses it.
    """
    check_usable(folder, fresh=fresh)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(str(folder), f"can't be made ({error.strerror})", _TODO) from error
    with publish(folder / ".writable") as draft:
        draft.touch()
    (folder / ".writable").unlink(missing_ok=True)
