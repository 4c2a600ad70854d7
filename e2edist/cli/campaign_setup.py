"""From what a user wants to a campaign that may run: what ``submit`` and the Python API have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from e2edist.campaign.campaign import Campaign
    from e2edist.config.campaign import CampaignSpec
    from e2edist.config.site import SiteSpec


def set_up_campaign(
    spec: CampaignSpec, site: SiteSpec, say: Callable[[str], None], access: Mapping[str, str] | None = None
) -> Campaign:
    """Return the planned campaign, its site filled by tuning profiles, its model checked; writes nothing.

    Parameters
    ----------
    say : callable
        Takes lines for people.
    access : mapping of str to str, optional
        As for `plan_campaign`.

    Raises
    ------
    E2EError
        Whatever the user must fix.
    """
    from e2edist.accounting.quality import read_quality
    from e2edist.campaign.campaign import plan_campaign
    from e2edist.parity.validation_record import require_validation, unvalidated_providers

    if spec.reference:
        read_quality(Path(spec.reference))  # refused before any work is done
    campaign = plan_campaign(spec, _tuned(site, spec, say), access, say)
    if not campaign.tagger.outputs:
        say(
            "note: the columns of scores are named after the outputs of "
            f"{Path(campaign.tagger.model.path).name}; [[outputs]] of a tagger file gives them other names"
        )
    message = require_validation(campaign.tagger, accept=spec.accept_failed_validation)
    # What planning found of the model itself comes first.
    message = f"{campaign.validation} (validate: {message})" if campaign.validation else message
    for line in unvalidated_providers(campaign.tagger, (pool.provider for pool in site.pools.values())):
        say(f"note: {line}")
    return replace(campaign, validation=message)


def _tuned(site: SiteSpec, spec: CampaignSpec, say: Callable[[str], None]) -> SiteSpec:
    """Return the site with what it leaves open filled by ``tune``'s profiles, where there are any."""
    from e2edist.config.tagger import load_tagger
    from e2edist.tuning.profile import apply_profiles

    tuned, message = apply_profiles(site, load_tagger(spec.tagger, spec.model).model.sha256, spec.batch)
    for line in message:
        say(line)
    return tuned
