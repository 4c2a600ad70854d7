"""``submit --dry-run``: what a campaign would do and take, for people and machines; writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from e2edist.accounting.estimate import LIMIT_S, enough_chunks
from e2edist.accounting.folder_counts import count_folder
from e2edist.accounting.upper_limit import UpperLimit, upper_limits
from e2edist.accounting.usage import pool_facts
from e2edist.cli.pool_tables import pool_table, print_sum, short_walltime, worker_table
from e2edist.config.controller import PROCESS
from e2edist.config.lumi_mask import describe_mask, mask_digest
from e2edist.control.detach import preview_controller
from e2edist.counted import counted
from e2edist.demo.networks import demo_note, is_demo_network
from e2edist.install_hint import verb_command
from e2edist.pools import preview
from e2edist.records.failure import without_place
from e2edist.redaction import redact_word

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.campaign.campaign import Campaign
    from e2edist.config.site import PoolSpec

#: Files that are listed, and skipped ones.
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class DryRun:
    """A campaign that is looked at before it is submitted.

    Attributes
    ----------
    words : sequence of str
        The command line of ``submit``.
    detached, estimating : bool
        Whether it has ``--detach``, ``--estimate``.
    missing : str
        What has to be made first: demo events.
    """

    campaign: Campaign
    words: Sequence[str]
    detached: bool = False
    estimating: bool = False
    missing: str = ""

    def limits(self) -> list[UpperLimit]:
        """Return what each pool can take at most."""
        return upper_limits(self.campaign.site.pools)

    def jobs(self) -> dict[str, str]:
        """Return what each batch system would be given: ``pool NAME``, ``the controller`` -> job script."""
        site, folder = self.campaign.site, self.campaign.folder.absolute()
        found = {f"pool {name}": preview(name, pool, folder, site.dask) for name, pool in site.pools.items()}
        if self.detached:
            found["the controller"] = preview_controller(site.controller, folder, self._words())
        return {name: text for name, text in found.items() if text}

    def done(self) -> tuple[int, int]:
        """Return chunks that have ended and events that are done already."""
        counts = count_folder(self.campaign.folder) if self.campaign.resumed else None
        return (counts.ended, counts.events_done) if counts else (0, 0)

    def sample(self) -> dict[str, int]:
        """Return pool -> chunks that ``--estimate`` would run at least."""
        return enough_chunks({name: pool_facts(pool) for name, pool in self.campaign.site.pools.items()})

    def command(self) -> str:
        """Return the command line that does it."""
        return verb_command("submit", *map(redact_word, self._words()))

    def _words(self) -> list[str]:
        return [word for word in self.words if word not in ("--dry-run", "--json")]


def show(dry: DryRun, console: Console, emit: Callable[[dict[str, Any]], None] | None) -> None:
    """Show a campaign on `console`, or with `emit` as one JSON event."""
    if emit is not None:
        emit({"what": "plan"} | _facts(dry))
        return
    # Lines that are never wrapped, so that paths in them can be copied.
    for name, text in _lines(dry):
        console.print(f"{name:12}{text}")
    _print_pools(console, dry)
    for name, text in dry.jobs().items():
        heading = f"job of {name}"
        console.print(f"\n{heading}\n{'-' * len(heading)}\n{text.rstrip()}")
    console.print(f"\nnothing was submitted or written; to do it:\n  {dry.command()}")


def _lines(dry: DryRun) -> Iterator[tuple[str, str]]:
    campaign = dry.campaign
    tagger, spec = campaign.tagger, campaign.spec
    demo = is_demo_network(tagger.model.sha256)
    yield "tagger", f"{tagger.name}, {'demo network' if demo else tagger.model.path}"
    if note := demo_note(tagger.model.sha256, campaign.plan.addresses()):
        yield "", note.removeprefix("demo network: ")  # which the line above says
    if campaign.validation != "none":
        yield "validation", campaign.validation
    elif not demo:
        yield "validation", f"none yet ({verb_command('validate')})"
    yield from _inputs(dry)
    yield from _output(dry)
    title = campaign.site.description
    if any(pool.kind != "attach" for pool in campaign.site.pools.values()) or campaign.site.name != "local":
        yield "site", campaign.site.name + (f" ({title})" if title else "")
    if dry.detached:
        yield "controller", _controller(campaign)
    if dry.estimating:
        yield "estimate", f"stops after {_sample(dry.sample())}, or {LIMIT_S / 60:.0f} min with workers"
    if spec.max_bad_fraction:
        yield "losses", f"up to {spec.max_bad_fraction:.3g} of the events"


def _sample(wanted: dict[str, int]) -> str:
    """Return how many chunks of each pool make an estimate."""
    numbers = set(wanted.values())
    if len(numbers) == 1:
        return f"{counted(numbers.pop(), 'chunk')} of each pool"
    return "chunks of pools: " + ", ".join(f"{name} {number:,}" for name, number in wanted.items())


def _inputs(dry: DryRun) -> Iterator[tuple[str, str]]:
    plan = dry.campaign.plan
    size = sum(file.size for file in plan.files)
    yield "inputs", ", ".join([counted(len(plan.files), "file"), *([_bytes(size)] if size else [])])
    if dry.missing:
        yield "", dry.missing
    kinds = {(file.format, file.tree) for file in plan.files}
    for file in plan.files[:_SHOWN]:
        kind = f" ({file.format}, tree {file.tree})" if len(kinds) > 1 else ""
        chunks = counted(sum(1 for _ in file.ranges()), "chunk")
        alone = len(plan.files) == 1  # whose numbers are those of all the work
        yield "", file.url if alone else f"{counted(file.entries, 'event')} in {chunks}{kind}: {file.url}"
    if len(plan.files) > _SHOWN:
        yield "", f"... and {len(plan.files) - _SHOWN:,} more"
    if len(kinds) == 1:
        yield "format", "{}, tree {}".format(*kinds.pop())
    if plan.datasets:
        names = [f"{one.name} ({counted(len(one.files), 'file')})" for one in plan.datasets[:_SHOWN]]
        more = len(plan.datasets) - len(names)
        yield "datasets", ", ".join([*names, *([f"{more:,} more"] if more else [])])
    if plan.lumi_mask:
        yield "lumi mask", describe_mask(plan.lumi_mask)
    for url, why in plan.skipped[:_SHOWN]:
        yield "skipped", f"{url}: {without_place(why, url)}"
    if len(plan.skipped) > _SHOWN:
        yield "", f"... and {len(plan.skipped) - _SHOWN:,} more"
    yield "work", f"{counted(plan.events, 'event')} in {counted(len(plan.chunks()), 'chunk')}"


def _output(dry: DryRun) -> Iterator[tuple[str, str]]:
    campaign = dry.campaign
    yield "output", str(campaign.folder)
    if campaign.resumed:
        ended, events = dry.done()
        plan = campaign.plan
        share = f"{ended:,} of {counted(len(plan.chunks()), 'chunk')} have ended, {events:,} events are done"
        yield "", f"resumes what is there: {share}"
    elif campaign.spec.mode == "fresh":
        yield "", "--fresh deletes the campaign that is there, and starts anew"


def _controller(campaign: Campaign) -> str:
    spec = campaign.site.controller
    if spec.kind == PROCESS:
        return "a process in the background of this machine"
    size = f"{counted(spec.cores, 'core')}, {spec.memory_gib:g} GiB, {short_walltime(spec.walltime_min)}"
    return f"a job of {spec.kind}: {size}"


def _print_pools(console: Console, dry: DryRun) -> None:
    """Show what runs where, a row a pool of what it takes at most, and the sum."""
    limits = dry.limits()
    for i, (name, pool) in enumerate(dry.campaign.site.pools.items()):
        image = f", {pool.container.runtime} {pool.container.image}" if pool.container.image else ""
        workers = f"workers of {pool.scheduler}" if pool.kind == "attach" else pool.kind
        console.print(f"{'' if i else 'pools':12}{name}: {workers}, {_engine(pool)}{image}")
    if not any(one.workers or one.threads for one in limits):
        return  # nobody knows of workers that somebody else has started
    console.print()
    jobs = any(one.jobs for one in limits)
    console.print(pool_table(limits) if jobs else worker_table(limits))
    if jobs:
        print_sum(console, limits, estimating=dry.estimating)
    if dry.detached and dry.campaign.site.controller.kind != PROCESS:
        console.print("The controller's job comes on top.")


def _engine(pool: PoolSpec) -> str:
    return f"{pool.engine} on {pool.provider}"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"


def _facts(dry: DryRun) -> dict[str, Any]:
    """Return all that is shown, as plain JSON values."""
    campaign = dry.campaign
    plan, tagger, site = campaign.plan, campaign.tagger, campaign.site
    ended, events_done = dry.done()
    pools = [
        asdict(one)
        | {"provider": site.pools[one.pool].provider, "image": site.pools[one.pool].container.image}
        for one in dry.limits()
    ]
    files = [
        {"url": f.url, "format": f.format, "tree": f.tree, "bytes": f.size, "events": f.entries}
        | {"chunks": sum(1 for _ in f.ranges())}
        for f in plan.files
    ]
    return {
        "site": site.name,
        "tagger": tagger.name,
        "model": tagger.model.path,
        "demo_network": is_demo_network(tagger.model.sha256),
        "files": files,
        "datasets": [one.name for one in plan.datasets],
        "lumi_mask": mask_digest(plan.lumi_mask) if plan.lumi_mask else None,
        "skipped": [{"url": url, "reason": without_place(why, url)} for url, why in plan.skipped],
        "events": plan.events,
        "chunks": len(plan.chunks()),
        "folder": str(campaign.folder),
        "fingerprint": plan.fingerprint,
        "resumes": campaign.resumed,
        "chunks_ended": ended,
        "events_done": events_done,
        "pools": pools,
        "core_h_at_most": sum(one["core_h"] or 0.0 for one in pools),
        "node_h_at_most": sum(one["node_h"] or 0.0 for one in pools),
        "gpu_h_at_most": sum(one["gpu_h"] or 0.0 for one in pools),
        "controller": site.controller.kind if dry.detached else None,
        "jobs": dry.jobs(),
        "command": dry.command(),
    }
