"""How throughput grows with threads and workers: of campaigns, and of scaling benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .campaign_stats import CampaignStats
from .scaling import Series, describe_points
from .style import Drawing, new_figure, series_colour


def draw_scaling(campaigns: Sequence[CampaignStats]) -> Drawing | None:
    """Draw events per second against threads, from campaigns of one tagger with different numbers of them."""
    groups: dict[str, list[CampaignStats]] = {}
    for campaign in campaigns:
        if campaign.rate:
            groups.setdefault(str(campaign.plan.tagger.get("name")), []).append(campaign)
    groups = {name: some for name, some in groups.items() if len({campaign.threads for campaign in some}) > 1}
    if not groups:
        return None
    made, (ax,) = new_figure()
    for i, (name, some) in enumerate(sorted(groups.items())):
        ordered = sorted(some, key=lambda campaign: campaign.threads)
        threads, rates = (np.array([getattr(one, what) for one in ordered]) for what in ("threads", "rate"))
        ax.plot(threads, rates, "o-", color=series_colour(i), label=name)
        ax.plot(threads, rates[0] / threads[0] * threads, ":", color=series_colour(i), label=f"{name}, ideal")
    ax.set(xlabel="threads at work", ylabel="events / s", xscale="log", yscale="log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("{x:g}")
    ax.legend()
    caption = "Events per second against threads at work; dotted: in proportion to the fewest."
    return Drawing(made, "time", caption)


def draw_scalability(scaling: Sequence[Series]) -> Drawing | None:
    """Draw speed-up at a fixed number of events, and efficiency with events in proportion to the workers."""
    if not scaling:
        return None
    made, axes = new_figure(columns=2, size=(12, 5.2))
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
    return Drawing(made, "time", describe_points(scaling), wide=True)


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
