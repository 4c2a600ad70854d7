"""Golden JSON files of CMS: which luminosity blocks are good, as ``{"run": [[first, last], ...], ...}``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NoReturn

from e2edist.errors import ConfigError
from e2edist.imaging.lumi_mask import LumiMask, merge_ranges

from .text_files import read_text

#: Runs and luminosity blocks have 32 bits in CMS event data.
_LARGEST = 2**32 - 1
_TODO = 'Write {"run": [[first, last], ...], ...}, as CMS\'s golden JSON files.'


def read_lumi_mask(path: Path) -> str:
    """Return the canonical text of a lumi mask: two files of the same luminosity blocks have the same.

    Raises
    ------
    ConfigError
        The file can't be read or is no lumi mask; it names the run and the range.
    """
    return canonical_mask(read_text(path), str(path))


def canonical_mask(text: str, where: str) -> str:
    """Return a lumi mask as JSON in one line: runs in order, ranges in order and merged.

    Raises
    ------
    ConfigError
        It is no lumi mask; `where` is its file.

    >>> canonical_mask('{"2": [[7, 9]], "1": [[4, 4], [1, 3]]}', "x.json")
    '{"1":[[1,4]],"2":[[7,9]]}'
    """
    try:
        content = json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, where))
    except json.JSONDecodeError as error:
        _refuse(where, f"is no JSON: {error.msg} in line {error.lineno}, column {error.colno}")
    except RecursionError:
        _refuse(where, "is no lumi mask: its lists are nested too deeply")
    if not isinstance(content, dict):
        _refuse(where, f"is no lumi mask: it holds {_shown(content)} in place of runs")
    ranges = {_run(name, where): _ranges(name, some, where) for name, some in content.items()}
    merged = {run: merge_ranges(ranges[run]) for run in sorted(ranges) if ranges[run]}
    if not merged:
        _refuse(where, "names no luminosity block, so that no event would count")
    return json.dumps(merged, separators=(",", ":"))


def parse_mask(text: str) -> LumiMask:
    """Return the mask of a canonical text."""
    return LumiMask.of({int(run): [(a, b) for a, b in some] for run, some in json.loads(text).items()})


def describe_mask(text: str) -> str:
    """Return in words what a canonical text is, to tell one mask from another."""
    runs = [int(run) for run in json.loads(text)]
    many = f"runs {runs[0]} to {runs[-1]}, {len(runs):,} of them" if len(runs) > 1 else f"run {runs[0]}"
    return f"{many}, sha256 {mask_digest(text)[:12]}"


def mask_digest(text: str) -> str:
    """Return the sha256 of a canonical text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _unique(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:  # JSON takes the last and says nothing
            _refuse(where, f"names run {name} twice")
        found[name] = value
    return found


def _run(name: str, where: str) -> int:
    if not (name.isascii() and name.isdigit() and int(name[:11]) <= _LARGEST and name == str(int(name[:11]))):
        _refuse(where, f"{_shown(name)} is no number of a run")
    return int(name)


def _ranges(name: str, some: Any, where: str) -> list[tuple[int, int]]:
    if not isinstance(some, list):
        _refuse(where, f"run {name} has {_shown(some)} in place of a list of ranges")
    for one in some:
        pair = isinstance(one, list) and len(one) == 2 and all(type(number) is int for number in one)
        if not pair or not 0 <= one[0] <= one[1] <= _LARGEST:
            _refuse(where, f"run {name}: {_shown(one)} is no range [first, last] of luminosity blocks")
    return [(first, last) for first, last in some]


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]} ..."


def _refuse(where: str, what: str) -> NoReturn:
    raise ConfigError(where, what, _TODO)
