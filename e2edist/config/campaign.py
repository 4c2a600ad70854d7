"""Campaigns: what to run over what, from a workflow file or the command line."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, field_validator, model_validator

from e2edist.counted import counted
from e2edist.errors import ConfigError
from e2edist.urls import HTTP, XROOTD, given_path, named_path, public, scheme

from ._types import Fraction
from .toml_models import Spec, parse, read_toml

#: Keys that are one path each.
_PATHS = ("output", "model", "reference", "lumi_mask")
#: What a dataset may be called in a campaign file and on the command line.
DATASET_NAME = r"^[A-Za-z0-9_.+/-]+$"


class CampaignSpec(Spec):
    """One submit: dataset x tagger x output folder.

    Paths of a workflow file are relative to that file.
    """

    #: name of a tagger that comes with the package, or path of a tagger file
    tagger: str
    #: files, globs, folders, lists, filesets or addresses
    inputs: tuple[str, ...] = ()
    #: further inputs, as a list for each named dataset: ``TTbar = ["ttbar/"]``; names reach the tables
    datasets: dict[Annotated[str, Field(pattern=DATASET_NAME)], tuple[str, ...]] = Field(default_factory=dict)
    #: folder of plan, predictions and timing
    output: Annotated[str, Field(min_length=1)]
    #: where ``--site`` names none: a site by name, or a site's TOML file; empty: this machine
    site: str = ""
    #: ONNX file in place of the tagger's own
    model: str | None = None
    #: module of `e2edist.formats`; none: detected from the file
    format: str | None = None
    #: tree to read; none: the format's own
    tree: str | None = None
    #: golden JSON of CMS, ``{"run": [[first, last], ...]}``: only events of these luminosity blocks get rows
    lumi_mask: Annotated[str, Field(min_length=1)] | None = None
    #: K/N: every N-th of the input files only, from the K-th on; N campaigns are aggregated together
    group: Annotated[str, Field(pattern=r"^([1-9][0-9]*/[1-9][0-9]*)?$")] = ""
    #: entries of a chunk, about; 0: from the tagger and the number of threads
    chunk_events: NonNegativeInt = 0
    #: images in one model call; 0: as the pool or the tagger says
    batch: NonNegativeInt = 0
    #: auto: go on with the folder's plan, or start one; resume: only go on; fresh: forget the old one
    mode: Literal["auto", "resume", "fresh"] = "auto"
    #: run a model that failed ``validate`` all the same; plan and receipts say so
    accept_failed_validation: bool = False
    #: fraction of the events that may be lost without an exit code of 1; at planning, of the files
    max_bad_fraction: Fraction = 0.0
    #: leave out files that can't be used at planning; what is lost later counts all the same
    skip_bad_files: bool = False
    #: minutes after which a chunk in flight is stopped with its worker
    chunk_limit_min: Annotated[float, Field(gt=0)] = 60.0
    #: minutes without any worker after which the campaign stops
    stall_limit_min: Annotated[float, Field(gt=0)] = 10.0
    #: fraction of a score's values that may be NaN or infinite without an exit code of 1; none: any
    max_nan_fraction: Fraction | None = None
    #: output folder of an earlier campaign, to see whether scores or inputs drift from it
    reference: str | None = None
    #: drift (population stability index) of any score or input that is a failure; none: only warned of
    max_drift: Annotated[float, Field(gt=0)] | None = None

    #: shell command that is run at the end, with what became of the campaign as JSON on its stdin
    notify: str = ""

    @field_validator("datasets", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        """Take the ``NAME=PATTERN`` of a command line too."""
        if not isinstance(value, list | tuple):
            return value
        found: dict[str, tuple[str, ...]] = {}
        for pair in value:
            name, mark, pattern = str(pair).partition("=")
            if not mark:
                raise ValueError(f"{pair!r} is not NAME=PATTERN, as TTbar='ttbar/*.root'")
            found[name] = (*found.get(name, ()), pattern)
        return found

    @model_validator(mode="after")
    def _some_inputs(self) -> CampaignSpec:
        if not self.inputs and not any(self.datasets.values()):
            raise ValueError("names no inputs: give files, folders or lists")
        return self

    @model_validator(mode="after")
    def _drift_needs_reference(self) -> CampaignSpec:
        if self.max_drift is not None and self.reference is None:
            raise ValueError("max_drift needs a reference to drift from: name the folder of another campaign")
        return self


def load_campaign(workflow: str | None, given: dict[str, Any]) -> CampaignSpec:
    """Return the campaign of a workflow file, overridden by what was `given` on the command line.

    Raises
    ------
    ConfigError
        The file or the result has faults.
    """
    content: dict[str, Any] = {}
    if workflow is not None:
        path = given_path(workflow, "--workflow")
        content = read_toml(path)
        paths = ["inputs", "datasets", *_PATHS]
        # Each is a name, or a path.
        paths += [key for key in ("tagger", "site") if str(content.get(key, "")).endswith(".toml")]
        content |= {key: _placed(path.parent, content[key]) for key in paths if key in content}
    if given.get("inputs") is not None or given.get("datasets") is not None:
        content = {key: value for key, value in content.items() if key not in ("inputs", "datasets")}
    content.update({key: value for key, value in given.items() if value is not None})
    for key in _PATHS:
        if isinstance(content.get(key), str) and content[key] and not _is_fetched(key, content[key]):
            where = f"--{key.replace('_', '-')}" if given.get(key) else key
            content[key] = str(named_path(content[key], where))
    return parse(CampaignSpec, content, workflow or "command line")


def _is_fetched(key: str, text: str) -> bool:
    """Return whether `key` is an address: of all that a campaign names, besides inputs, only a lumi mask."""
    return key == "lumi_mask" and scheme(text) in (*HTTP, *XROOTD)


def _placed(folder: Path, value: Any) -> Any:
    """Return a path, or lists and tables of them, as taken from `folder`; urls and absolute paths stay."""
    if isinstance(value, dict):
        return {name: _placed(folder, one) for name, one in value.items()}
    if isinstance(value, list):
        return [_placed(folder, one) for one in value]
    if not isinstance(value, str) or not value or scheme(value):
        return value
    return str(folder / value) + "/" * value.endswith("/")  # which makes a folder of a /store name


def take_group(urls: list[str], group: str) -> list[str]:
    """Return the files of a group: every N-th from the K-th on, of the files in the order of their names.

    >>> take_group(["c", "a", "b"], "1/2"), take_group(["c", "a", "b"], "")
    (['a', 'c'], ['c', 'a', 'b'])

    Raises
    ------
    ConfigError
        There is no such group, or it is empty.
    """
    if not group:
        return urls
    number, groups = map(int, group.split("/"))
    found = sorted(urls, key=public)[number - 1 :: groups] if number <= groups else []
    if not found:
        files = counted(len(urls), "file")
        todo = f"Groups are numbered from 1/{groups} to {groups}/{groups}, of at most {files}."
        raise ConfigError("group", f"{group} of {files} is empty", todo)
    return found


def name_group(urls: list[str], group: str) -> str:
    """Return a group with a digest of the names of all files, so that groups of one list know each other."""
    text = "\n".join(sorted(map(public, urls)))
    return f"{group} {hashlib.sha256(text.encode()).hexdigest()[:12]}" if group else ""
