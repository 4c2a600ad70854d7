"""The figures of a report; drawing only, the numbers come from the other modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import mplhep
import numpy as np
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure

from .campaign_stats import CampaignStats, efficiency, roofline, throughput
from .mean_images import MeanImages
from .scaling import Series
from .scores import BINS, ScoreTable

#: CMS's house style, with letters for a page and not for a slide.
STYLE: Any = mplhep.style.CMS | {
    "font.size": 13,
    "axes.labelsize": 14,
    "axes.titlesize": 13,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "legend.fontsize": 11,
    "figure.figsize": (7.5, 5),
    "savefig.bbox": "tight",
}
#: Legends that hide nothing.
_ABOVE: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "ncols": 2, "borderaxespad": 0.2}
_BESIDE: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
#: Up to so many workers have a bar each; beyond, their distribution is shown.
_BARS = 24


def figure(rows: int = 1, columns: int = 1, size: tuple[float, float] = (7.5, 5)) -> tuple[Figure, Any]:
    """Return an empty figure and its axes."""
    made = Figure(figsize=size, layout="constrained")
    return made, made.subplots(rows, columns, squeeze=rows * columns == 1)


def _name(label: int) -> str:
    return "truth unknown" if label < 0 else f"label {label}"


def draw_scores(table: ScoreTable) -> Figure:
    """Draw the distribution of a score, a line for each class."""
    made, ax = figure()
    coarse = 50
    edges = table.edges[:: BINS // coarse]
    for label, counts in sorted(table.counts.items()):
        share = counts.reshape(coarse, -1).sum(axis=1) / max(1, counts.sum())
        mplhep.histplot(share, edges, ax=ax, label=f"{_name(label)}: {counts.sum():,}")
    ax.set(xlabel=f"score {table.column}", ylabel="fraction of objects per bin", yscale="log")
    ax.legend(**_ABOVE)
    return made


def draw_roc(tables: Sequence[ScoreTable]) -> Figure | None:
    """Draw the ROC curves of all scores that have both classes."""
    curves = [(table, curve) for table in tables if (curve := table.roc()) is not None]
    if not curves:
        return None
    made, ax = figure(size=(6, 5.6))
    for table, (false, true) in curves:
        # Not every one of so many points is seen.
        keep = np.unique(np.linspace(0, len(false) - 1, 2000).astype(int))
        ax.plot(false[keep], true[keep], label=f"{table.column}: AUC {table.auc():.4f}")
    ax.plot([0, 1], [0, 1], color="grey", linestyle=":")
    ax.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.02))
    ax.legend(loc="lower right")
    return made


def draw_means(mean_images: MeanImages) -> Figure | None:
    """Draw the mean images, a row for each class, a column for each layer."""
    if not mean_images.images:
        return None
    rows, columns = len(mean_images.images), len(mean_images.layers)
    made = Figure(figsize=(1.2 + 3.4 * columns, 3.1 * rows), layout="constrained")
    axes = made.subplots(rows, columns, squeeze=False)
    for row, (name, image) in zip(axes, sorted(mean_images.images.items()), strict=True):
        for ax, layer, channel in zip(row, mean_images.layers, image, strict=True):
            top = float(np.abs(channel).max()) or 1.0
            shown = ax.imshow(channel, cmap="viridis", norm=SymLogNorm(top * 1e-4, vmin=0, vmax=top))
            ax.set_title(f"{name}, {layer}\nmean of {mean_images.counts[name]:,}", fontsize=11)
            ax.set(xlabel="column (phi)", ylabel="row (eta)")
            bar = made.colorbar(shown, ax=ax, fraction=0.046)
            bar.ax.tick_params(labelsize=9)
            bar.set_label("mean pixel, raw", fontsize=10)
    return made


def draw_stages(campaigns: Sequence[CampaignStats]) -> Figure:
    """Draw the wall time per event in each module as stacked bars, a bar for each pool and device."""
    devices = [(campaign, device) for campaign in campaigns for device in campaign.devices]
    names = list(dict.fromkeys(name for _, device in devices for name in device.stages))
    made, ax = figure(size=(8.5, 1.6 + 0.7 * max(2, len(devices))))
    left = np.zeros(len(devices))
    for name, colour in zip(names, mpl.color_sequences["petroff10"], strict=False):
        width = np.array([device.ms_per_event().get(name, 0.0) for _, device in devices])
        ax.barh(range(len(devices)), width, left=left, label=name, color=colour, height=0.6)
        left += width
    ax.set_yticks(range(len(devices)), [f"{campaign.name}\n{device.name}" for campaign, device in devices])
    ax.invert_yaxis()
    ax.set_xlabel("wall time per event and thread [ms]")
    ax.legend(**_BESIDE)
    return made


def draw_throughput(campaigns: Sequence[CampaignStats]) -> Figure:
    """Draw events per second over time."""
    made, ax = figure()
    for campaign in campaigns:
        edges, rate = throughput(campaign)
        ax.stairs(rate, edges, label=f"{campaign.name}: {campaign.rate:,.0f} events/s")
    ax.set(xlabel="time since the first chunk [s]", ylabel="events / s", ylim=(0, None))
    ax.legend(**_ABOVE)
    return made


def draw_efficiency(campaign: CampaignStats, *, nodes: bool) -> Figure:
    """Draw which part of their time workers (or nodes) were in chunks."""
    found = efficiency(campaign, nodes=nodes)
    few = len(found) <= _BARS
    made, ax = figure(size=(7.5, 1.4 + 0.4 * max(2, len(found)) if few else 5))
    what = "node" if nodes else "worker"
    if few:
        ax.barh(list(found), list(found.values()), height=0.6)
        ax.set(xlabel="busy fraction of its threads", xlim=(0, 1.05), ylabel=what)
    else:
        ax.hist(list(found.values()), bins=np.linspace(0, 1, 41))
        ax.set(xlabel=f"busy fraction of a {what}'s threads", ylabel=f"{what}s per bin")
    return made


def draw_roofline(campaign: CampaignStats) -> Figure:
    """Draw what one thread could do if it had one stage only, and what it does with all of them."""
    made = Figure(figsize=(7.5, 1.2 + 2.2 * max(1, len(campaign.devices))), layout="constrained")
    axes = made.subplots(max(1, len(campaign.devices)), 1, squeeze=False)[:, 0]
    for ax, device in zip(axes, campaign.devices, strict=False):
        roofs = roofline(device)
        bound = min(roofs, key=lambda name: roofs[name], default="")
        colours = ["C1" if name == bound else "C0" for name in roofs]
        ax.barh(list(roofs), list(roofs.values()), color=colours, height=0.6)
        ax.axvline(device.events_per_s(), color="black", linestyle="--", label="all stages together")
        ax.set(xscale="log", xlabel="events / s of one thread", title=f"{device.name}: bound by {bound}")
        ax.invert_yaxis()
        ax.legend(**_BESIDE)
    return made


def draw_scaling(campaigns: Sequence[CampaignStats]) -> Figure | None:
    """Draw events per second against threads, from campaigns of one tagger with different numbers of them."""
    groups: dict[str, list[CampaignStats]] = {}
    for campaign in campaigns:
        if campaign.rate:
            groups.setdefault(str(campaign.plan.tagger.get("name")), []).append(campaign)
    groups = {name: some for name, some in groups.items() if len({campaign.threads for campaign in some}) > 1}
    if not groups:
        return None
    made, ax = figure()
    for i, (name, some) in enumerate(sorted(groups.items())):
        ordered = sorted(some, key=lambda campaign: campaign.threads)
        threads, rates = (np.array([getattr(one, what) for one in ordered]) for what in ("threads", "rate"))
        ax.plot(threads, rates, "o-", color=f"C{i}", label=name)
        ax.plot(threads, rates[0] / threads[0] * threads, ":", color=f"C{i}", label=f"{name}, ideal")
    ax.set(xlabel="threads at work", ylabel="events / s", xscale="log", yscale="log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("{x:g}")
    ax.legend()
    return made


def draw_scalability(scaling: Sequence[Series]) -> Figure | None:
    """Draw speed-up at a fixed number of events, and efficiency with events in proportion to the workers."""
    if not scaling:
        return None
    made, rows = figure(columns=2, size=(11, 5.2))
    axes = rows[0]
    most = max(point.workers for one in scaling for point in one.points)
    looks = _looks(scaling)
    for ax, mode in zip(axes, ("strong", "weak"), strict=True):
        for one in (one for one in scaling if one.mode == mode):
            values = [p.speedup if mode == "strong" else p.efficiency for p in one.points]
            name = f"{one.source}: {one.label}"
            ax.plot([p.workers for p in one.points], values, label=name, **looks[name])
        ax.plot([1, most], [1, most if mode == "strong" else 1], ":", color="grey", label="ideal", zorder=1)
        ax.set_xscale("log", base=4)
        ax.set(xlabel="workers of one thread", title=f"{mode} scaling", xlim=(0.8, most * 1.25))
        ax.xaxis.set_major_formatter("{x:,.0f}")
    axes[0].set_yscale("log", base=4)
    axes[0].yaxis.set_major_formatter("{x:,.0f}")
    axes[0].set(ylabel="times one worker")
    # On a crowded machine more workers may well have had a better moment.
    top = max(point.efficiency for one in scaling for point in one.points)
    axes[1].set(ylabel="efficiency", ylim=(0, max(1.1, 1.05 * top)))
    shown: dict[str, Any] = {}
    for ax in axes:
        ax.minorticks_off()
        shown |= {name: drawn for drawn, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    made.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=1)
    return made


def _looks(scaling: Sequence[Series]) -> dict[str, dict[str, Any]]:
    """Return a look for each name: lines for what is simulated, hollow points for what is measured."""
    found: dict[str, dict[str, Any]] = {}
    for one in scaling:
        name = f"{one.source}: {one.label}"
        if name not in found:
            look: dict[str, Any] = {"color": f"C{len(found) % 10}", "zorder": 2}
            if one.source == "measured":
                look |= {"linestyle": "none", "marker": "os^Dvp"[len(found) % 6], "markersize": 9}
                # Hollow: points of several places often lie on each other.
                look |= {"markerfacecolor": "none", "markeredgewidth": 1.8, "zorder": 3}
            found[name] = look
    return found


def draw_bill(campaign: CampaignStats) -> Figure | None:
    """Draw what became of the allocated worker hours."""
    if not campaign.bill:
        return None
    made, ax = figure(size=(7.5, 1.5 + 0.6 * max(2, len(campaign.bill))))
    left = np.zeros(len(campaign.bill))
    for name in ("used", "idle", "starting", "lost"):
        hours = np.array([getattr(row, f"{name}_h") for row in campaign.bill])
        ax.barh([row.pool for row in campaign.bill], hours, left=left, label=name, height=0.6)
        left += hours
    ax.set_xlabel("worker hours")
    ax.set_ylabel("pool")
    ax.legend(**_BESIDE)
    return made


def all_figures(
    campaigns: Sequence[CampaignStats],
    tables: Sequence[Sequence[ScoreTable]],
    mean_images: Sequence[MeanImages],
    scaling: Sequence[Series] = (),
) -> dict[str, Figure]:
    """Return every figure that these campaigns have something for, by a name that is fit for a file."""
    found: dict[str, Figure | None] = {}
    with mpl.rc_context(STYLE):
        for number, (campaign, scores, images) in enumerate(zip(campaigns, tables, mean_images, strict=True)):
            mark = f"-{number + 1}" if len(campaigns) > 1 else ""
            for table in scores:
                found[f"score-{table.column}{mark}"] = draw_scores(table)
            found[f"roc{mark}"] = draw_roc(scores)
            found[f"means{mark}"] = draw_means(images)
            if len(campaign.started):
                found[f"roofline{mark}"] = draw_roofline(campaign)
                found[f"workers{mark}"] = draw_efficiency(campaign, nodes=False)
                found[f"nodes{mark}"] = draw_efficiency(campaign, nodes=True)
            found[f"bill{mark}"] = draw_bill(campaign)
        if any(campaign.devices for campaign in campaigns):
            found |= {"stages": draw_stages(campaigns), "throughput": draw_throughput(campaigns)}
        found["scaling"] = draw_scaling(campaigns)
        found["scalability"] = draw_scalability(scaling)
    return {name: made for name, made in found.items() if made is not None}
