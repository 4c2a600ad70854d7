"""A campaign from Python: what ``submit`` does, in a notebook, a script or a thread."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from e2edist.campaign.run import RunResult
from e2edist.campaign.run import run_campaign as run_pending
from e2edist.cli.arguments import to_pools
from e2edist.cli.campaign_setup import set_up_campaign
from e2edist.cli.closing import close
from e2edist.cli.dashboards import dashboard_lines
from e2edist.cli.plain_console import PlainConsole
from e2edist.cli.signals import Signals
from e2edist.config.campaign import CampaignSpec, load_campaign
from e2edist.config.site_facts import require_facts
from e2edist.config.site_options import SiteOptions, make_site
from e2edist.counted import counted
from e2edist.errors import CampaignError, ConfigError, unknown_name
from e2edist.process import raise_file_limit

from .in_process import Files, to_texts
from .progress_display import OnProgress, in_notebook, show_progress
from .python_errors import python_errors
from .stoppable import stoppable

if TYPE_CHECKING:
    from e2edist.campaign.campaign import Campaign
    from e2edist.config.site import SiteSpec
    from e2edist.pools import Pool

    from .results import Results

#: State -> exit code of ``submit`` that means the same.
_EXIT_CODES = {"done": 0, "incomplete": 1, "stopped": 130}


class CampaignOptions(TypedDict, total=False):
    """Keywords of `run_campaign`; those of a campaign have the names and meaning of a workflow file's keys.

    Of the site: ``account``, ``image`` (one for all containers, or pool -> image), ``pools`` (names of those
    to use, or ``"gpu,cpu"``), ``settings`` (as ``{"pools.gpu.job.walltime_min": 240}``, or
    ``"pools.gpu.job.walltime_min=240"`` and a list of such), ``workers`` (of each pool, or pool -> number,
    where 0 leaves it out), ``threads`` (of each worker), ``scheduler``, ``tls_folder`` (of a
    running Dask cluster).
    """

    account: str
    image: str | Mapping[str, str]
    pools: str | Sequence[str]
    settings: str | Sequence[str] | Mapping[str, Any]
    workers: int | Mapping[str, int]
    threads: int
    scheduler: str
    tls_folder: str | os.PathLike[str]
    datasets: Mapping[str, Sequence[str | os.PathLike[str]]]
    model: str | os.PathLike[str]
    format: str
    tree: str
    lumi_mask: str | os.PathLike[str]
    group: str
    chunk_events: int
    batch: int
    mode: Literal["auto", "resume", "fresh"]
    accept_failed_validation: bool
    max_bad_fraction: float
    skip_bad_files: bool
    chunk_limit_min: float
    stall_limit_min: float
    max_nan_fraction: float
    reference: str | os.PathLike[str]
    max_drift: float


@dataclass(frozen=True, slots=True)
class CampaignResult:
    """What `run_campaign` did.

    Attributes
    ----------
    folder : Path
        Of the campaign: `results` opens it.
    state : str
        done; incomplete: more was lost than may be, or scores are not as they should be; stopped: by `stop`,
        and the same call does the rest.
    events, events_done, objects : int
        Events of the plan, those that are done, and the candidates in them; of earlier runs too.
    lost_fraction : float
        Fraction of the events that was given up.
    losses : list of dict
        Rows of ``bad.parquet``: files and entries that were given up, and why.
    warnings : tuple of str
        What looks wrong with scores and inputs.
    seconds : float
        Of this run, since the first worker joined.
    error : str
        Why it is incomplete; else empty.
    """

    folder: Path
    state: Literal["done", "incomplete", "stopped"]
    events: int
    events_done: int
    objects: int
    lost_fraction: float
    losses: list[dict[str, Any]] = field(repr=False)
    warnings: tuple[str, ...]
    seconds: float
    error: str = ""

    @property
    def complete(self) -> bool:
        """Whether every chunk has ended and nothing more is lost than may be."""
        return self.state == "done"

    @property
    def exit_code(self) -> int:
        """As ``submit`` gives it: 0 done, 1 incomplete, 130 stopped."""
        return _EXIT_CODES[self.state]

    @property
    def results(self) -> Results:
        """The results, as `open_results` gives them."""
        from .results import open_results

        return open_results(self.folder)

    def __repr__(self) -> str:
        lost = f", {100 * self.lost_fraction:.3g} % lost" if self.lost_fraction else ""
        events = f"{self.events_done:,} of {counted(self.events, 'event')}"
        return f"<campaign {self.state}: {events}, {counted(self.objects, 'object')}{lost} -> {self.folder}>"


@python_errors()
def run_campaign(  # noqa: PLR0913 - the keywords are what people choose from
    inputs: Files,
    output: str | os.PathLike[str],
    tagger: str | os.PathLike[str] = "eg",
    *,
    site: str | os.PathLike[str] = "local",
    progress: bool | OnProgress = True,
    stop: Event | None = None,
    check: bool = True,
    **options: Unpack[CampaignOptions],
) -> CampaignResult:
    """Run a tagger over files on the workers of a site, and wait for the end: what ``submit`` does.

    The same call on the same folder does what is left. An interrupt (Ctrl-C, or the stop button of a
    notebook) lets running chunks finish, and then interrupts the caller; a second one stops at once.
    Works in scripts without a main guard, in notebooks and in threads; Dask's configuration and the handlers
    of signals are afterwards as they were.

    Parameters
    ----------
    inputs : path, or list of paths
        Files, globs, folders, lists, filesets and addresses; may be empty where `datasets` names all.
    output : path
        Folder for plan, predictions and timing.
    tagger : str or path
        Name of a tagger that comes with the package, or a tagger's TOML file.
    site : str or path
        Name of a site, or a site's TOML file.
    progress : bool or callable
        True: show a bar and messages. A callable gets a `Progress` a few times
        a second, and nothing is shown.
    stop : Event, optional
        Set it, from another thread or in `progress`, to stop as an interrupt does.
    check : bool
        Raise a CampaignError where the state would be incomplete.
    **options
        See `CampaignOptions`.

    Returns
    -------
    CampaignResult

    Raises
    ------
    CampaignError
        More was lost than ``max_bad_fraction``, or no worker came. What is done is on disk.
    E2EError
        What the user must mend, before anything is started.

    Examples
    --------
    >>> done = e2edist.run_campaign("events/", "results", "eg", workers=2)    # doctest: +SKIP
    >>> done.results.to_pandas()                                              # doctest: +SKIP
    """
    show = _show_lines() if progress is True else lambda _: None
    spec, where = _campaign_of(inputs, output, tagger, options), _site_of(os.fspath(site), options)
    raise_file_limit()
    with stoppable(stop) as signals:
        campaign = set_up_campaign(spec, where, show)
        show(f"{counted(campaign.plan.events, 'event')} -> {campaign.folder}")
        result = _run(campaign, progress, signals, show)
        found = _close(campaign, result, check=check)
    for text in found.warnings:
        show(f"worth a look: {text}")
    return found


def _show_lines() -> Callable[[str], None]:
    console = PlainConsole(file=sys.stdout if in_notebook() else sys.stderr, force_jupyter=False)
    return console.print


def _run(
    campaign: Campaign, progress: bool | OnProgress, signals: Signals, show: Callable[[str], None]
) -> RunResult:
    def on_pool_ready(pool: Pool) -> None:
        for line in dashboard_lines(pool, campaign.site.pools[pool.name].kind):
            show(line)

    def announce() -> None:
        show("stopping: letting running chunks finish; interrupt again to stop now")

    with show_progress(progress, campaign.tagger.name) as on_progress, signals.graceful(announce) as event:
        return run_pending(campaign, on_progress, event, on_pool_ready)


def _close(campaign: Campaign, result: RunResult, *, check: bool) -> CampaignResult:
    """Judge a run and return what it came to; the tables of the terminal are not printed."""
    facts: dict[str, Any] = {}
    state: Literal["done", "incomplete", "stopped"] = "done" if result.complete else "stopped"
    error = ""
    try:
        close(campaign, result, PlainConsole(file=io.StringIO(), force_jupyter=False), facts.update)
    except CampaignError as caught:
        if check:
            raise
        state, error = "incomplete", str(caught)
    return CampaignResult(
        folder=campaign.folder,
        state=state,
        events=campaign.plan.events,
        events_done=facts["events"],
        objects=facts["objects"],
        lost_fraction=result.bad_fraction,
        losses=result.bad,
        warnings=tuple(facts["warnings"]),
        seconds=result.seconds,
        error=error,
    )


def _campaign_of(
    inputs: Files, output: str | os.PathLike[str], tagger: str | os.PathLike[str], options: CampaignOptions
) -> CampaignSpec:
    for name in options:
        if name not in CampaignOptions.__annotations__:
            raise unknown_name("option", name, CampaignOptions.__annotations__)
    given: dict[str, Any] = {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value
        for name, value in options.items()
        if name in CampaignSpec.model_fields
    }
    datasets = options.get("datasets", {})
    if not isinstance(datasets, Mapping):
        raise ConfigError("datasets", f"{datasets!r} is not understood", "Name datasets, as name -> files.")
    given["datasets"] = {name: [*to_texts(some)] for name, some in datasets.items()}
    texts = [] if given["datasets"] and not inputs else [*to_texts(inputs)]
    given |= {"inputs": texts, "output": os.fspath(output), "tagger": os.fspath(tagger)}
    return load_campaign(None, given)


def _site_of(site: str, options: CampaignOptions) -> SiteSpec:
    image = options.get("image", ())
    images = [f"{pool}={one}" for pool, one in image.items()] if isinstance(image, Mapping) else image
    pools, settings = options.get("pools", ()), options.get("settings", ())
    if isinstance(settings, Mapping):
        settings = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    workers, threads = options.get("workers"), options.get("threads")
    for name, number in (("workers", workers), ("threads", threads)):
        numbers = number.values() if isinstance(number, Mapping) else [number]
        if not all(one is None or (isinstance(one, int) and one >= 0) for one in numbers):
            raise ConfigError(name, f"{number!r} is not understood", "Name a number, or pool -> number.")
    wanted = SiteOptions(
        site=site,
        account=options.get("account"),
        images=(images,) if isinstance(images, str) else tuple(images),
        pools=to_pools(pools) if isinstance(pools, str) else tuple(pools),
        settings=(settings,) if isinstance(settings, str) else tuple(settings),
        workers=workers,
        threads=threads,
        scheduler=options.get("scheduler", ""),
        tls_folder=os.fspath(options.get("tls_folder", "")),
    )
    found = make_site(wanted)
    require_facts(found, site)
    return found
