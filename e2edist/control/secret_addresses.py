"""Addresses with secrets on their way to a controller: never on a command line, in a script or in a log.

A process reads them from its stdin. A job reads a file that its owner alone may read, which stays in the
folder while the controller may be started once more, and is removed when it has ended.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2edist.errors import OutputError
from e2edist.records.folder import CampaignFolder
from e2edist.redaction import redact_word
from e2edist.storage.publish import publish

STDIN = "-"


def has_secrets(argv: Sequence[str]) -> bool:
    """Return whether a command line holds addresses with secrets, or takes them from its own stdin."""
    return any(redact_word(word) != word or word == STDIN for word in argv)


def write_access(folder: Path, access: Mapping[str, str]) -> None:
    """Write `Plan.access` for a job.

    Raises
    ------
    OutputError
        The folder can't be written.
    """
    with publish(CampaignFolder(folder).access) as draft:
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(dict(access)), encoding="utf-8")


def read_access(where: str) -> dict[str, str]:
    """Return what `write_access` wrote, or what a process is given on its stdin.

    Raises
    ------
    OutputError
        It is not there.
    """
    try:
        text = sys.stdin.read() if where == STDIN else Path(where).read_text(encoding="utf-8")
        found: dict[str, str] = json.loads(text)
    except (OSError, ValueError) as error:
        raise OutputError(where, f"can't be read ({error})", "Run the same submit once more.") from error
    return found


def remove_access(folder: Path) -> None:
    """Remove the file, if there is one."""
    CampaignFolder(folder).access.unlink(missing_ok=True)
