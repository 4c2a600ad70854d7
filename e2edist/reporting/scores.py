"""Score distributions and ROC curves from the parts, a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from e2edist.imaging.event_batch import Array
from e2edist.records.folder import CampaignFolder
from e2edist.records.parts import parquet_file

#: So fine that the area under the curve is exact to some 1e-5; figures take fewer.
BINS = 20_000


@dataclass(slots=True)
class ScoreTable:
    """Histograms of one score.

    Attributes
    ----------
    edges : float64, shape (BINS + 1,)
    counts : dict of int to array, int64, shape (BINS,)
        Label -> counts; -1 where truth is unknown.
    positive : int
        Label that this score stands for.
    """

    column: str
    edges: Array
    counts: dict[int, Array]
    positive: int

    def roc(self) -> tuple[Array, Array] | None:
        """Return false and true positive rate, from the highest score down; None without both classes."""
        signal = self.counts.get(self.positive)
        others = [n for label, n in self.counts.items() if label not in (self.positive, -1)]
        background = np.sum(others, axis=0) if others else np.zeros(BINS)
        if signal is None or not signal.sum() or not background.sum():
            return None
        rates = [np.concatenate([[0], np.cumsum(n[::-1])]) / n.sum() for n in (background, signal)]
        return rates[0], rates[1]

    def auc(self) -> float | None:
        """Return the area under the ROC curve; objects of one bin count half for, half against."""
        curve = self.roc()
        return None if curve is None else float(np.trapezoid(curve[1], curve[0]))


def read_scores(folder: Path, quality: dict[str, Any], parts: list[str]) -> list[ScoreTable]:
    """Return the histograms of all scores of a campaign.

    Parameters
    ----------
    quality : dict
        `Summary.quality`: names and ranges of the scores.
    parts : list of str
        Ids of the chunks whose parts count.
    """
    found = []
    for i, (name, table) in enumerate(quality.get("scores", {}).items()):
        if table["min"] is not None:
            low, high = table["min"], table["max"]
            edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
            found.append(ScoreTable(name, edges, {}, i if len(quality["scores"]) > 1 else 1))
    for labels, scores in _rows(folder, parts, [table.column for table in found]):
        for table in found:
            _fill(table, labels, scores[table.column])
    return found


def _rows(folder: Path, parts: list[str], columns: list[str]) -> Iterator[tuple[Array, dict[str, Array]]]:
    for name in parts:
        with parquet_file(CampaignFolder(folder).part(name)) as file:
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group, columns=["label", *columns])
                column: Any = rows["label"]
                yield (
                    column.fill_null(-1).to_numpy(),
                    {c: rows[c].to_numpy(zero_copy_only=False).astype(np.float64) for c in columns},
                )


def _fill(table: ScoreTable, labels: Array, scores: Array) -> None:
    ok = np.isfinite(scores)
    width = table.edges[1] - table.edges[0]
    place = np.clip(((scores[ok] - table.edges[0]) / width).astype(np.int64), 0, BINS - 1)
    for label in np.unique(labels[ok]):
        counts = np.bincount(place[labels[ok] == label], minlength=BINS)
        table.counts[int(label)] = table.counts.get(int(label), 0) + counts
