"""Resuming a frozen plan: whether this command is for it, and where its files are now.

An input is the file, not its spelling: another token, a link, another server or another way to write a path
leads to the same plan as long as the files are those that were planned.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from e2edist.config.lumi_mask import describe_mask
from e2edist.config.tagger import TaggerSpec
from e2edist.errors import E2EError, OutputError
from e2edist.formats import FileInfo, inspect
from e2edist.records.plan import Plan
from e2edist.storage.read_inputs import InputOptions, read_input
from e2edist.urls import canonical, local_path, public

from .planning import combine_errors, inspect_all

T = TypeVar("T")
_TODO = "Choose another --output, or resume what that folder was planned for."


def check_same(
    old: Plan,
    tagger: TaggerSpec,
    folder: Path,
    format: str | None = None,  # noqa: A002
    tree: str | None = None,
) -> None:
    """Refuse a folder that belongs to the plan of another tagger, or of other trees.

    Raises
    ------
    OutputError
        Tagger, model, imaging, format or tree differ; says which.
    """
    new = json.loads(json.dumps(tagger.identity()))
    keys = [key for key in sorted({*old.tagger, *new}) if old.tagger.get(key) != new.get(key)]
    if keys:
        what = f"belongs to another plan: its tagger differs in {', '.join(keys)}"
        raise OutputError(str(folder), what, _TODO)
    for file in old.files:
        if format not in (None, file.format) or tree not in (None, file.tree):
            what = f"belongs to another plan: {file.url} is read as {file.format}, tree {file.tree}"
            raise OutputError(str(folder), what, _TODO)


def check_same_mask(old: Plan, lumi_mask: str, folder: Path) -> None:
    """Refuse a folder that was planned with another lumi mask, or with none.

    Raises
    ------
    OutputError
        The masks differ; says how.
    """
    if old.lumi_mask == lumi_mask:
        return
    was, now = (describe_mask(mask) if mask else "" for mask in (old.lumi_mask, lumi_mask))
    if not now:
        what, todo = f"was planned with a lumi mask ({was})", f"Name it with --lumi-mask. {_TODO}"
    elif not was:
        what, todo = "was planned without a lumi mask", f"Leave out --lumi-mask. {_TODO}"
    else:
        what, todo = f"was planned with another lumi mask: {was}, not {now}", _TODO
    raise OutputError(str(folder), what, todo)


def match_inputs(old: Plan, urls: Sequence[str], folder: Path, inputs: InputOptions) -> Plan:
    """Return a folder's plan with the addresses that `urls` give to its files.

    Addresses are compared first. Only inputs that are left over on both sides are opened, and are those that
    were planned where uuid, size and entries are the same.

    Raises
    ------
    OutputError
        They are not the inputs that were planned; says which.
    InputError
        Inputs under new names can't be opened.
    """
    skipped = dict.fromkeys(url for url, _ in old.skipped)
    match = _Match({file.uuid: file for file in old.files}, skipped, dict.fromkeys(urls))
    match.by_name(canonical)
    match.by_name(_real)
    if match.urls and len(match.urls) == len(match.files) + len(match.skipped):
        match.by_content(inputs)
    if match.files or match.skipped or match.urls:
        raise OutputError(str(folder), f"belongs to another plan: {match.left()}", _TODO)
    return replace(old, access=match.access)


def changed_files(plan: Plan) -> list[str]:
    """Return the local files of a plan that are not as large as they were, or gone; no file is opened.

    Their parts are of the files as they were planned; their other entries will be given up.
    """
    found = []
    for file in plan.files:
        path = local_path(plan.access.get(file.uuid, file.url))
        if path is not None and not (path.is_file() and path.stat().st_size == file.size):
            found.append(file.url)
    return found


def _real(url: str) -> str:
    path = local_path(url)
    return canonical(url) if path is None else os.path.realpath(path)


@dataclass(slots=True)
class _Match:
    """What has no match yet: planned files by uuid, inputs that could not be planned, and given urls."""

    files: dict[str, FileInfo]
    skipped: dict[str, None]
    urls: dict[str, None]
    access: dict[str, str] = field(default_factory=dict)

    def by_name(self, name: Callable[[str], str]) -> None:
        """Match what has the same `name`, and no other has."""
        files = _groups(self.files.values(), lambda file: name(file.url))
        skipped = _groups(self.skipped, name)
        for key, some in _groups(self.urls, name).items():
            if len(some) == 1 and len(files.get(key, ())) == 1 and key not in skipped:
                self._take(files[key][0], some[0])
            elif key not in files and len(some) == len(skipped.get(key, ())):
                for url, missing in zip(some, skipped[key], strict=True):
                    del self.urls[url], self.skipped[missing]

    def by_content(self, inputs: InputOptions) -> None:
        """Open what is left of the given urls, and match what was planned."""
        kinds = {(file.format, file.tree) for file in self.files.values()}
        kind = kinds.pop() if len(kinds) == 1 else (None, None)

        def inspect_one(url: str) -> FileInfo | E2EError:
            try:
                return read_input(url, inputs.in_place(), lambda path: inspect(path, *kind))
            except E2EError as error:
                return error

        given = list(self.urls)
        inspected = inspect_all(given, inspect_one)
        errors = [item for item in inspected if isinstance(item, E2EError)]
        if len(errors) > len(self.skipped):
            raise combine_errors(errors, len(inspected))
        planned = {(file.uuid, file.size, file.entries): file for file in self.files.values()}
        for url, found in zip(given, inspected, strict=True):
            if isinstance(found, E2EError):  # it could not be planned, and can't be now
                del self.urls[url]
                self.skipped.popitem()
            elif file := planned.pop((found.uuid, found.size, found.entries), None):
                self._take(file, url)

    def left(self) -> str:
        """Return in words what has no match."""
        gone, added = sorted([*(file.url for file in self.files.values()), *self.skipped]), sorted(self.urls)
        parts = [f"{len(gone)} inputs are missing, as {gone[0]}"] if gone else []
        return "; ".join(parts + ([f"{len(added)} are new, as {public(added[0])}"] if added else []))

    def _take(self, file: FileInfo, url: str) -> None:
        del self.files[file.uuid], self.urls[url]
        if url != file.url:
            self.access[file.uuid] = url


def _groups(items: Iterable[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found
