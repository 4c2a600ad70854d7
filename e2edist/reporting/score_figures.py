"""Scores and ROC curves: campaigns of one tagger over each other, kinds of objects apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .names import class_name
from .scores import BINS, Roc, ScoreTable
from .style import ABOVE, LINES, UNKNOWN_COLOUR, Drawing, class_colour, new_figure, series_colour

#: Bins of a drawn distribution.
_COARSE = 50
#: Points of a drawn curve: not every one of so many is seen.
_POINTS = 2000
#: Rejections of a cut that fewer objects pass say nothing.
_FEWEST = 3


@dataclass(frozen=True, slots=True)
class TaggerScores:
    """The scores of campaigns of one tagger.

    Attributes
    ----------
    classes : tuple of str
        What labels are called.
    tables : dict of str to list of ScoreTable
        Campaign -> its scores.
    """

    classes: tuple[str, ...]
    tables: dict[str, list[ScoreTable]]

    def columns(self) -> list[str]:
        """Return the names of all scores."""
        return list(dict.fromkeys(table.column for some in self.tables.values() for table in some))

    def of(self, column: str) -> dict[str, ScoreTable]:
        """Return campaign -> one of its scores."""
        return {name: one for name, some in self.tables.items() for one in some if one.column == column}

    def rocs(self) -> Iterator[tuple[str, str, ScoreTable, Roc]]:
        """Yield (campaign, kind, score, curve) where a kind has objects of both classes."""
        for name, some in self.tables.items():
            for table in some:
                for kind in table.kinds:
                    if (curve := table.roc(kind)) is not None:
                        yield name, kind, table, curve


def draw_scores(scores: TaggerScores, column: str) -> Drawing:
    """Draw the distribution of a score: a panel for each kind of object, a line for each class."""
    tables = scores.of(column)
    kinds = list(dict.fromkeys(kind for table in tables.values() for kind in table.kinds))
    made, axes = new_figure(1, len(kinds), (6.6 * len(kinds), 5.2))
    low = min(float(table.edges[0]) for table in tables.values())
    high = max(float(table.edges[-1]) for table in tables.values())
    edges = np.linspace(low, high, _COARSE + 1)
    for ax, kind in zip(axes, kinds, strict=True):
        for i, (name, table) in enumerate(tables.items()):
            for label, counts in table.of(kind).items():
                which = class_name(label, scores.classes)
                text = f"{which}: {counts.sum():,}" + (f", {name}" if len(tables) > 1 else "")
                _draw_share(ax, edges, _coarse(table, counts, edges), label, LINES[i % len(LINES)], text)
        ax.set(xlabel=f"score {column}", ylabel="fraction of objects per bin", yscale="log")
        ax.set_xlim(edges[0], edges[-1])
        _leave_room(ax)
        ax.legend(**ABOVE, title=f"{kind} collection", alignment="left")
    caption = f"Distribution of the score {column}, each class by itself; bands: statistical errors."
    return Drawing(made, "scores", caption, wide=len(kinds) > 1)


def _coarse(table: ScoreTable, counts: Any, edges: Any) -> Any:
    """Return counts of few bins from counts of many."""
    middles = (table.edges[1:] + table.edges[:-1]) / 2
    return np.histogram(middles, edges, weights=counts)[0]


def _draw_share(ax: Any, edges: Any, counts: Any, label: int, line: str, text: str) -> None:
    total, colour = max(1.0, counts.sum()), class_colour(label)
    ax.stairs(counts / total, edges, color=colour, linestyle=line, linewidth=1.8, label=text)
    for low, high in _runs(counts > 0):
        errors = np.sqrt(counts[low:high])
        top, bottom = (counts[low:high] + errors) / total, (counts[low:high] - errors) / total
        bottom = np.maximum(bottom, 0.3 / total)
        ax.stairs(top, edges[low : high + 1], baseline=bottom, fill=True, color=colour, alpha=0.18)


def _runs(filled: Any) -> list[tuple[int, int]]:
    """Return the half-open ranges of neighbouring bins that are filled."""
    steps = np.diff(np.concatenate([[0], filled.astype(int), [0]]))
    return list(zip(np.flatnonzero(steps == 1).tolist(), np.flatnonzero(steps == -1).tolist(), strict=True))


def _leave_room(ax: Any) -> None:
    """Let a logarithmic axis begin below the smallest bin that holds an object."""
    shown = [patch.get_data().values for patch in ax.patches if not patch.get_fill()]
    values = np.concatenate([np.asarray(some)[np.asarray(some) > 0] for some in shown] or [np.zeros(0)])
    if len(values):
        ax.set_ylim(values.min() * 0.5, min(1.5, values.max() * 3))


def draw_roc(scores: TaggerScores) -> dict[str, Drawing]:
    """Draw ROC curves and, in HEP's way, the rejection of background against the efficiency of signal."""
    curves = list(scores.rocs())
    if not curves:
        return {}
    made, (rates,) = new_figure(size=(6.6, 5.2))
    other, (rejections,) = new_figure(size=(6.6, 5.2))
    columns, names = {table.column for _, _, table, _ in curves}, {name for name, _, _, _ in curves}
    for i, (name, kind, table, curve) in enumerate(curves):
        words = [table.column] * (len(columns) > 1) + [f"{kind} collection"] + [name] * (len(names) > 1)
        look = {"color": series_colour(i), "linestyle": LINES[i // 9 % len(LINES)]}
        text = f"{', '.join(words)}: AUC {curve.auc:.4f} ± {curve.auc_error:.4f}"
        _draw_curve(rates, rejections, curve, look | {"label": text})
    chance = {"color": UNKNOWN_COLOUR, "linestyle": ":", "linewidth": 1.2, "label": "no separation"}
    efficiency = np.linspace(0.01, 1, 100)
    rates.plot(efficiency, efficiency, **chance)
    rejections.plot(efficiency, 1 / efficiency, **chance)
    signal, background = _sides(scores, curves)
    rates.set(xlabel=f"{background} efficiency", ylabel=f"{signal} efficiency", xlim=(0, 1), ylim=(0, 1.02))
    rejections.set(xlabel=f"{signal} efficiency", ylabel=f"{background} rejection, 1 / efficiency")
    rejections.set(yscale="log", xlim=(0, 1), ylim=(0.8, None))
    for ax in (rates, rejections):
        ax.legend(**(ABOVE | {"ncols": 1}))
    band = "bands: 68 % intervals of the background that passes."
    text = f"ROC curve where truth is known, each collection by itself; {band}"
    hep = f"Rejection of {background} at each {signal} efficiency; {band}"
    return {"roc": Drawing(made, "scores", text), "rejection": Drawing(other, "scores", hep)}


def _draw_curve(rates: Any, rejections: Any, curve: Roc, look: dict[str, Any]) -> None:
    signal, background = curve.efficiencies
    low, high = curve.background_interval()
    keep = np.unique(np.linspace(0, BINS, _POINTS).astype(int))
    band = {"color": look["color"], "alpha": 0.25, "linewidth": 0}
    rates.plot(background[keep], signal[keep], **look)
    rates.fill_betweenx(signal[keep], low[keep], high[keep], **band)
    told = keep[background[keep] * curve.background.sum() >= _FEWEST]
    rejections.plot(signal[told], 1 / background[told], **look)
    rejections.fill_between(signal[told], 1 / high[told], 1 / low[told], **band)


def _sides(scores: TaggerScores, curves: Sequence[tuple[str, str, ScoreTable, Roc]]) -> tuple[str, str]:
    """Return what signal and background are called."""
    positive = {table.positive for _, _, table, _ in curves}
    if len(positive) > 1:
        return "signal", "background"
    (label,) = positive
    labels = {other for _, kind, table, _ in curves for other in table.of(kind) if other >= 0} - {label}
    background = class_name(min(labels), scores.classes) if len(labels) == 1 else "background"
    return class_name(label, scores.classes), background


def auc_rows(scores: TaggerScores) -> list[list[str]]:
    """Return a table, head first: objects of each class and the area under the curve, a row for each kind."""
    labels = sorted({label for some in scores.tables.values() for table in some for _, label in table.counts})
    labels = [label for label in labels if label >= 0] + [label for label in labels if label < 0]
    head = [
        "score",
        "campaign",
        "collection",
        *(class_name(label, scores.classes) for label in labels),
        "AUC",
    ]
    rows = []
    for name, some in scores.tables.items():
        for table in some:
            for kind in table.kinds:
                counts, curve = table.of(kind), table.roc(kind)
                cells = [f"{counts[label].sum():,}" if label in counts else "0" for label in labels]
                area = "one class only" if any(label >= 0 for label in counts) else ""
                if curve is not None:
                    area = f"{curve.auc:.4f} ± {curve.auc_error:.4f}"
                rows.append([table.column, name, kind, *cells, area])
    values = [{row[i] for row in rows} for i in range(len(head))]
    told = [i for i, some in enumerate(values) if some != {""} and (i > 1 or len(some) > 1)]
    return [[row[i] for i in told] for row in (head, *rows)] if rows else []
