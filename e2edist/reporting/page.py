"""One self-contained page, and the figures beside it."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
from matplotlib.figure import Figure

from e2edist import __version__
from e2edist.storage.publish import publish

from .campaign_stats import CampaignStats
from .figures import STYLE
from .mean_images import MeanImages
from .scaling import Series, describe_points, scaling_rows

PAGE = "report.html"
_SHOWN = 50
_CAPTIONS = {
    "score": "Distribution of the score, each class by itself.",
    "roc": "ROC curve where truth is known.",
    "means": "Mean images before normalisation, of a sample of the objects.",
    "stages": "Wall time per event in each module, by pool and device.",
    "throughput": "Events per second; the events of a chunk are spread over its time.",
    "workers": "How busy each worker was between its first and its last chunk.",
    "nodes": "The same by node.",
    "roofline": "What one thread could do with one stage alone: the shortest bar bounds the pipeline.",
    "scaling": "Events per second against threads at work; dotted: in proportion to the fewest.",
    "bill": "What became of the worker hours.",
}
_GROUPS = {
    "scores": ("score", "roc"),
    "means": ("means",),
    "time": ("stages", "throughput", "roofline", "workers", "nodes", "scaling", "scalability"),
    "bill": ("bill",),
}


def save_figures(folder: Path, figures: dict[str, Figure]) -> dict[str, str]:
    """Write each figure as PNG and PDF; return name -> data URI of the PNG."""
    found = {}
    for name, made in figures.items():
        for ending in ("png", "pdf"):
            stream = BytesIO()
            with mpl.rc_context(STYLE):
                made.savefig(stream, format=ending, dpi=110)
            with publish(folder / f"{name}.{ending}") as draft:
                draft.write_bytes(stream.getvalue())
            if ending == "png":
                found[name] = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
    return found


def write_page(
    folder: Path,
    campaigns: Sequence[CampaignStats],
    mean_images: Sequence[MeanImages],
    figures: dict[str, str],
    module_times: list[list[str]],
    scaling: Sequence[Series] = (),
) -> Path:
    """Write ``report.html`` and return its path.

    Raises
    ------
    OutputError
        The folder can't be written.
    """
    source = (files("e2edist.reporting") / "page.html.jinja").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(source)
    html = page.render(
        title=f"e2edist: {', '.join(campaign.name for campaign in campaigns)}",
        made=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        version=__version__,
        counts=_counts(campaigns),
        warnings=[f"{campaign.name}: {line}" for campaign in campaigns for line in campaign.total.warnings],
        problems=[f"{s.name}: {m.problem}" for s, m in zip(campaigns, mean_images, strict=True) if m.problem],
        module_times=module_times,
        losses=_losses(campaigns),
        provenance=_provenance(campaigns),
        bill=_bill(campaigns),
        figures=figures,
        captions=lambda name: _caption(name, campaigns, scaling),
        scaling=scaling_rows(scaling),
        groups={group: _of_group(figures, heads) for group, heads in _GROUPS.items()},
    )
    with publish(folder / PAGE) as draft:
        draft.write_text(html, encoding="utf-8")
    return folder / PAGE


def _of_group(figures: dict[str, str], heads: tuple[str, ...]) -> list[str]:
    return [name for head in heads for name in figures if name.split("-")[0] == head]


def _caption(name: str, campaigns: Sequence[CampaignStats], scaling: Sequence[Series]) -> str:
    """Return what a figure shows; of one of several campaigns it also says of which."""
    if name == "scalability":
        return describe_points(scaling)
    text, mark = _CAPTIONS[name.split("-", maxsplit=1)[0]], name.rsplit("-", 1)[-1]
    whose = f"{campaigns[int(mark) - 1].name}: " if len(campaigns) > 1 and mark.isdigit() else ""
    return f"{whose}{text}"


def _counts(campaigns: Sequence[CampaignStats]) -> list[list[str]]:
    head = ["", *(campaign.name for campaign in campaigns)]
    rows: dict[str, list[str]] = {
        "events planned": [f"{campaign.plan.events:,}" for campaign in campaigns],
        "events done": [f"{campaign.total.events:,}" for campaign in campaigns],
        "events lost": [f"{campaign.lost:,}" for campaign in campaigns],
        "chunks": [f"{campaign.total.chunks:,}" for campaign in campaigns],
        "objects": [f"{campaign.total.objects:,}" for campaign in campaigns],
    }
    for status in sorted({s for one in campaigns for s in one.total.status}, key=lambda s: (s != "ok", s)):
        title = "with scores" if status == "ok" else f"rejected: {status}"
        rows[title] = [f"{campaign.total.status.get(status, 0):,}" for campaign in campaigns]
    rows["threads at work"] = [f"{campaign.threads:,}" for campaign in campaigns]
    rows["events / s"] = [f"{campaign.rate:,.0f}" for campaign in campaigns]
    rows["largest worker"] = [f"{campaign.total.peak_mib:,} MiB" for campaign in campaigns]
    return [head, *([name, *cells] for name, cells in rows.items())]


def _losses(campaigns: Sequence[CampaignStats]) -> list[list[str]]:
    rows = [(campaign.name, row) for campaign in campaigns for row in campaign.losses]
    rows.sort(key=lambda item: -(item[1].get("events") or 0))
    table = [["campaign", "file", "entries", "events", "attempts", "reason"]]
    for name, row in rows[:_SHOWN]:
        entries = f"{row['start']}-{row['stop']}" if row.get("stop") is not None else "all"
        cells = (row["url"], entries, f"{row['events']:,}", str(row["attempts"]), str(row["reason"]))
        table.append([name, *cells])
    if len(rows) > _SHOWN:
        table.append([f"and {len(rows) - _SHOWN} more", "", "", "", "", "see bad.parquet"])
    return table


def _provenance(campaigns: Sequence[CampaignStats]) -> list[list[str]]:
    table = [["campaign", "what", "", "parts"]]
    for campaign in campaigns:
        plan = campaign.plan
        facts: dict[str, Any] = {"folder": campaign.folder.absolute(), "fingerprint": plan.fingerprint}
        facts |= {"model": plan.tagger.get("model"), "input files": f"{len(plan.files):,}"}
        table += [[campaign.name, name, str(fact), ""] for name, fact in facts.items()]
        for name, counter in campaign.provenance.items():
            table += [[campaign.name, name, text, f"{n:,}"] for text, n in counter.most_common(_SHOWN)]
    return table


def _bill(campaigns: Sequence[CampaignStats]) -> list[list[str]]:
    head = ["campaign", "pool", "worker h", "used", "idle", "starting", "lost", "node h", "GPU h", "charge"]
    table = [[*head, "per million events"]]
    for campaign in campaigns:
        for row in campaign.bill:
            hours = (row.allocated_h, row.used_h, row.idle_h, row.starting_h, row.lost_h, row.node_h)
            paid = f" = {row.cost:.2f} {row.currency}" if row.currency else ""
            million = row.charge_per_million
            cells = [f"{h:.4g}" for h in (*hours, row.gpu_h)]
            cells += [f"{row.charge:.4g} {row.unit}{paid}", "" if million is None else f"{million:.4g}"]
            table.append([campaign.name, row.pool, *cells])
    return table
