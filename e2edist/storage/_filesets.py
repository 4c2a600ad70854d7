"""Filesets of coffea: files by dataset, with what is known of each dataset."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from e2edist.errors import ConfigError

from .listed_input import ListedInput

_TODO = "Write {dataset: [files]}, or {dataset: {files: {file: tree}, metadata: {}}}."


def is_fileset(content: Mapping[str, Any]) -> bool:
    """Return whether this is no single record of DAS or Rucio."""
    return not {"name", "file", "logical_file_name", "pfns"} & content.keys()


def read_fileset(where: str, content: Mapping[str, Any]) -> list[ListedInput]:
    """Return the files of a fileset with their datasets, trees and the datasets' metadata.

    Raises
    ------
    ConfigError
        It has faults: all of them are named by their keys.
    """
    if content and all(re.fullmatch(r"\d{6}", key) for key in content):
        what = "is a list of good luminosity blocks, by run, and names no files"
        raise ConfigError(where, what, "Give it with --lumi-mask, and files with --input.")
    found: list[ListedInput] = []
    faults: list[str] = []
    for dataset, value in content.items():
        faults += _read_dataset(dataset, value, found)
    if faults:
        raise ConfigError(where, "; ".join(faults[:5]), _TODO)
    return found


def _read_dataset(dataset: str, value: Any, found: list[ListedInput]) -> Iterator[str]:
    """Add the files of a dataset to `found`; yield faults."""
    facts = value if isinstance(value, Mapping) else {"files": value}
    files, metadata = facts.get("files"), facts.get("metadata") or {}
    if not isinstance(metadata, Mapping):
        yield f"{dataset}.metadata: is no table"
    elif isinstance(files, (list, Mapping)):
        pairs = files.items() if isinstance(files, Mapping) else ((name, None) for name in files)
        yield from _read_files(dataset, list(pairs), {**facts, "metadata": metadata}, found)
    else:
        yield f"{dataset}: has no files, neither as a list nor as a table"


def _read_files(
    dataset: str, files: list[tuple[Any, Any]], facts: Mapping[str, Any], found: list[ListedInput]
) -> Iterator[str]:
    if not files:
        yield f"{dataset}: is empty"
    for name, about in files:
        tree = about.get("object_path") if isinstance(about, Mapping) else about
        tree = tree or facts.get("treename")  # of all files, in filesets of old
        if not isinstance(name, str) or not isinstance(tree, (str, type(None))):
            yield f"{dataset}.files: {name!r} with tree {tree!r} is no name of a file"
        else:
            cut, entries = _steps(about)
            found.append(ListedInput(name, dataset, tree, facts["metadata"], cut, entries))


def _steps(facts: Any) -> tuple[bool, int | None]:
    """Return whether the steps of a file are not all of its entries, and the entries it has as it is said."""
    if not isinstance(facts, Mapping):
        return False, None
    edges = [tuple(step) for step in facts.get("steps") or () if isinstance(step, list) and len(step) == 2]
    entries = facts.get("num_entries", edges[-1][1] if edges else None)
    gaps = any(stop != start for (_, stop), (start, _) in pairwise(edges))
    cut = bool(edges) and (edges[0][0] != 0 or gaps or edges[-1][1] != entries)
    return cut, entries if type(entries) is int else None
