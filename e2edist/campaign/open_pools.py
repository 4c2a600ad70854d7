"""The pools of a campaign, from the moment when they are opened until all of them are closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING

from e2edist.config.model_files import check_planned
from e2edist.engines import engine_options
from e2edist.pools import Pool, PoolEnvironment, Setup, StoppedError, image_of, open_pool
from e2edist.storage.staging import InputOptions
from e2edist.worker.run_chunk import TaskContext, prepare

from .cross_pool_check import job_key

if TYPE_CHECKING:
    from .run import Campaign


@contextmanager
def open_pools(
    campaign: Campaign, ready: Callable[[Pool], None], stop: Event, hurry: Callable[[], None]
) -> Iterator[dict[str, Pool]]:
    """Open the pools; once `stop` is set, those that are not there yet are left out.

    After an interrupt, `hurry` is called, and the workers are not waited for.
    """
    pools: dict[str, Pool] = {}
    place = PoolEnvironment(campaign.folder.absolute(), stop)
    with ExitStack() as stack:
        stack.callback(place.close)
        try:
            with suppress(StoppedError):
                for name, spec in campaign.site.pools.items():
                    key = job_key(campaign.plan.fingerprint, campaign.folder, name)
                    pool = open_pool(name, spec, _setup(campaign, name, key), place)
                    stack.callback(pool.close)
                    pools[key] = pool
                    ready(pool)
            yield pools
        except KeyboardInterrupt:
            place.at_once = True
            hurry()
            raise


def _setup(campaign: Campaign, name: str, key: str) -> Setup:
    """Return what makes the campaign known to the workers of a pool."""
    spec, tagger = campaign.site.pools[name], campaign.tagger
    inputs = InputOptions(**campaign.site.inputs.model_dump())
    accepted = campaign.spec.accept_failed_validation
    engine = replace(engine_options(spec, campaign.spec.batch), accepted=accepted)
    near, folder = spec.job.shared_disk, campaign.folder.absolute()
    who = (tagger, campaign.plan.fingerprint, str(folder) if near else "", name)
    files = {} if near else check_planned(tagger.model.path, tagger.model.sha256).contents()
    job = TaskContext(
        *who, engine, inputs, campaign.validation, files, image_of(spec.container), campaign.plan.access
    )
    return Setup(prepare, (key, job))
