"""All tables and sums of one or more campaigns in a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2edist import __version__
from e2edist.accounting.summary import Summary, summarise, write_timing
from e2edist.config.lumi_mask import describe_mask
from e2edist.errors import OutputError
from e2edist.records.folder import AggregatedFolder, CampaignFolder
from e2edist.records.lock import locked
from e2edist.records.losses import write_losses
from e2edist.storage.publish import publish, sweep

from .datasets import Dataset
from .file_names import FileNames, write_sums
from .finished_campaigns import FinishedCampaign, PartReceipts, missing_groups
from .processed_lumis import ProcessedLumis
from .sorted_table import compact


@dataclass(frozen=True, slots=True)
class AggregationResult:
    """What was written, and what it comes to.

    Attributes
    ----------
    events : dict of str to int
        ``planned`` in files that could be opened, ``skipped`` with the others (an estimate), ``done``, and
        ``lost``: given up, or skipped without having been asked to.
    lumis_unknown : int
        Events whose luminosity block is not known, where that of others is: ``processed_lumis.json`` is then
        not written.
    datasets, metadata_conflicts
        As `FileNames.sums` and `FileNames.conflicts`.
    """

    folder: Path
    files: list[Path]
    total: Summary
    events: dict[str, int]
    lumis_unknown: int = 0
    datasets: dict[str, dict[str, Any]] = field(default_factory=dict)
    metadata_conflicts: tuple[str, ...] = ()

    @property
    def lost_fraction(self) -> float:
        """Fraction of all events that is lost."""
        return self.events["lost"] / max(1, _all(self.events))


def _all(events: dict[str, int]) -> int:
    return events["planned"] + events["skipped"]


def write_aggregated(
    campaigns: Sequence[FinishedCampaign], datasets: Sequence[Dataset], folder: Path
) -> AggregationResult:
    """Write table, ``timing.parquet``, ``bad.parquet`` and ``summary.json`` below `folder`.

    Raises
    ------
    OutputError
        The folder can't be written, is a campaign's, or another process works on it.
    """
    if CampaignFolder(folder).is_planned():
        raise OutputError(str(folder), "is a campaign's folder", "Choose another --output.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"can't be made ({error.strerror})"
        raise OutputError(str(folder), what, "Choose another --output.") from error
    with locked(folder):
        sweep(folder)
        return _write(campaigns, datasets, folder)


def _write(
    campaigns: Sequence[FinishedCampaign], datasets: Sequence[Dataset], folder: Path
) -> AggregationResult:
    receipts = PartReceipts(campaigns)
    lumis = ProcessedLumis()
    total = summarise(lumis.collect(receipts.values()))
    events = {
        "planned": sum(one.plan.events for one in campaigns),
        "skipped": sum(one.skipped_events for one in campaigns),
        "done": total.events,
        "lost": sum(one.lost for one in campaigns),
    }
    target = AggregatedFolder(folder)
    text = json.dumps(_content(campaigns, datasets, total, events), indent=1)
    if not target.summary.exists() or target.summary.read_text(encoding="utf-8", errors="replace") != text:
        target.summary.unlink(missing_ok=True)
    names = FileNames.of(campaigns)
    sums = names.sums(campaigns)
    files = compact(campaigns, datasets, names, folder, _origin(campaigns, total))
    write_timing(target.timing, receipts)
    rows = [row for one in campaigns for row in one.loss_rows()]
    write_losses(target.losses, [row | {"fraction": row["events"] / max(1, _all(events))} for row in rows])
    lumis.write(target.lumis)
    write_sums(target.datasets, sums)
    with publish(target.summary, keep_same=True) as draft:
        draft.write_text(text, encoding="utf-8")
    unknown = lumis.unknown_events if lumis.known else 0
    return AggregationResult(folder, files, total, events, unknown, sums, names.conflicts)


def _origin(campaigns: Sequence[FinishedCampaign], total: Summary) -> dict[str, Any]:
    """Return where rows come from: which plans, which tagger and model, which versions made them."""
    return {
        "e2edist": __version__,
        "campaigns": [{"fingerprint": c.plan.fingerprint, "plan": c.plan.checksum} for c in campaigns],
        "tagger": campaigns[0].plan.tagger,
        "versions": total.facts()["versions"],
    }


def _content(
    campaigns: Sequence[FinishedCampaign], datasets: Sequence[Dataset], total: Summary, events: dict[str, int]
) -> dict[str, Any]:
    return {
        "events": events,
        **total.facts(),
        "tagger": campaigns[0].plan.tagger,
        "datasets": {one.name: len(one.uuids) for one in datasets if one.name},
        "groups_missing": missing_groups({one.folder: one.plan for one in campaigns}),
        "campaigns": [
            {
                "folder": str(one.folder.absolute()),
                "fingerprint": one.plan.fingerprint,
                "group": one.plan.group,
                **({"lumi_mask": describe_mask(one.plan.lumi_mask)} if one.plan.lumi_mask else {}),
                "files": len(one.plan.files),
                "events": one.plan.events,
                "parts": one.verification.parts,
                "skipped": list(one.skipped),
                "validation": one.plan.validation,
            }
            for one in campaigns
        ],
    }
