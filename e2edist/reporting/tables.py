"""The tables of a report, as text: what was done, what was lost, where it comes from, what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from e2edist.config.lumi_mask import describe_mask
from e2edist.counted import counted
from e2edist.demo.networks import is_demo_network

from .campaign_stats import CampaignStats
from .score_figures import TaggerScores

_SHOWN = 50
#: Characters of a checksum that tell it from all others that a reader knows.
_SHORT = 12


@dataclass(frozen=True, slots=True)
class Headline:
    """A number that matters."""

    value: str
    what: str
    detail: str = ""
    bad: bool = False


class Fact(NamedTuple):
    """A cell of the table of origins: what is shown, and what a pointer on it shows."""

    text: str
    full: str = ""


def headlines(campaign: CampaignStats, scores: TaggerScores | None) -> list[Headline]:
    """Return the five numbers that matter most of a campaign."""
    total = campaign.total
    planned = campaign.events_planned
    threads = f"{counted(campaign.threads, 'thread')} at work"
    share = f"{100 * campaign.lost / planned:.3g} % of those planned" if planned else ""
    return [
        Headline(f"{total.events:,}", "events", f"of {planned:,} planned{_in_mask(campaign)}"),
        Headline(f"{total.status['ok']:,}", "objects with scores", f"of {total.objects:,} candidates"),
        Headline(f"{campaign.rate:,.0f}", "events / s", f"{threads}, set-up included"),
        Headline(f"{campaign.lost:,}", "events lost", share, bad=campaign.lost > 0),
        _last_headline(campaign, scores),
    ]


def _in_mask(campaign: CampaignStats) -> str:
    return f", {campaign.events_in_mask:,} in the lumi mask" if campaign.plan.lumi_mask else ""


def _last_headline(campaign: CampaignStats, scores: TaggerScores | None) -> Headline:
    """Return the AUC where truth is known, else the charge, else the time."""
    for name, kind, table, curve in scores.rocs() if scores else ():
        if name == campaign.name:
            value = f"{curve.auc:.3f} ± {curve.auc_error:.3f}"
            return Headline(value, "AUC", f"score {table.column}, {kind} collection")
    charged = [row for row in campaign.bill if row.charged]
    if charged and len({row.unit for row in charged}) == 1:
        charge = sum(row.charge for row in charged)
        return Headline(f"{charge:.3g} {charged[0].unit}", "charge", "of all runs")
    return Headline(f"{campaign.span_s:,.1f} s", "time", "in which chunks ran")


def headline_table(
    campaigns: Sequence[CampaignStats], scores: Sequence[TaggerScores | None]
) -> list[list[str]]:
    """Return the headlines of several campaigns as a table, head first: a row for each."""
    head = ["campaign", "tagger", "events", "with scores", "events / s", "lost", "AUC, charge or time"]
    rows = [head]
    for campaign, some in zip(campaigns, scores, strict=True):
        five = headlines(campaign, some)
        last = five[-1]
        name = f"{last.what}: " if last.what != "AUC" else ""
        cells = [*(one.value for one in five[:-1]), f"{name}{last.value}"]
        rows.append([campaign.name, campaign.tagger, *cells])
    return rows


def count_rows(campaigns: Sequence[CampaignStats]) -> list[list[str]]:
    """Return what was done as a table, head first: a column for each campaign."""
    head = ["", *(campaign.name for campaign in campaigns)]
    rows: dict[str, list[str]] = {
        "events planned": [f"{campaign.events_planned:,}" for campaign in campaigns],
        "events done": [f"{campaign.total.events:,}" for campaign in campaigns],
        "events lost": [f"{campaign.lost:,}" for campaign in campaigns],
        "chunks": [f"{campaign.total.chunks:,}" for campaign in campaigns],
        "objects": [f"{campaign.total.objects:,}" for campaign in campaigns],
    }
    for status in sorted({s for one in campaigns for s in one.total.status}, key=lambda s: (s != "ok", s)):
        title = "with scores" if status == "ok" else f"rejected: {status}"
        rows[title] = [f"{campaign.total.status.get(status, 0):,}" for campaign in campaigns]
    rows["threads at work"] = [f"{campaign.threads:,}" for campaign in campaigns]
    rows["events / s, set-up included"] = [f"{campaign.rate:,.0f}" for campaign in campaigns]
    rows["largest worker"] = [f"{campaign.total.peak_mib:,} MiB" for campaign in campaigns]
    return [head, *([name, *cells] for name, cells in rows.items())]


def loss_rows(campaigns: Sequence[CampaignStats]) -> list[list[str]]:
    """Return what was lost as a table, head first, the most events first; only a head where nothing was."""
    rows = [(campaign.name, row) for campaign in campaigns for row in campaign.losses]
    rows.sort(key=lambda item: -(item[1].get("events") or 0))
    table = [["campaign", "file", "entries", "events", "attempts", "reason"]]
    for name, row in rows[:_SHOWN]:
        entries = f"{row['start']}-{row['stop']}" if row.get("stop") is not None else "all"
        cells = (row["url"], entries, f"{row['events']:,}", str(row["attempts"]), str(row["reason"]))
        table.append([name, *cells])
    if len(rows) > _SHOWN:
        table.append(["", f"and {len(rows) - _SHOWN} more", "", "", "", "see bad.parquet"])
    return table if len(campaigns) > 1 else [row[1:] for row in table]


def origin_rows(campaign: CampaignStats) -> list[tuple[str, list[Fact]]]:
    """Return where a campaign comes from: what, and one or more facts; checksums short."""
    plan, tagger = campaign.plan, campaign.plan.tagger
    sha256 = str(tagger.get("model", {}).get("sha256", ""))
    network = "demo network, sha256" if is_demo_network(sha256) else "sha256"
    facts = {
        "folder": [Fact(str(campaign.folder.absolute()))],
        "tagger": [Fact(", ".join(str(tagger[key]) for key in ("name", "module") if tagger.get(key)))],
        "model": [Fact(f"{network} {_short(sha256)}", sha256)],
        "classes": [Fact(", ".join(f"{i} {name}" for i, name in enumerate(campaign.classes)))],
        "inputs": [
            Fact(f"{counted(len(plan.files), 'file')}, {counted(plan.events, 'event')}"),
            *_files(campaign),
        ],
        "datasets": [Fact(f"{one.name}: {counted(len(one.files), 'file')}") for one in plan.datasets],
        "lumi mask": [Fact(describe_mask(plan.lumi_mask))] if plan.lumi_mask else [],
        "commands": [Fact(command) for command in dict.fromkeys(campaign.commands)],
        "plan": [Fact(f"fingerprint {_short(plan.fingerprint)}", plan.fingerprint)],
    }
    for name, counter in campaign.provenance.items():
        several = len(counter) > 1
        facts[name] = [
            Fact(f"{text} ({counted(n, 'part')})" if several else text)
            for text, n in counter.most_common(_SHOWN)
        ]
    return [(name, some) for name, some in facts.items() if some and some[0].text]


def _files(campaign: CampaignStats) -> list[Fact]:
    files = campaign.plan.files
    shown = [
        Fact(f"{file.url}, {counted(file.entries, 'event')}", f"uuid {file.uuid}") for file in files[:_SHOWN]
    ]
    more = len(files) - len(shown)
    return [*shown, *([Fact(f"and {more:,} more, see plan.json")] if more else [])]


def _short(checksum: str) -> str:
    return f"{checksum[:_SHORT]}…" if len(checksum) > _SHORT else checksum or "unknown"


def bill_rows(campaigns: Sequence[CampaignStats]) -> list[list[str]]:
    """Return what may be charged as a table, head first; only a head where nothing may."""
    head = ["campaign", "pool", "worker h", "used", "idle", "starting", "lost", "node h", "GPU h", "charge"]
    table = [[*head, "per million events"]]
    for campaign in campaigns:
        for row in campaign.bill:
            if not row.charged:
                continue
            hours = (row.allocated_h, row.used_h, row.idle_h, row.starting_h, row.lost_h, row.node_h)
            paid = f" = {row.cost:.2f} {row.currency}" if row.currency else ""
            million = row.charge_per_million
            cells = [f"{h:.4g}" for h in (*hours, row.gpu_h)]
            cells += [f"{row.charge:.4g} {row.unit}{paid}", "" if million is None else f"{million:.4g}"]
            table.append([campaign.name, row.pool, *cells])
    return table
