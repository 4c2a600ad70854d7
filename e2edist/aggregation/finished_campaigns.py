"""Campaigns that belong together: one tagger over files that none of them shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

from e2edist.errors import CampaignError, OutputError
from e2edist.input_file import FileInfo
from e2edist.records.losses import read_losses, skipped_events, skipped_rows, unwanted_skips
from e2edist.records.parts import read_receipt
from e2edist.records.plan import Plan, require_plan
from e2edist.records.receipt import Receipt
from e2edist.records.verify import Verification, verify

#: Faults of a kind that are shown.
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class FinishedCampaign:
    """A finished campaign, its plan, and what verifying it found.

    `skipped` are inputs that could not be planned, and why; without those that another of the campaigns has.
    """

    folder: Path
    plan: Plan
    verification: Verification
    skipped: tuple[tuple[str, str], ...]

    @property
    def lost(self) -> int:
        """Events that were given up, and those of skipped files unless that was asked for."""
        return self.verification.given_up + unwanted_skips(replace(self.plan, skipped=self.skipped))

    @property
    def skipped_events(self) -> int:
        """Events of files that could not be opened, an estimate."""
        return skipped_events(replace(self.plan, skipped=self.skipped))

    def loss_rows(self) -> list[dict[str, Any]]:
        """Return the rows of ``bad.parquet``: files that were skipped, entries that were given up."""
        given_up = [row for row in read_losses(self.folder) if row["uuid"] is not None]
        return skipped_rows(replace(self.plan, skipped=self.skipped)) + given_up


class PartReceipts(Mapping[str, Receipt]):
    """Chunk id -> receipt of all parts of some campaigns, read from the parts' footers when asked for."""

    def __init__(self, campaigns: Sequence[FinishedCampaign]) -> None:
        self._paths = {part.path.stem: part.path for one in campaigns for part in one.verification.good_parts}

    def __getitem__(self, name: str) -> Receipt:
        return read_receipt(self._paths[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def open_campaigns(folders: Sequence[Path], *, partial: bool = False) -> list[FinishedCampaign]:
    """Return the campaigns of some folders, each verified.

    Parameters
    ----------
    partial : bool
        Whether groups of ``submit --group`` may be missing.

    Raises
    ------
    OutputError
        A folder has no plan, or is named twice; taggers differ; two of them have a file in common; groups
        are missing, or of other files.
    CampaignError
        A campaign is not whole: parts are missing, damaged or foreign.
    """
    twice = next((one for one in folders if sum(one.resolve() == x.resolve() for x in folders) > 1), None)
    if twice is not None:
        raise OutputError(str(twice), "is named twice", "Name each campaign once.")
    plans = {folder: require_plan(folder) for folder in folders}
    _check_one_tagger(plans)
    _check_disjoint(plans)
    missing = missing_groups(plans)
    if missing and not partial:
        what = f"groups {', '.join(missing)} are missing"
        raise OutputError(str(folders[0]), what, "Name their folders too, or say --partial.")
    planned = {file.url for plan in plans.values() for file in plan.files}
    found = []
    for folder, plan in plans.items():
        skipped = tuple(item for item in plan.skipped if item[0] not in planned)
        found.append(FinishedCampaign(folder, plan, _whole(folder, plan), skipped))
    return found


def missing_groups(plans: Mapping[Path, Plan]) -> list[str]:
    """Return the groups of ``submit --group`` that none of the plans is, as K/N.

    Raises
    ------
    OutputError
        The groups are not of the same input files, in as many groups, or not under the same lumi mask.
    """
    found: dict[int, Path] = {}
    first: tuple[Path, str] | None = None
    for folder, plan in plans.items():
        if not plan.group:
            continue
        number, _, rest = plan.group.partition("/")
        if first and plan.lumi_mask != plans[first[0]].lumi_mask:
            what = f"group {plan.group} has another lumi mask than that of {first[0]}"
            raise OutputError(str(folder), what, "Aggregate groups of one list of files and one lumi mask.")
        if first and rest != first[1]:
            what = f"group {plan.group} is of other input files, or of other groups, than that of {first[0]}"
            raise OutputError(str(folder), what, "Aggregate groups of one list of files.")
        first = first or (folder, rest)
        found[int(number)] = folder
    if first is None:
        return []
    groups = int(first[1].split()[0])
    return [f"{k}/{groups}" for k in range(1, groups + 1) if k not in found]


def _check_one_tagger(plans: Mapping[Path, Plan]) -> None:
    first, *others = plans.items()
    for folder, plan in others:
        if plan.tagger != first[1].tagger:
            keys = sorted(
                key
                for key in {*plan.tagger, *first[1].tagger}
                if plan.tagger.get(key) != first[1].tagger.get(key)
            )
            what = f"its tagger is not that of {first[0]}: they differ in {', '.join(keys)}"
            raise OutputError(str(folder), what, "Aggregate campaigns of one tagger and model.")


def _check_disjoint(plans: Mapping[Path, Plan]) -> None:
    seen: dict[tuple[str, str], tuple[Path, FileInfo]] = {}
    for folder, plan in plans.items():
        for file in plan.files:
            other = seen.setdefault((file.uuid, file.tree), (folder, file))
            if other[0] != folder:
                what = f"{file.url} is also in {other[0]}, as {other[1].url}"
                raise OutputError(str(folder), what, "Its events would count twice: leave one of them out.")


def _whole(folder: Path, plan: Plan) -> Verification:
    found = verify(folder, plan)
    if not found.good:
        lines = "".join(f"\n  {line}" for line in found.faults(_SHOWN))
        todo = found.todo(f"aggregate {quote(str(folder))} --verify --discard")
        raise CampaignError(str(folder), f"{found.counts}:{lines}", todo)
    return found
