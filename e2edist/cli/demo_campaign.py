"""``submit --demo``: made-up events on the pool of a site that costs least."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import replace
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from e2edist.counted import counted
from e2edist.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.campaign.campaign import Campaign
    from e2edist.config.site import PoolSpec, SiteSpec
    from e2edist.config.site_options import SiteOptions

DEMO_FOLDER = "e2edist-demo"
#: Enough for a progress bar, a table and a sensible AUC, and a minute on two cores.
DEMO_EVENTS = {"eg": 8000, "qg": 1000, "top": 1000, "tau": 1000}
#: Keeps the events of a dry run until the process ends.
_drafts = ExitStack()


def smallest_pool(options: SiteOptions, console: Console) -> SiteSpec:
    """Return the site with one of its pools alone: a demo is to be cheap, and to start soon.

    It is the pool with the fewest charged nodes, then without GPUs, then with the fewest threads; each with
    the workers of one job, unless `options` say how many.
    """
    from e2edist.config.site_options import ALL_POOLS, make_site

    named = options.pools or (options.workers if isinstance(options.workers, dict) else ())
    site = make_site(options if named else replace(options, pools=(ALL_POOLS,)))
    pools = site.pools if options.workers is not None else {n: _one_job(p) for n, p in site.pools.items()}
    name = min(pools, key=lambda pool: _cost(pools[pool]))
    workers = pools[name].workers or 1
    console.print(f"demo on pool {name} of site {site.name}, {counted(workers, 'worker')}")
    return site.model_copy(update={"pools": {name: pools[name]}})


def _one_job(pool: PoolSpec) -> PoolSpec:
    """Return a pool of batch jobs with the workers of one job; others as they are."""
    from e2edist.pools import is_batch

    changes = {"workers": pool.job.workers_per_job, "workers_most": 0}
    return pool.model_copy(update=changes) if is_batch(pool.kind) else pool


def _cost(pool: PoolSpec) -> tuple[float, bool, int]:
    """Return charged nodes, whether it has GPUs, and threads."""
    from e2edist.config.site import threads_of

    workers = pool.workers or 1
    jobs = ceil(workers / pool.job.workers_per_job)
    return pool.charge.nodes * jobs, pool.provider != "cpu", workers * threads_of(pool)


def demo_keys(args: argparse.Namespace, site: SiteSpec, console: Console) -> dict[str, Any]:
    """Return tagger, inputs and output of the demo campaign; makes its events where they are missing.

    Raises
    ------
    ConfigError, OutputError, ResourceError
        There are no such events, the workers of the site would not see them, they can't be written, or
        nothing can be submitted from this host.
    """
    from e2edist.control.detach import check_host_of
    from e2edist.demo import ensure_events, make_events

    tagger = args.tagger or "eg"
    if tagger not in DEMO_EVENTS:
        todo = f"Name ROOT files with --input; demo events exist for {', '.join(DEMO_EVENTS)}."
        raise ConfigError("--demo", f"has no events for tagger {tagger}", todo)
    folder, events = _folder(tagger), DEMO_EVENTS[tagger]
    _check_seen(site, folder.absolute())
    if args.dry_run and not folder.is_dir():  # which writes nothing that stays
        draft = _drafts.enter_context(TemporaryDirectory(prefix=f"e2edist-{tagger}-events-"))
        files = make_events(Path(draft), tagger, events, seed=2)
    else:
        if not folder.is_dir():
            check_host_of(site, detached=args.detach)  # first, as making them takes a while
            console.print(f"making {counted(events, 'demo event')} in {folder}")
        files = ensure_events(folder, tagger, events, seed=2)
    output = args.output or str(Path(DEMO_FOLDER) / tagger)
    return {"tagger": tagger, "inputs": [str(file) for file in files], "output": output}


def as_it_will_be(campaign: Campaign) -> tuple[Campaign, str]:
    """Return the demo campaign of a dry run with its files where they will lie, and what is made first."""
    tagger = campaign.tagger.name
    folder = _folder(tagger)
    if folder.is_dir():
        return campaign, ""
    files = tuple(
        replace(file, url=str(folder.absolute() / Path(file.url).name)) for file in campaign.plan.files
    )
    missing = f"{DEMO_EVENTS[tagger]:,} demo events are made first"
    return replace(campaign, plan=replace(campaign.plan, files=files)), missing


def _folder(tagger: str) -> Path:
    return Path(DEMO_FOLDER) / f"{tagger}-events"


def _check_seen(site: SiteSpec, folder: Path) -> None:
    """Refuse pools whose workers don't see the demo events.

    Raises
    ------
    ConfigError
        Says why, and what to do.
    """
    for name, pool in site.pools.items():
        if not pool.job.shared_disk:
            what = f"its events lie on a disk that workers of pool {name} don't see (job.shared_disk = false)"
            todo = "Name files that they see with --input, as /store/… or root://…."
            raise ConfigError("--demo", what, todo)
        container, place = pool.container, folder.parents[1]
        hosts = [bind.split(":")[0] for bind in container.binds]
        if container.runtime == "podman-hpc" and not any(map(folder.is_relative_to, hosts)):
            what = f"its events lie in {folder}, which containers of pool {name} don't see"
            todo = f"Bind it: --set 'pools.{name}.container.binds=[\"{place}:{place}\"]'."
            raise ConfigError("--demo", what, todo)
