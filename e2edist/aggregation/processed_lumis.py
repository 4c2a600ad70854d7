"""The luminosity blocks that were processed, as ``brilcalc`` takes them: ``{"run": [[1, 88], ...]}``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from e2edist.imaging.lumi_mask import merge_ranges
from e2edist.records.receipt import Receipt
from e2edist.storage.publish import publish

#: Receipts after which ranges are merged, so that memory holds few of them.
_MERGE_EVERY = 1_000


class ProcessedLumis:
    """The luminosity blocks of which at least one event is done.

    Attributes
    ----------
    unknown_events : int
        Events that are done and whose run and luminosity block are not known.
    """

    def __init__(self) -> None:
        self._ranges: dict[int, list[tuple[int, int]]] = {}
        self.unknown_events = 0

    @property
    def known(self) -> bool:
        """Whether any are known."""
        return bool(self._ranges)

    def collect(self, receipts: Iterable[Receipt]) -> Iterator[Receipt]:
        """Take notes of receipts on their way."""
        for number, receipt in enumerate(receipts):
            for run, ranges in receipt.lumis.items():
                self._ranges.setdefault(int(run), []).extend(ranges)
            if not receipt.lumis:
                counted = receipt.events if receipt.events_in_mask is None else receipt.events_in_mask
                self.unknown_events += counted
            if number % _MERGE_EVERY == 0:
                self._merge()
            yield receipt

    def write(self, path: Path) -> None:
        """Write them, if those of all events are known; else remove the file, which would be too short.

        Raises
        ------
        OutputError
            The file can't be written.
        """
        if not self.known or self.unknown_events:
            path.unlink(missing_ok=True)
            return
        self._merge()
        content = {str(run): ranges for run, ranges in sorted(self._ranges.items())}
        with publish(path, keep_same=True) as draft:
            draft.write_text(json.dumps(content), encoding="utf-8")

    def _merge(self) -> None:
        self._ranges = {run: merge_ranges(ranges) for run, ranges in self._ranges.items()}
