"""The figures of docs/images.md, drawn with the product's own code from demo events.

``python docs/figures.py`` draws them into docs/_figures; the build of the site does the same. They are not
kept in git, so that they can't differ from the code.
"""

import tempfile
from functools import cache
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm
from matplotlib.patches import Rectangle

from e2edist.demo import make_events
from e2edist.formats import inspect, open_events
from e2edist.imaging import geometry
from e2edist.imaging.crops import Window, cut, dense, frame
from e2edist.imaging.layers import FillOptions, fill, hbhe_depth1
from e2edist.imaging.objects import collect
from e2edist.imaging.seeds import cut_objects, eb_hottest, hcal_tower

FOLDER = "_figures"
_COLUMNS = {
    "EB": frozenset({"detid", "energy"}),
    "EE": frozenset({"detid", "energy"}),
    "HBHE": frozenset({"detid", "energy"}),
    "tracks": frozenset({"pt", "eta", "phi", "d0", "dz", "quality"}),
    "photon": frozenset({"pt", "eta", "phi", "label"}),
    "electron": frozenset({"pt", "eta", "phi", "label"}),
    "jet": frozenset({"pt", "eta", "phi", "label"}),
}


@cache
def events(sample):
    """Return 100 demo events."""
    with tempfile.TemporaryDirectory() as folder:
        (path,) = make_events(Path(folder), sample, 100, seed=4, files=1)
        with open_events(inspect(str(path)), _COLUMNS) as reader:
            return reader.read(0, 100)


def show(axes, image, unit, title=""):
    """Draw an image with a logarithmic colour scale; empty pixels stay white."""
    image = np.ma.masked_less_equal(image, 0)
    drawn = axes.imshow(image, origin="lower", cmap="viridis", norm=LogNorm(), interpolation="nearest")
    axes.set(xlabel="column (phi)", ylabel="row (eta)", title=title)
    axes.figure.colorbar(drawn, ax=axes, label=unit, shrink=0.8)


def first_good(seeds):
    """Return the first object with an image."""
    return int(np.flatnonzero(seeds.status == 0)[0])


def grid(path):
    """Which |eta| a row of the stitched grid holds, and where the three parts are."""
    eta = np.linspace(-3, 3, 6001)
    rows = [geometry.eta_row(x) for x in eta]
    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    axes.plot(eta, rows)
    for low, high, name in ((0, 55, "EE-"), (55, 225, "EB"), (225, 280, "EE+")):
        axes.axhspan(low, high, alpha=0.08 + 0.08 * (name == "EB"), color="tab:blue")
        axes.text(-2.9, (low + high) / 2, f"{name}: rows {low}-{high - 1}", va="center")
    for edge in geometry.HBHE_ETA_EDGES:
        for x in {edge, -edge}:
            axes.axvline(x, color="0.8", lw=0.5, zorder=0)
    axes.set(xlabel="eta (grey: edges of HCAL towers)", ylabel="row of the stitched image")
    save(figure, path)


def endcap(path):
    """The stitched row and column of each crystal of one endcap plane."""
    table = geometry.ee_table()[1].astype(float)
    table[table[..., 0] < 0] = np.nan
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    for part, (ax, name) in enumerate(zip(axes, ("row", "column"), strict=True)):
        drawn = ax.imshow(table[..., part].T, origin="lower", cmap="viridis" if part == 0 else "twilight")
        ax.set(xlabel="ix - 1", ylabel="iy - 1", title=f"EE+: {name} of the stitched image")
        figure.colorbar(drawn, ax=ax, shrink=0.8)
    save(figure, path)


