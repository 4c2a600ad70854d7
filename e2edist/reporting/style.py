"""How figures look: the style of CMS, sizes for a page, colours with one meaning each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import mplhep
from matplotlib.figure import Figure

#: CMS's house style, with letters for a page and not for a slide.
STYLE: Any = mplhep.style.CMS | {
    "font.size": 13,
    "axes.labelsize": 14,
    "axes.titlesize": 13,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "legend.fontsize": 11,
    "figure.figsize": (6.6, 4.6),
}
#: A legend that hides nothing; where classes are few, it is above.
ABOVE: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "ncols": 2, "borderaxespad": 0.2}
BESIDE: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
#: Of campaigns that lie over each other, first the one that is asked about.
LINES = ("-", "--", ":", "-.")
_COLOURS = ("#3f90da", "#bd1f01", "#ffa90e", "#832db6", "#94a4a2", "#a96b59", "#e76300", "#b9ac70", "#717581")
UNKNOWN_COLOUR = "#717581"


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure and what is said of it.

    Attributes
    ----------
    section : str
        Part of the page that it belongs to: scores, images, time or bill.
    caption : str
        What it shows, for those who don't see it too.
    wide : bool
        Whether it takes both columns of the page.
    """

    figure: Figure
    section: str
    caption: str
    wide: bool = False


def new_figure(
    rows: int = 1, columns: int = 1, size: tuple[float, float] | None = None
) -> tuple[Figure, Any]:
    """Return an empty figure and its axes in one row, those of the first row first."""
    made = Figure(figsize=size or mpl.rcParams["figure.figsize"], layout="constrained")
    return made, made.subplots(rows, columns, squeeze=False).ravel()


def class_colour(label: int) -> str:
    """Return the colour of a label, the same in all figures."""
    return _COLOURS[label % len(_COLOURS)] if label >= 0 else UNKNOWN_COLOUR


def series_colour(number: int) -> str:
    """Return the colour of the n-th campaign, tagger or device of a figure."""
    return _COLOURS[number % len(_COLOURS)]
