"""Campaigns: what to run over what, from a workflow file or the command line."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, model_validator

from e2edist.errors import ConfigError, InputError
from e2edist.process import expand_home
from e2edist.urls import HTTP, XROOTD, absolute, given_path, identity, local_path, named_path, public, scheme

from ._types import Fraction
from .text_files import read_text
from .toml_models import Spec, parse, read_toml

_LIST_ENDING = ".txt"


class CampaignSpec(Spec):
    """One submit: dataset x tagger x output folder.

    ``inputs`` and ``output`` of a workflow file are relative to that file.
    """

    #: name of a tagger that comes with the package, or path of a tagger file
    tagger: str
    #: files, globs, folders, .txt lists or addresses
    inputs: tuple[str, ...] = Field(min_length=1)
    #: folder of plan, predictions and timing
    output: Annotated[str, Field(min_length=1)]
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
        for key in ("inputs", "output", "model", "reference", "lumi_mask"):
            content.update(_relative_to(path.parent, key, content.get(key)))
        if str(content.get("tagger", "")).endswith(".toml"):
            content.update(_relative_to(path.parent, "tagger", content["tagger"]))
    content.update({key: value for key, value in given.items() if value is not None})
    for key in ("output", "model", "reference", "lumi_mask"):
        if isinstance(content.get(key), str) and content[key] and not _is_fetched(key, content[key]):
            where = f"--{key.replace('_', '-')}" if given.get(key) else key
            content[key] = str(named_path(content[key], where))
    return parse(CampaignSpec, content, workflow or "command line")


def _is_fetched(key: str, text: str) -> bool:
    """Return whether `key` is an address: of all that a campaign names, besides inputs, only a lumi mask."""
    return key == "lumi_mask" and scheme(text) in (*HTTP, *XROOTD)


def _relative_to(folder: Path, key: str, value: Any) -> dict[str, Any]:
    """Return `key` with relative paths taken from `folder`; urls and absolute paths stay."""

    def place(text: Any) -> Any:
        return str(folder / text) if isinstance(text, str) and text and not scheme(text) else text

    if value is None:
        return {}
    return {key: [place(item) for item in value] if isinstance(value, list) else place(value)}


def expand_inputs(patterns: tuple[str, ...]) -> list[str]:
    """Return the input files of patterns: urls, paths, globs, folders (their ``*.root``), ``.txt`` lists.

    Paths come out absolute, also those of ``file://`` urls; addresses stay as they were given. Lines of a
    list are relative to the list; what follows a # (first, or behind a blank) is a comment.

    Raises
    ------
    InputError
        A pattern matches nothing.
    ConfigError
        A file occurs twice, however it is spelled.
    """
    found = [url for pattern in patterns for url in _expand(pattern)]
    spellings: dict[tuple[str, ...], list[str]] = {}
    for url in found:
        spellings.setdefault(identity(url), []).append(public(url))
    twice = [" and ".join(dict.fromkeys(some)) for some in spellings.values() if len(some) > 1]
    if twice:
        raise ConfigError("inputs", f"named more than once: {', '.join(twice[:5])}", "Name each file once.")
    return found


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
        todo = f"Groups are numbered from 1/{groups} to {groups}/{groups}, of at most {len(urls)} files."
        raise ConfigError("group", f"{group} of {len(urls)} files is empty", todo)
    return found


def name_group(urls: list[str], group: str) -> str:
    """Return a group with a digest of the names of all files, so that groups of one list know each other."""
    text = "\n".join(sorted(map(public, urls)))
    return f"{group} {hashlib.sha256(text.encode()).hexdigest()[:12]}" if group else ""


def _expand(pattern: str) -> list[str]:
    if not pattern.strip():
        raise InputError("--input", "is an empty name", "Name ROOT files, folders, globs or .txt lists.")
    path = local_path(pattern)
    if path is None:
        return [pattern]
    try:
        pattern.encode()
        return _expand_path(pattern, absolute(path))
    except UnicodeEncodeError as error:
        shown = pattern.encode(errors="backslashreplace").decode()
        raise InputError(shown, "is not a name in UTF-8", "Rename it, or make a link to it.") from error
    except (OSError, ValueError) as error:
        what = f"can't be searched ({getattr(error, 'strerror', None) or error})"
        raise InputError(pattern, what, "Check the path and its permissions.") from error


def _expand_path(pattern: str, path: Path) -> list[str]:
    if path.suffix == _LIST_ENDING:
        return _expand_list(path)
    if path.is_dir():
        names = sorted(name for name in path.iterdir() if name.match("*.root") and name.name[0] != ".")
    elif path.exists() or not any(mark in str(path) for mark in "*?["):
        return [str(path)]
    else:  # a folder that is there has its own name, whatever marks are in it
        base = next(folder for folder in path.parents if folder.exists())
        names = sorted(base.glob(str(path.relative_to(base))))
    if not names:
        what = "holds no *.root files" if path.is_dir() else "no such file"
        raise InputError(pattern, what, "Name ROOT files, folders, globs or .txt lists.")
    return [str(name) for name in names]


def _expand_list(path: Path) -> list[str]:
    lines = [line for line in _list_lines(path) if line]
    if not lines:
        raise InputError(str(path), "names no files", "Write one file, glob or folder a line.")
    inner = [line for line in lines if line.endswith(_LIST_ENDING)]
    if inner:  # it could be the list itself
        raise InputError(str(path), f"names another list, {inner[0]}", "Name files, globs or folders.")
    here = [line if scheme(line) else str(path.parent / expand_home(line)) for line in lines]
    return [url for line in here for url in _expand(line)]


def _list_lines(path: Path) -> list[str]:
    """Return the lines of a list without comments and blanks at their ends."""
    try:
        text = read_text(path)
    except ConfigError as error:
        raise InputError(error.where, f"{error.what} (a list of files)", error.todo) from error
    return [re.sub(r"(^|\s)#.*", "", line).strip() for line in text.split("\n")]
