"""Score distributions and ROC curves from the parts, a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from e2edist.imaging.event_batch import Array
from e2edist.records.folder import CampaignFolder
from e2edist.records.parts import parquet_file

from .names import UNKNOWN

#: So fine that the area under the curve is exact to some 1e-5; figures take fewer.
BINS = 20_000


@dataclass(frozen=True)
class Roc:
    """A ROC curve, from the cut that nothing passes to the one that everything passes.

    Attributes
    ----------
    signal, background : int64, shape (BINS,)
        Objects in each bin of the score, lowest first; both have some.
    """

    signal: Array
    background: Array

    @cached_property
    def efficiencies(self) -> tuple[Array, Array]:
        """Fractions of signal and of background that pass each cut, shape (BINS + 1,)."""
        passed = (np.concatenate([[0], np.cumsum(n[::-1])]) / n.sum() for n in (self.signal, self.background))
        signal, background = passed
        return signal, background

    @cached_property
    def auc(self) -> float:
        """Area under the curve; objects of one bin count half for, half against."""
        signal, background = self.efficiencies
        return float(np.trapezoid(signal, background))

    @cached_property
    def auc_error(self) -> float:
        """Standard error of the area, as if objects were independent (DeLong et al., Biometrics 44, 837)."""
        below = (np.cumsum(self.background) - self.background / 2) / self.background.sum()
        above = 1 - (np.cumsum(self.signal) - self.signal / 2) / self.signal.sum()
        variance = 0.0  # of the two averages, added
        for counts, share in ((self.signal, below), (self.background, above)):
            n = int(counts.sum())
            variance += float((counts * (share - self.auc) ** 2).sum()) / max(1, n - 1) / n
        return float(np.sqrt(variance))

    def background_interval(self) -> tuple[Array, Array]:
        """Return the 68 % interval of the background that passes each cut (Wilson, JASA 22, 209)."""
        n, p = self.background.sum(), self.efficiencies[1]
        middle, half = p + 0.5 / n, np.sqrt(p * (1 - p) / n + 0.25 / n**2)
        return (middle - half) / (1 + 1 / n), (middle + half) / (1 + 1 / n)


@dataclass(slots=True)
class ScoreTable:
    """Histograms of one score.

    Attributes
    ----------
    edges : float64, shape (BINS + 1,)
    counts : dict of (str, int) to array, int64, shape (BINS,)
        Kind of object and label -> counts; `UNKNOWN` where nobody knows the truth. A particle may be an
        object of several kinds (an electron has a photon, too), so kinds are not added.
    positive : int
        Label that this score stands for.
    """

    column: str
    edges: Array
    counts: dict[tuple[str, int], Array]
    positive: int

    @property
    def kinds(self) -> list[str]:
        """Kinds of objects that have this score."""
        return list(dict.fromkeys(kind for kind, _ in self.counts))

    def of(self, kind: str) -> dict[int, Array]:
        """Return label -> counts of one kind, labels in order, those of unknown truth last."""
        found = {label: n for (name, label), n in self.counts.items() if name == kind}
        return dict(sorted(found.items(), key=lambda item: (item[0] == UNKNOWN, item[0])))

    def roc(self, kind: str) -> Roc | None:
        """Return the ROC curve of one kind: this score's class against all others; None without both."""
        known = {label: n for label, n in self.of(kind).items() if label != UNKNOWN and n.sum()}
        signal = known.pop(self.positive, None)
        if signal is None or not known:
            return None
        return Roc(signal, np.sum(list(known.values()), axis=0))


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
    for kinds, labels, scores in _rows(folder, parts, [table.column for table in found]):
        for table in found:
            _fill(table, kinds, labels, scores[table.column])
    return [table for table in found if table.counts]


def _rows(
    folder: Path, parts: list[str], columns: list[str]
) -> Iterator[tuple[Any, Array, dict[str, Array]]]:
    """Yield (kinds as a dictionary array, labels, scores) of each row group."""
    for name in parts:
        with parquet_file(CampaignFolder(folder).part(name)) as file:
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group, columns=["kind", "label", *columns])
                column: Any = rows["label"]
                kinds: Any = rows["kind"].combine_chunks()
                yield (
                    kinds,
                    column.fill_null(UNKNOWN).to_numpy(),
                    {c: rows[c].to_numpy(zero_copy_only=False).astype(np.float64) for c in columns},
                )


def _fill(table: ScoreTable, kinds: Any, labels: Array, scores: Array) -> None:
    ok = np.isfinite(scores)
    width = table.edges[1] - table.edges[0]
    place = np.clip(((scores[ok] - table.edges[0]) / width).astype(np.int64), 0, BINS - 1)
    kind, label = kinds.indices.to_numpy()[ok], labels[ok]
    for code, name in enumerate(kinds.dictionary.to_pylist()):
        of_kind = kind == code
        for value in np.unique(label[of_kind]):
            key = (name, int(value))
            counts = np.bincount(place[of_kind & (label == value)], minlength=BINS)
            table.counts[key] = table.counts.get(key, 0) + counts
