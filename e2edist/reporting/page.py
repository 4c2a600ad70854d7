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
from .mean_images import Means
from .scaling import Series, rows_of, sentence

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
    stories: Sequence[CampaignStats],
    means: Sequence[Means],
    figures: dict[str, str],
    paper: list[list[str]],
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
        title=f"e2edist: {', '.join(story.name for story in stories)}",
        made=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        version=__version__,
        counts=_counts(stories),
        warnings=[f"{story.name}: {line}" for story in stories for line in story.total.warnings],
        troubles=[f"{s.name}: {m.trouble}" for s, m in zip(stories, means, strict=True) if m.trouble],
        paper=paper,
        bad=_bad(stories),
        origins=_origins(stories),
        bill=_bill(stories),
        figures=figures,
        captions=lambda name: sentence(scaling) if name == "scalability" else _caption(name, stories),
        scaling=rows_of(scaling),
        groups={group: _of_group(figures, heads) for group, heads in _GROUPS.items()},
    )
    with publish(folder / PAGE) as draft:
        draft.write_text(html, encoding="utf-8")
    return folder / PAGE


def _of_group(figures: dict[str, str], heads: tuple[str, ...]) -> list[str]:
    return [name for head in heads for name in figures if name.split("-")[0] == head]


def _caption(name: str, stories: Sequence[CampaignStats]) -> str:
    """Return what a figure shows; of one of several campaigns it also says of which."""
    text, mark = _CAPTIONS[name.split("-", maxsplit=1)[0]], name.rsplit("-", 1)[-1]
    whose = f"{stories[int(mark) - 1].name}: " if len(stories) > 1 and mark.isdigit() else ""
    return f"{whose}{text}"


def _counts(stories: Sequence[CampaignStats]) -> list[list[str]]:
    head = ["", *(story.name for story in stories)]
    rows: dict[str, list[str]] = {
        "events planned": [f"{story.plan.events:,}" for story in stories],
        "events done": [f"{story.total.events:,}" for story in stories],
        "events lost": [f"{story.lost:,}" for story in stories],
        "chunks": [f"{story.total.chunks:,}" for story in stories],
        "objects": [f"{story.total.objects:,}" for story in stories],
    }
    for status in sorted({s for story in stories for s in story.total.status}, key=lambda s: (s != "ok", s)):
        title = "with scores" if status == "ok" else f"rejected: {status}"
        rows[title] = [f"{story.total.status.get(status, 0):,}" for story in stories]
    rows["threads at work"] = [f"{story.threads:,}" for story in stories]
    rows["events / s"] = [f"{story.rate:,.0f}" for story in stories]
    rows["largest worker"] = [f"{story.total.peak_mib:,} MiB" for story in stories]
    return [head, *([name, *cells] for name, cells in rows.items())]


def _bad(stories: Sequence[CampaignStats]) -> list[list[str]]:
    rows = [(story.name, row) for story in stories for row in story.bad]
    rows.sort(key=lambda item: -(item[1].get("events") or 0))
    table = [["campaign", "file", "entries", "events", "attempts", "reason"]]
    for name, row in rows[:_SHOWN]:
        entries = f"{row['start']}-{row['stop']}" if row.get("stop") is not None else "all"
        cells = (row["url"], entries, f"{row['events']:,}", str(row["attempts"]), str(row["reason"]))
        table.append([name, *cells])
    if len(rows) > _SHOWN:
        table.append([f"and {len(rows) - _SHOWN} more", "", "", "", "", "see bad.parquet"])
    return table


def _origins(stories: Sequence[CampaignStats]) -> list[list[str]]:
    table = [["campaign", "what", "", "parts"]]
    for story in stories:
        facts: dict[str, Any] = {"folder": story.folder.absolute(), "fingerprint": story.plan.fingerprint}
        facts |= {"model": story.plan.tagger.get("model"), "input files": f"{len(story.plan.files):,}"}
        table += [[story.name, name, str(fact), ""] for name, fact in facts.items()]
        for name, counter in story.origins.items():
            table += [[story.name, name, text, f"{n:,}"] for text, n in counter.most_common(_SHOWN)]
    return table


def _bill(stories: Sequence[CampaignStats]) -> list[list[str]]:
    head = ["campaign", "pool", "worker h", "used", "idle", "starting", "lost", "node h", "GPU h", "charge"]
    table = [[*head, "per million events"]]
    for story in stories:
        for row in story.bill:
            hours = (row.allocated_h, row.used_h, row.idle_h, row.starting_h, row.lost_h, row.node_h)
            paid = f" = {row.cost:.2f} {row.currency}" if row.currency else ""
            million = row.charge_per_million
            cells = [f"{h:.4g}" for h in (*hours, row.gpu_h)]
            cells += [f"{row.charge:.4g} {row.unit}{paid}", "" if million is None else f"{million:.4g}"]
            table.append([story.name, row.pool, *cells])
    return table