def event(path):
    """The layers of one demo event, as whole-detector images."""
    batch = events("top")
    figure, axes = plt.subplots(3, 1, figsize=(7, 11), layout="constrained")
    for ax, name in zip(axes, ("ECAL_energy", "HBHE_energy", "ECAL_tracksPt"), strict=True):
        image = frame(fill(batch, name, FillOptions()), 0)
        image = np.kron(image, np.full((5, 5), 0.04)) if name == "HBHE_energy" else image
        row, col = image.nonzero()
        drawn = ax.scatter(col, row, c=image[row, col], s=3, marker="s", norm=LogNorm())
        ax.set(xlim=(0, 360), ylim=(0, 280), xlabel="column (phi)", ylabel="row (eta)", title=name)
        figure.colorbar(drawn, ax=ax, label="GeV")
        for edge in (geometry.EB_FIRST_ROW, geometry.EE_PLUS_FIRST_ROW):
            ax.axhline(edge - 0.5, color="0.5", lw=0.6)
    save(figure, path)


def egamma(path):
    """The seed window and the crop of an electron or photon."""
    batch = events("eg")
    objects = collect(batch, ("photon", "electron"))
    status = cut_objects(objects["pt"], objects["eta"], objects["phi"], 10.0, 1.44, True)
    layer = fill(batch, "EB_energy", FillOptions())
    size = (7, 13)
    directions, search = (
        (objects.event, objects["eta"], objects["phi"]),
        {"window_rows": 7, "window_cols": 13},
    )
    seeds = eb_hottest(layer, directions, status, **search, edge="pad")
    k, window = first_good(seeds), Window("EB", 32)
    row = geometry.eta_row(objects["eta"][k]) - geometry.EB_FIRST_ROW
    col, seed = geometry.phi_column(objects["phi"][k]), (seeds.row[k], seeds.col[k])
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    show(axes[0], frame(layer, objects.event[k]), "GeV", "EB_energy: search window (red), crop (black)")
    box(axes[0], row - size[0] // 2, col - size[1] // 2, size, "red")
    box(axes[0], seed[0] - window.centre, seed[1] - window.centre, (32, 32), "black")
    axes[0].set(xlim=(seed[1] - 30, seed[1] + 30), ylim=(seed[0] - 30, seed[0] + 30))
    axes[0].plot(seed[1], seed[0], "+", color="red", ms=12)
    show(axes[1], dense(one(cut, [layer], objects, seeds, k, window))[0, 0], "GeV", "the 32×32 crop")
    axes[1].plot(window.centre, window.centre, "+", color="red", ms=12)
    save(figure, path)


def jet(path):
    """Three channels of a jet's crop."""
    batch, window = events("top"), Window("ECAL", 125)
    objects = collect(batch, ("jet",))
    status = cut_objects(objects["pt"], objects["eta"], objects["phi"], 35.0, 2.4, False)
    places = (objects.event, objects["eta"], objects["phi"])
    seeds = hcal_tower(hbhe_depth1(batch), places, status, no_hit="axis")
    names = ("ECAL_tracksPt", "ECAL_energy", "HBHE_energy")
    layers = [fill(batch, name, FillOptions()) for name in names]
    crops = dense(one(cut, layers, objects, seeds, first_good(seeds), window))[0]
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    for ax, name, image in zip(axes, names, crops, strict=True):
        show(ax, image, "GeV", name)
        ax.plot(window.centre, window.centre, "+", color="red", ms=12)
    save(figure, path)


def box(axes, row, col, size, colour):
    """Draw the edge of a window of `size` pixels."""
    axes.add_patch(Rectangle((col - 0.5, row - 0.5), size[1], size[0], fill=False, ec=colour, lw=1.5))


def one(cut, layers, objects, seeds, k, window):
    """Return the crops of one object."""
    part = slice(k, k + 1)
    return cut(layers, (objects.event[part], seeds.row[part], seeds.col[part]), window)


def save(figure, path):
    """Write a figure."""
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


#: File name -> what draws it.
FIGURES = {f"{function.__name__}.png": function for function in (grid, endcap, event, egamma, jet)}


def draw_all(folder):
    """Draw all figures into `folder`."""
    folder.mkdir(exist_ok=True)
    for name, draw in FIGURES.items():
        draw(folder / name)


if __name__ == "__main__":
    draw_all(Path(__file__).parent / FOLDER)
