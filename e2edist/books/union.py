"""Campaigns that belong together: one tagger over files that none of them shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2edist.campaign.bad import skipped_events
from e2edist.campaign.chunk import Receipt
from e2edist.campaign.plan import Plan, PlannedFile, read_plan
from e2edist.campaign.verify import Verdict, verify
from e2edist.errors import CampaignError, OutputError
from e2edist.storage.parts import read_receipt


@dataclass(frozen=True, slots=True)
class Campaign:
    """A finished campaign, its plan, and what verifying it found."""

    folder: Path
    plan: Plan
    verdict: Verdict

    @property
    def events(self) -> int:
        """Events of all inputs; those of files that could not be opened are estimated."""
        return self.plan.events + skipped_events(self.plan)

    @property
    def lost(self) -> int:
        """Events that were given up, skipped files included."""
        return self.verdict.given_up + skipped_events(self.plan)


class Receipts(Mapping[str, Receipt]):
    """Chunk id -> receipt of all parts of some campaigns, read from the parts' footers when asked for."""

    def __init__(self, campaigns: Sequence[Campaign]) -> None:
        self._paths = {part.path.stem: part.path for one in campaigns for part in one.verdict.good_parts}

    def __getitem__(self, name: str) -> Receipt:
        return read_receipt(self._paths[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def open_campaigns(folders: Sequence[Path]) -> list[Campaign]:
    """Return the campaigns of some folders, each verified.

    Raises
    ------
    OutputError
        A folder has no plan; taggers differ; two of them have a file in common.
    CampaignError
        A campaign is not whole: parts are missing, damaged or foreign.
    """
    plans = {folder: _plan(folder) for folder in folders}
    _check_one_tagger(plans)
    _check_disjoint(plans)
    return [Campaign(folder, plan, _whole(folder, plan)) for folder, plan in plans.items()]


def _plan(folder: Path) -> Plan:
    plan = read_plan(folder)
    if plan is None:
        raise OutputError(str(folder), "holds no campaign", "Name the --output folder of a submit.")
    return plan


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
    seen: dict[tuple[str, str], tuple[Path, PlannedFile]] = {}
    for folder, plan in plans.items():
        for file in plan.files:
            other = seen.setdefault((file.uuid, file.tree), (folder, file))
            if other[0] != folder:
                what = f"{file.url} is also in {other[0]}, as {other[1].url}"
                raise OutputError(str(folder), what, "Its events would count twice: leave one of them out.")


def _whole(folder: Path, plan: Plan) -> Verdict:
    found = verify(folder, plan)
    if not found.good:
        counts = (len(found.missing), len(found.damaged), len(found.foreign))
        what = "{} ranges missing, {} parts damaged, {} foreign".format(*counts)
        todo = "aggregate --verify names them; --verify --discard removes bad parts, submit makes them again."
        raise CampaignError(str(folder), what, todo)
    return found
