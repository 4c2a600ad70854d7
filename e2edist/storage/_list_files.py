"""Lists of files as people have them: text, DAS and Rucio outputs, filesets of coffea."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from e2edist.config.text_files import decode_text, read_text
from e2edist.errors import ConfigError, InputError
from e2edist.urls import HTTP, XROOTD, host, scheme

from ._filesets import is_fileset, read_fileset
from .listed_input import ListedInput

#: Endings of names that are lists, and no ROOT files.
ENDINGS = (".txt", ".list", ".csv", ".json", ".json.gz")
#: ``scope:name`` of Rucio, where the name is a logical one of CMS.
_SCOPED = re.compile(r"[\w.-]+:(/store/.+)")
#: Lines of programs that are about the list.
_ABOUT = re.compile(r"[+|]?[-=+]{3,}\|?$|Total (files|size|events) : |Showing \d+-\d+ out of ")
_TODO = (
    "Give names, one a line; a JSON list of names; the JSON of dasgoclient or Rucio; or a fileset of coffea."
)


def is_list(name: str) -> bool:
    """Return whether a name is that of a list of files."""
    return name.lower().endswith(ENDINGS)


def read_list(path: Path, *, logical: bool) -> list[ListedInput]:
    """Return what a list names: files, globs and folders, as they stand there.

    Parameters
    ----------
    logical : bool
        Whether ``/store/...`` names can be looked up, so that they are better than one of their replicas.

    Raises
    ------
    InputError
        It can't be read, names nothing, or has a form that is not known.
    """
    try:
        if path.name.lower().endswith(".gz"):
            text = decode_text(gzip.decompress(path.read_bytes()), str(path))
        else:
            text = read_text(path)
    except ConfigError as error:
        raise InputError(error.where, f"{error.what} (a list of files)", error.todo) from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(str(path), f"can't be read as a list of files ({error})", _TODO) from error
    return parse_list(str(path), text, logical=logical)


def parse_list(where: str, text: str, *, logical: bool) -> list[ListedInput]:
    """Return what the text of a list names; the form is known from how it begins."""
    as_json = where.lower().endswith((".json", ".json.gz")) or text.lstrip()[:1] in ("[", "{")
    found = _parse_json(where, text, logical) if as_json else _parse_lines(text)
    if not found:
        raise InputError(
            where, "names no files", _TODO if as_json else "Write a file, glob or folder a line."
        )
    return found


def one_replica_each(found: list[ListedInput]) -> list[ListedInput]:
    """Return the list with one address for each ``/store/...`` name that it gives at several servers.

    Rucio lists all replicas of a file; the kinds of server that can be read best win, then the first.
    """
    groups: dict[str, list[ListedInput]] = {}
    for number, one in enumerate(found):
        server, mark, name = one.url.partition("/store/")
        groups.setdefault(name if mark and scheme(server) else f"{number}", []).append(one)
    kept: list[ListedInput] = []
    for some in groups.values():
        several = len({host(one.url) for one in some}) > 1
        kept += [min(some, key=lambda one: _rank(one.url))] if several else some
    return kept


def _rank(url: str) -> int:
    return 0 if scheme(url) in XROOTD else 1 if scheme(url) in HTTP else 2


def _parse_lines(text: str) -> list[ListedInput]:
    names: list[str] = []
    rows: set[str] = set()
    for line in text.split("\n"):
        bare = re.sub(r"(^|\s)#.*", "", line).strip()
        is_row = bare.startswith(("|", "│"))
        name = _name_in_row(bare) if is_row else _name_in_line(bare)
        if name and not (is_row and name in rows):  # a table of replicas has a row for each
            names.append(name)
        rows |= {name} if is_row else set()
    return [ListedInput(name) for name in names]


def _name_in_row(row: str) -> str:
    """Return the name in a row of one of Rucio's tables, "" for a headline."""
    cells = [cell.strip() for cell in re.split(r"[|│]", row)]
    return next((_logical(cell) for cell in cells if _logical(cell).startswith("/store/")), "")


def _name_in_line(line: str) -> str:
    """Return the name in a line that may hold numbers behind it, as those of DAS and Rucio do."""
    if _ABOUT.match(line):
        return ""
    first, *more = re.split(r"[\s,]+", line) if line else [""]
    if more and first.endswith(".root") and not any(".root" in word or "/" in word for word in more):
        line = first
    return _address(_logical(line))


def _logical(name: str) -> str:
    scoped = _SCOPED.fullmatch(name)
    return scoped[1] if scoped else name


def _address(name: str) -> str:
    """Return an address with the scheme that others know: WebDAV is read as http."""
    return re.sub(r"^dav(s?)://", r"http\1://", name)


def _parse_json(where: str, text: str, logical: bool) -> list[ListedInput]:
    try:
        content = _load(text)
    except ValueError as error:
        raise InputError(where, f"is not JSON: {error}", _TODO) from error
    if isinstance(content, dict) and isinstance(content.get("data"), list):  # DAS with --format=json
        content = content["data"]
    if isinstance(content, dict) and is_fileset(content):
        return read_fileset(where, content)
    records = content if isinstance(content, list) else [content]
    return [one for number, record in enumerate(records) for one in _names(where, number, record, logical)]


def _load(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # a JSON object a line, as Rucio's server sends them
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) < 2 or not all(line.startswith("{") for line in lines):
            raise
        return [json.loads(line) for line in lines]


def _names(where: str, number: int, record: Any, logical: bool) -> Iterable[ListedInput]:
    """Return the files of an entry: a name, or a record of DAS, DBS or Rucio."""
    if isinstance(record, str):
        return [ListedInput(_address(_logical(record)))]
    if isinstance(record, Mapping):
        if isinstance(record.get("file"), list):  # DAS: what each of its services knows of one file
            return _das_files(record["file"])
        name = record.get("logical_file_name", record.get("name"))
        addresses = [_address(one) for one in _pfns(record)]
        if isinstance(name, str) and name.startswith("/store/") and (logical or not addresses):
            return [ListedInput(name)]
        if addresses:
            return [ListedInput(min(addresses, key=_rank))]
    what = f"its entry {number} names no file"
    raise InputError(where, what, _TODO)


def _das_files(services: list[Any]) -> list[ListedInput]:
    found: dict[str, ListedInput] = {}
    for one in services:
        if isinstance(one, Mapping) and isinstance(one.get("name"), str):
            dataset = one.get("dataset")
            if one["name"] not in found or isinstance(dataset, str):
                found[one["name"]] = ListedInput(
                    one["name"], dataset=dataset if isinstance(dataset, str) else ""
                )
    return list(found.values())


def _pfns(record: Mapping[str, Any]) -> list[str]:
    """Return the addresses in a replica record of Rucio, the preferred ones first."""
    pfns = record.get("pfns")
    if not isinstance(pfns, Mapping):
        return [str(one) for one in pfns] if isinstance(pfns, list) else []
    return sorted(pfns, key=lambda one: _priority(pfns[one]))


def _priority(facts: Any) -> float:
    value = facts.get("priority") if isinstance(facts, Mapping) else None
    return float(value) if isinstance(value, (int, float)) else float("inf")
