"""Warnings about the scores of a campaign while it still runs."""

from __future__ import annotations

from collections import Counter
from typing import Any

from e2edist.records.receipt import Receipt

from .quality import Quality, add_quality, constant_names, warnings


class QualityMonitor:
    """Counts NaN, infinities and constant scores, part by part, without the histograms."""

    def __init__(self) -> None:
        self._total: Quality = {}
        self._constant: Counter[str] = Counter()

    def add(self, receipt: Receipt) -> tuple[str, ...]:
        """Add a part; return the warnings about all parts so far."""
        found = _without_bins(receipt.quality)
        self._constant.update(constant_names(found))
        self._total = add_quality(self._total, found)
        return tuple(warnings(self._total, self._constant))


def _without_bins(quality: Any) -> Any:
    if "bins" in quality:
        return quality | {"bins": {}}
    return {name: _without_bins(inner) for name, inner in quality.items()}
