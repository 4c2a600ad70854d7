"""A planned campaign: everything that a run needs to know, checked before any job is submitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from e2edist.config.campaign import CampaignSpec, name_group, take_group
from e2edist.config.lumi_mask import canonical_mask, read_lumi_mask
from e2edist.config.site import SiteSpec, threads_of
from e2edist.config.tagger import TaggerSpec, load_tagger
from e2edist.config.text_files import decode_text
from e2edist.errors import OutputError
from e2edist.records.folder import CampaignFolder
from e2edist.records.folder_checks import check_usable
from e2edist.records.plan import Plan, read_plan
from e2edist.records.result_transfer import check_visible
from e2edist.storage.input_lists import ListedInput, expand_inputs
from e2edist.storage.read_inputs import InputOptions, read_whole
from e2edist.urls import local_path, public

from .memory_checks import check_chunks
from .model_checks import check_model
from .planning import (
    ReadOptions,
    default_chunk_events,
    make_plan,
    notes_on_plan,
    planned_datasets,
)
from .resume import check_same, check_same_mask, match_inputs


@dataclass(frozen=True, slots=True)
class Campaign:
    """A planned campaign, ready to run.

    Attributes
    ----------
    resumed : bool
        Whether its folder has this plan already.
    validation : str
        What is wrong with the model and was accepted.
    """

    spec: CampaignSpec
    site: SiteSpec
    tagger: TaggerSpec
    plan: Plan
    folder: Path
    resumed: bool
    validation: str = ""

    def freeze_plan(self) -> Campaign:
        """Return the campaign with the plan to follow: the folder's, or its own, which is written.

        Call it under the lock of the folder.

        Raises
        ------
        OutputError
            Somebody else wrote another plan there since this one was made.
        """
        if self.resumed:
            return self
        if self.spec.mode == "fresh":
            CampaignFolder(self.folder).clear()
        written = read_plan(self.folder)
        if written is not None:
            check_same(written, self.tagger, self.folder)
            check_same_mask(written, self.plan.lumi_mask, self.folder)
            plan = match_inputs(written, self.plan.addresses(), self.folder, input_options(self.site))
            return replace(self, plan=plan)
        plan = replace(self.plan, validation=self.validation)
        plan.write(self.folder)
        return replace(self, plan=plan)


def plan_campaign(
    spec: CampaignSpec,
    site: SiteSpec,
    access: Mapping[str, str] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Campaign:
    """Return the campaign of `spec`: the frozen plan of its folder, or a new one. Writes nothing.

    Parameters
    ----------
    access : mapping of str to str, optional
        `Plan.access`, as whoever detached the campaign found it: the inputs are not compared again.
    say : callable
        Takes lines for people about the inputs.

    Raises
    ------
    E2EError
        Whatever the user must fix: inputs, tagger, model, folder, memory.
    """
    tagger, folder = load_tagger(spec.tagger, spec.model), Path(spec.output).absolute()
    options = input_options(site)
    lumi_mask = read_mask(spec.lumi_mask, options) if access is None else ""
    accepted = check_model(tagger, site.pools, spec)
    listed = {}
    if access is None:
        found = expand_inputs(spec.inputs, options, datasets=spec.datasets, say=say)
        listed = {one.url: one for one in found}
    urls = take_group(list(listed), spec.group) if listed else []
    check_visible(site.pools, urls, site.inputs.redirectors)
    check_usable(folder, fresh=spec.mode == "fresh")
    old = None if spec.mode == "fresh" else read_plan(folder)
    if old is not None:
        check_same(old, tagger, folder, spec.format, spec.tree)
        check_chunks(old, old, site.pools)
        if access is None:
            check_same_mask(old, lumi_mask, folder)
            plan = match_inputs(old, urls, folder, options)
            if planned_datasets(plan, listed) != old.datasets:
                say(f"note: {folder} keeps the names and metadata of datasets that it was planned with")
            for line in notes_on_plan(plan, listed):
                say(line)
        else:
            plan = replace(old, access=access)
        return Campaign(spec, site, tagger, plan, folder, resumed=True, validation=accepted)
    if spec.mode == "resume":
        raise OutputError(str(folder), "has no plan to resume", "Leave out --resume to start one.")
    plan = _new_plan(spec, site, tagger, {url: listed[url] for url in urls}, lumi_mask)
    plan = replace(plan, group=name_group(list(listed), spec.group))
    for line in notes_on_plan(plan, listed, spec.chunk_events):
        say(line)
    return Campaign(spec, site, tagger, plan, folder, resumed=False, validation=accepted)


def _new_plan(
    spec: CampaignSpec, site: SiteSpec, tagger: TaggerSpec, listed: Mapping[str, ListedInput], lumi_mask: str
) -> Plan:
    trees = spec.tree or {url: one.tree for url, one in listed.items()}
    clusters = make_plan(
        tagger,
        [*listed],
        ReadOptions(spec.format, trees, lumi_mask),
        max_bad_fraction=None if spec.skip_bad_files else spec.max_bad_fraction,
        inputs=input_options(site),
        way_on="--skip-bad-files",
    )
    clusters = replace(
        clusters,
        datasets=planned_datasets(clusters, listed),
        skip_bad_files=spec.skip_bad_files and bool(clusters.skipped),
    )
    threads = sum((pool.workers or 1) * threads_of(pool) for pool in site.pools.values())
    plan = clusters.with_chunks(spec.chunk_events or default_chunk_events(tagger, clusters.events, threads))
    check_chunks(clusters, plan, site.pools)
    return plan


def read_mask(name: str | None, options: InputOptions) -> str:
    """Return `Plan.lumi_mask` of a golden JSON, in a file or at an address; empty for None."""
    if name is None:
        return ""
    path = local_path(name)
    if path is not None:
        return read_lumi_mask(path)
    where = public(name)
    return canonical_mask(decode_text(read_whole(name, options), where), where)


def input_options(site: SiteSpec) -> InputOptions:
    """Return how the inputs of a site are read."""
    return InputOptions(**site.inputs.model_dump())
