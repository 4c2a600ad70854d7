"""The pools of a campaign, from the moment when they are opened until all of them are closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from threading import Event

from e2edist.config.model_files import check_planned
from e2edist.engines import engine_options
from e2edist.pools import Pool, PoolEnvironment, Setup, StoppedError, image_of, open_pool
from e2edist.worker.run_chunk import TaskContext, prepare

from .campaign import Campaign, input_options
from .cross_pool_check import context_key


@contextmanager
def open_pools(
    campaign: Campaign, on_pool_ready: Callable[[Pool], None], stop: Event, on_interrupt: Callable[[], None]
) -> Iterator[dict[str, Pool]]:
    """Open the pools; give them by the keys of their task contexts.

    Once `stop` is set, pools that are not ready yet are left out. After an interrupt, `on_interrupt` is
    called, and the workers are not waited for.
    """
    pools: dict[str, Pool] = {}
    environment = PoolEnvironment(campaign.folder.absolute(), stop)
    with ExitStack() as stack:
        stack.callback(environment.close)
        try:
            with suppress(StoppedError):
                for name, spec in campaign.site.pools.items():
                    key = context_key(campaign.plan.fingerprint, campaign.folder, name)
                    setup = Setup(prepare, (key, _task_context(campaign, name)))
                    pool = open_pool(name, spec, setup, environment)
                    stack.callback(pool.close)
                    pools[key] = pool
                    on_pool_ready(pool)
            yield pools
        except KeyboardInterrupt:
            environment.at_once = True
            on_interrupt()
            raise


def _task_context(campaign: Campaign, name: str) -> TaskContext:
    """Return what the workers of a pool must know of the campaign."""
    spec, model = campaign.site.pools[name], campaign.tagger.model
    options = engine_options(spec, campaign.spec.batch)
    shared_disk = spec.job.shared_disk
    return TaskContext(
        tagger=campaign.tagger,
        fingerprint=campaign.plan.fingerprint,
        folder=str(campaign.folder.absolute()) if shared_disk else "",
        pool=name,
        engine=replace(options, accepted=campaign.spec.accept_failed_validation),
        inputs=input_options(campaign.site),
        validation=campaign.validation,
        files={} if shared_disk else check_planned(model.path, model.sha256).contents(),
        image=image_of(spec.container),
        access=campaign.plan.access,
        lumi_mask=campaign.plan.lumi_mask,
    )
