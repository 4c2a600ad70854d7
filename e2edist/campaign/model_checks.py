"""Checks of a campaign's model before there is a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from e2edist.config.campaign import CampaignSpec
from e2edist.config.model_files import check_planned
from e2edist.config.site import PoolSpec
from e2edist.config.tagger import TaggerSpec
from e2edist.engines import EngineOptions, check_stability, engine_options

from .memory_checks import check_batch


def check_model(tagger: TaggerSpec, pools: Mapping[str, PoolSpec], spec: CampaignSpec) -> str:
    """Open the model as each pool will, but on this host's CPU; return what is wrong and was accepted.

    Raises
    ------
    E2EError
        It does not load or fit the tagger, a batch does not fit the pool's memory, or its scores depend on
        the batch or on chance and that is not accepted.
    """
    files = check_planned(tagger.model.path, tagger.model.sha256)
    asked: dict[EngineOptions, None] = {}
    for name, pool in pools.items():
        options = engine_options(pool, spec.batch)
        check_batch(tagger, name, pool, options)
        # Whether the model fits the tagger does not depend on the device, or on how many share it.
        plain = replace(options, provider="cpu", sessions=1, threads=1, profile="")
        asked[replace(plain, accepted=spec.accept_failed_validation)] = None
    found = [check_stability(tagger, options) for options in asked]
    files.check_unchanged()
    return next((f"failed, accepted: {why}" for why in found if why), "")
