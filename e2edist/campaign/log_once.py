"""What the campaign's log has once: the traceback of each bug, and what files do not have."""

from __future__ import annotations

import logging

from e2edist.errors import ProgrammingError
from e2edist.plugins import plugin_location
from e2edist.records.folder import CampaignFolder
from e2edist.records.receipt import Receipt

log = logging.getLogger(__name__)


class OnceLog:
    """Writes each message to the log once in a run."""

    def __init__(self) -> None:
        self._written: set[tuple[str, ...]] = set()

    def log_bug(self, error: BaseException | None) -> None:
        """Write the traceback of a bug, or of an error inside a plug-in, once for each location."""
        if isinstance(error, ProgrammingError):
            error.log = CampaignFolder.log.name
            if self._is_new("bug", error.kind, error.location):
                log.error("%s\n%s", error.what, error.traceback.rstrip())
        elif (location := plugin_location(error)) and self._is_new("bug", type(error).__name__, location):
            text = str(getattr(error, "plugin_traceback", ""))
            log.error(
                "%s: %s, raised in the plug-in %s\n%s", type(error).__name__, error, location, text.rstrip()
            )

    def log_notes(self, receipt: Receipt) -> None:
        """Write what is missing in a part, with the first file of which that is so."""
        for note in receipt.notes:
            if self._is_new("note", note):
                log.warning("%s (%s, and maybe other files)", note, receipt.chunk.url)

    def _is_new(self, *what: str) -> bool:
        new = what not in self._written
        self._written.add(what)
        return new
