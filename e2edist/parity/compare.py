"""Two sets of scores of the same objects: how far apart, and whether that is near enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from e2edist.config.tagger import ToleranceSpec
from e2edist.imaging.event_batch import Array

#: Differences up to 8 units in the last place of a float32 say nothing about the order of objects.
_ROUNDING = 2.0**-20


@dataclass(frozen=True, slots=True)
class Difference:
    """Scores against reference scores; of several columns, the worst.

    Attributes
    ----------
    max_abs, mean_abs : float
        Largest and mean difference; inf where a score isn't finite. Of a column with scores beyond 1, a
        mass in GeV say, in units of its largest.
    rank : float, optional
        Spearman's rank correlation; none where scores don't differ between objects.
    auc_shift : float, optional
        Change of the area under the ROC curve; none without truth of both kinds.
    not_finite : int
        Scores that are NaN or infinite.
    """

    max_abs: float
    mean_abs: float
    rank: float | None
    auc_shift: float | None
    not_finite: int

    def faults(self, tolerance: ToleranceSpec) -> list[str]:
        """Return what is beyond the tolerance, as clauses; empty if nothing is."""
        if self.not_finite:
            return [f"{self.not_finite} scores are NaN or infinite"]
        found = []
        if self.max_abs > tolerance.max_abs:
            found.append(f"max|d| {self.max_abs:.2g} > {tolerance.max_abs:g}")
        if self.mean_abs > tolerance.max_mean:
            found.append(f"mean|d| {self.mean_abs:.2g} > {tolerance.max_mean:g}")
        if self.rank is not None and self.rank < tolerance.min_rank:
            found.append(f"rank correlation {self.rank:.5f} < {tolerance.min_rank:g}")
        if self.auc_shift is not None and self.auc_shift > tolerance.max_auc_shift:
            found.append(f"AUC shift {self.auc_shift:.2g} > {tolerance.max_auc_shift:g}")
        return found


def compare(scores: Array, reference: Array, label: Array) -> Difference:
    """Return how far `scores` are from `reference`.

    Parameters
    ----------
    scores, reference : float, shape (objects, columns)
    label : int, shape (objects,)
        1, 0, or negative where unknown.
    """
    broken = int(np.count_nonzero(~np.isfinite(scores)))
    if broken or not np.all(np.isfinite(reference)):
        return Difference(
            np.inf, np.inf, None, None, broken or int(np.count_nonzero(~np.isfinite(reference)))
        )
    scale = np.maximum(1.0, np.abs(reference).max(axis=0, initial=0.0))
    apart = np.abs(scores.astype(np.float64) - reference.astype(np.float64)) / scale
    # Objects that differ by no more than rounding have no order that could be wrong.
    scores = np.where(apart <= _ROUNDING, reference, scores)
    pairs = list(zip(scores.T, reference.T, strict=True))
    ranks = [rank for one, other in pairs if (rank := spearman(one, other)) is not None]
    shifts = [shift for one, other in pairs if (shift := _auc_shift(one, other, label)) is not None]
    mean = float(apart.mean(axis=0).max()) if apart.size else 0.0
    return Difference(
        float(apart.max(initial=0.0)), mean, min(ranks, default=None), max(shifts, default=None), 0
    )


def _ranks(values: Array) -> Array:
    """Return ranks from 1, ties share their mean."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place])


def spearman(one: Array, other: Array) -> float | None:
    """Return the rank correlation of two columns, none if the values of `other` are all the same."""
    if len(other) < 2 or np.ptp(other) == 0:
        return None
    a, b = _ranks(one), _ranks(other)
    if np.ptp(a) == 0:
        return 0.0  # the reference orders the objects, these scores don't
    return float(np.corrcoef(a, b)[0, 1])


def auc(scores: Array, label: Array) -> float | None:
    """Return the area under the ROC curve: the share of pairs in the right order, ties count half."""
    positive, negative = label == 1, label == 0
    known = positive | negative
    n, m = int(positive.sum()), int(negative.sum())
    if not n or not m:
        return None
    rank = _ranks(scores[known])
    return float((rank[positive[known]].sum() - n * (n + 1) / 2) / (n * m))


def _auc_shift(one: Array, other: Array, label: Array) -> float | None:
    before, after = auc(other, label), auc(one, label)
    return None if before is None or after is None else abs(after - before)
