"""Where time went: modules, throughput, workers and nodes, and what it was billed for."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import NullFormatter

from e2edist.counted import counted
from e2edist.records.receipt import EVENTSETUP

from .campaign_stats import CampaignStats, DeviceStats, efficiency, roofline, throughput
from .style import ABOVE, BESIDE, Drawing, new_figure, series_colour

#: Up to so many workers have a bar each; beyond, their distribution is shown.
_BARS = 24
#: Fewer chunks are no course of time.
_CHUNKS = 3
_BOUND = "#bd1f01"


def draw_stages(campaigns: Sequence[CampaignStats]) -> Drawing | None:
    """Draw the wall time per event in each module: bars of one device, stacked bars of several."""
    devices = [(campaign, device) for campaign in campaigns for device in campaign.devices if device.events]
    if not devices:
        return None
    return _modules(devices[0][1]) if len(devices) == 1 else _stacked(devices)


def _modules(device: DeviceStats) -> Drawing:
    times = {name: ms for name, ms in device.ms_per_event().items() if name != EVENTSETUP}
    total, bound = sum(times.values()), max(times, key=lambda name: times[name], default="")
    made, (ax,) = new_figure(size=(6.6, 1.3 + 0.42 * len(times)))
    colours = [_BOUND if name == bound else series_colour(0) for name in times]
    bars = ax.barh(list(times), list(times.values()), color=colours, height=0.65)
    shares = [f"{ms:.3g} ms ({ms / total:.0%})" if total else "" for ms in times.values()]
    ax.bar_label(bars, shares, padding=4, fontsize=11)
    ax.set(xlabel="wall time per event and thread [ms]", xlim=(0, 1.35 * max(times.values(), default=1.0)))
    ax.invert_yaxis()
    ax.tick_params(axis="y", which="both", length=0)
    ax.yaxis.set_minor_formatter(NullFormatter())
    alone = roofline(device).get(bound, 0.0)
    caption = (
        f"Wall time per event in each module on {device.name}. {bound} bounds a thread: alone it would do "
        f"{alone:,.0f} events/s, with all modules a thread does {device.events_per_s():,.0f}."
    )
    return Drawing(made, "time", caption)


def _stacked(devices: Sequence[tuple[CampaignStats, DeviceStats]]) -> Drawing:
    names = list(dict.fromkeys(name for _, device in devices for name in device.stages if name != EVENTSETUP))
    made, (ax,) = new_figure(size=(12.5, 1.6 + 0.7 * len(devices)))
    left = np.zeros(len(devices))
    for name, colour in zip(names, mpl.color_sequences["petroff10"], strict=False):
        width = np.array([device.ms_per_event().get(name, 0.0) for _, device in devices])
        ax.barh(range(len(devices)), width, left=left, label=name, color=colour, height=0.6)
        left += width
    ax.set_yticks(range(len(devices)), [f"{campaign.name}\n{device.name}" for campaign, device in devices])
    ax.minorticks_off()
    ax.invert_yaxis()
    ax.set_xlabel("wall time per event and thread [ms]")
    ax.legend(**BESIDE)
    return Drawing(made, "time", "Wall time per event in each module, by pool and device.", wide=True)


def draw_throughput(campaigns: Sequence[CampaignStats]) -> Drawing | None:
    """Draw events per second over time, of campaigns with enough chunks for it."""
    shown = [campaign for campaign in campaigns if len(campaign.started) >= _CHUNKS]
    if not shown:
        return None
    made, (ax,) = new_figure(size=(6.6, 3.9))
    for i, campaign in enumerate(shown):
        edges, rate = throughput(campaign)
        text = f"{campaign.name}: {campaign.rate:,.0f} events/s"
        ax.stairs(rate, edges, label=text, color=series_colour(i), linewidth=1.8)
    ax.set(xlabel="time since the first chunk [s]", ylabel="events / s", xlim=(0, None), ylim=(0, None))
    ax.legend(**(ABOVE | {"ncols": 1}))
    caption = "Events per second; the events of a chunk are spread over its time, without setting up."
    return Drawing(made, "time", caption)


def draw_efficiency(campaign: CampaignStats, *, nodes: bool) -> Drawing | None:
    """Draw which part of their time workers (or nodes) were in chunks; of one there is nothing to draw."""
    found = efficiency(campaign, nodes=nodes)
    if len(found) < 2:
        return None
    few = len(found) <= _BARS
    made, (ax,) = new_figure(size=(6.6, 1.3 + 0.4 * len(found) if few else 4.2))
    what = "node" if nodes else "worker"
    if few:
        ax.barh(list(found), list(found.values()), height=0.6, color=series_colour(0))
        ax.set(xlabel="busy fraction of its threads", xlim=(0, 1.05), ylabel=what)
        ax.tick_params(axis="y", which="both", length=0)
    else:
        ax.hist(list(found.values()), bins=np.linspace(0, 1, 41), color=series_colour(0))
        ax.set(xlabel=f"busy fraction of a {what}'s threads", ylabel=f"{what}s per bin", xlim=(0, 1))
    caption = (
        f"How busy each of the {len(found):,} {what}s of {campaign.name} was between its first and its last "
        f"chunk, {np.mean(list(found.values())):.0%} on average."
    )
    return Drawing(made, "time", caption)


def draw_roofline(campaign: CampaignStats) -> Drawing | None:
    """Draw what one thread could do if it had one stage only; of several devices, beside each other."""
    devices = [device for device in campaign.devices if device.events]
    if len(devices) < 2:
        return None
    made, axes = new_figure(len(devices), 1, (6.6, 1.2 + 2.2 * len(devices)))
    for ax, device in zip(axes, devices, strict=True):
        roofs = roofline(device)
        bound = min(roofs, key=lambda name: roofs[name], default="")
        colours = [_BOUND if name == bound else series_colour(0) for name in roofs]
        ax.barh(list(roofs), list(roofs.values()), color=colours, height=0.6)
        ax.axvline(device.events_per_s(), color="black", linestyle="--")
        ax.set(xscale="log", xlabel="events / s of one thread", title=f"{device.name}: bound by {bound}")
        ax.tick_params(axis="y", which="both", length=0)
        ax.invert_yaxis()
    caption = (
        f"{campaign.name}: what one thread could do with one module alone. The shortest bar bounds it; "
        "dashed: all modules together."
    )
    return Drawing(made, "time", caption)


def time_notes(campaigns: Sequence[CampaignStats]) -> list[str]:
    """Return as sentences what would be a figure of one bar."""
    found = []
    for campaign in campaigns:
        workers = efficiency(campaign, nodes=False)
        if len(workers) == 1:
            ((name, busy),) = workers.items()
            host, _, pid = name.rpartition(" ")
            threads = counted(campaign.threads, "thread")
            found.append(
                f"{campaign.name}: one worker (process {pid} on {host}, {threads} at work), busy {busy:.0%} "
                "of the time between its first and its last chunk."
            )
        elif len(hosts := efficiency(campaign, nodes=True)) == 1:
            ((host, busy),) = hosts.items()
            found.append(
                f"{campaign.name}: all workers ran on one node, {host}, busy {busy:.0%} of its time."
            )
        if 0 < len(campaign.started) < _CHUNKS:
            found.append(f"{campaign.name}: too few chunks ({len(campaign.started)}) for a course of time.")
    return found


def draw_bill(campaign: CampaignStats) -> Drawing | None:
    """Draw what became of the worker hours that somebody may charge for."""
    rows = [row for row in campaign.bill if row.charged]
    if not rows:
        return None
    made, (ax,) = new_figure(size=(6.6, 1.5 + 0.6 * len(rows)))
    left = np.zeros(len(rows))
    for i, name in enumerate(("used", "idle", "starting", "lost")):
        hours = np.array([getattr(row, f"{name}_h") for row in rows])
        label = f"{name}, {hours.sum():.3g} h"
        ax.barh([row.pool for row in rows], hours, left=left, label=label, height=0.6, color=_HOURS[i])
        left += hours
    ax.set(xlabel="worker hours", ylabel="pool")
    ax.tick_params(axis="y", which="both", length=0)
    ax.legend(**BESIDE)
    return Drawing(made, "bill", f"{campaign.name}: what became of the worker hours.")


_HOURS = ("#3f90da", "#94a4a2", "#ffa90e", "#bd1f01")
