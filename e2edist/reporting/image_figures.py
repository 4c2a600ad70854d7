"""Mean images: what the network sees of each class, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, groupby, islice
from typing import Any

import numpy as np
from matplotlib.colors import Normalize, SymLogNorm

from e2edist.imaging.event_batch import Array
from e2edist.imaging.layers import LAYERS

from .mean_images import Group, MeanImages
from .style import Drawing, new_figure

#: Panels beside each other.
_COLUMNS = 3
#: Decades of a logarithmic colour scale.
_DECADES = 4
#: A group of objects, and the number of a channel.
Panel = tuple[Group, int]


def draw_means(means: MeanImages, whose: str = "") -> dict[str, Drawing]:
    """Draw the mean images of each group, by a name for files; a layer has one colour scale in all.

    Parameters
    ----------
    whose : str
        Begins what is said of the figures.
    """
    if not means.images:
        return {}
    scales = {i: _scale(means, i) for i in range(len(means.layers))}
    panels = [(group, i) for group in means.images for i in scales]
    if len(means.layers) == 1:
        return {"means": _drawing(means, _by_kind(panels), scales, ("", whose))}
    found = {}
    for number, group in enumerate(means.images, 1):
        own = [panel for panel in panels if panel[0] == group]
        found[f"means-{number}"] = _drawing(means, _rows(own), scales, (_title(means, group, ", "), whose))
    return found


def _scale(means: MeanImages, channel: int) -> Normalize:
    """Return the colour scale of a layer: symmetric round zero where its pixels have both signs."""
    top = max(float(np.abs(image[channel]).max()) for image in means.images.values()) or 1.0
    low = -top if LAYERS[means.layers[channel]].signed else 0.0
    decades = 2 if low else _DECADES
    return SymLogNorm(top * 10.0**-decades, vmin=low, vmax=top)


def _title(means: MeanImages, group: Group, separator: str) -> str:
    kind, name = group
    return f"{name}, {kind} collection{separator}{means.counts[group]:,} objects"


def _rows(panels: Iterable[Panel]) -> list[list[Panel]]:
    """Return panels in rows."""
    left, rows = iter(panels), []
    while row := list(islice(left, _COLUMNS)):
        rows.append(row)
    return rows


def _by_kind(panels: list[Panel]) -> list[list[Panel]]:
    """Return panels in rows, those of another kind of object in another row."""
    kinds = groupby(panels, key=lambda panel: panel[0][0])
    return [row for _, some in kinds for row in _rows(some)]


def _drawing(
    means: MeanImages, rows: list[list[Panel]], scales: dict[int, Normalize], words: tuple[str, str]
) -> Drawing:
    """Draw panels; `words` are the title of all of them, if any, and the beginning of the caption."""
    title, whose = words
    columns = max(len(row) for row in rows)
    made, axes = new_figure(len(rows), columns, (0.4 + 4.2 * columns, 0.4 + 3.6 * len(rows)))
    for ax, panel in zip(axes, chain(*(row + [None] * (columns - len(row)) for row in rows)), strict=True):
        if panel is None:
            ax.remove()
            continue
        group, channel = panel
        layer = means.layers[channel]
        _panel(ax, means.images[group][channel], layer, scales[channel])
        ax.set_title(layer if title else _title(means, group, "\n"))
    if title:
        made.suptitle(title, fontsize=15)
    what = f"of {title}" if title else f"of {', '.join(means.layers)} by collection and class"
    caption = f"{whose}Mean images before normalisation, {what}; a sample of the objects."
    return Drawing(made, "images", caption, wide=columns > 1)


def _panel(ax: Any, image: Array, layer: str, scale: Normalize) -> None:
    """Draw one image: φ to the right, η upwards, as crystals are numbered."""
    signed = LAYERS[layer].signed
    cmap = "RdBu_r" if signed else "viridis"
    shown = ax.imshow(image, cmap=cmap, norm=scale, origin="lower", interpolation="nearest")
    ax.set(xlabel="pixel in φ", ylabel="pixel in η")
    ax.minorticks_off()
    bar = ax.figure.colorbar(shown, ax=ax, fraction=0.046, pad=0.02)
    bar.ax.tick_params(labelsize=10)
    bar.set_label(f"mean [{LAYERS[layer].unit}]", fontsize=12)
    if signed:  # few, or they lie on each other round zero
        top = 10.0 ** np.floor(np.log10(scale.vmax or 1.0))
        bar.set_ticks([-top, -top / 10, 0, top / 10, top])
    bar.minorticks_off()
