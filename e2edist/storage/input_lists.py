"""The input files of a campaign: whatever people have, as a list of files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from e2edist.counted import counted
from e2edist.errors import ConfigError, E2EError, InputError, combined
from e2edist.process import expand_home
from e2edist.urls import absolute, identity, local_path, public, scheme

from ._list_files import is_list, one_replica_each, parse_list, read_list
from ._remote_listing import LEFT_OUT, is_pattern, list_remote
from .listed_input import ListedInput
from .read_attempts import InputOptions

__all__ = ["ListedInput", "expand_inputs"]

Say = Callable[[str], None]
#: The name of what comes by a pipe.
_STDIN = "-"
_TODO = "Name ROOT files, folders, globs, lists or addresses."


def _be_silent(_: str) -> None:
    """Say nothing."""


def expand_inputs(
    patterns: Iterable[str],
    options: InputOptions = InputOptions(),  # noqa: B008 - frozen
    *,
    datasets: Mapping[str, Sequence[str]] | None = None,
    say: Say = _be_silent,
) -> list[ListedInput]:
    """Return the input files of patterns: files, globs, folders, lists, addresses, ``/store/...`` names.

    Folders are searched through for ``*.root``. Paths come out absolute, also those of ``file://`` urls;
    addresses stay as they were given. Names in a list are relative to the list; in a text, what follows a #
    (first, or behind a blank) is a comment.

    Parameters
    ----------
    patterns : iterable of str
    options : InputOptions
        How servers are asked, and the redirectors that ``/store/...`` names are looked up at.
    datasets : mapping of str to sequence of str, optional
        Further patterns, by the name of the dataset of their files.
    say : callable
        Takes lines for people: what was found in folders, and what a list says that is not followed.

    Raises
    ------
    InputError
        A pattern matches nothing, or a list can't be read; all of them are named.
    ConfigError
        A file occurs twice, however it is spelled.
    """
    given = [ListedInput(pattern) for pattern in patterns]
    given += [ListedInput(one, name) for name, some in (datasets or {}).items() for one in some]
    found: list[ListedInput] = []
    errors: list[E2EError] = []
    for one in given:
        try:
            found += _in_dataset(one, _expand(one.url, options, say))
        except E2EError as error:
            errors.append(error)
    if errors:
        raise combined(errors, len(given), "inputs")
    _refuse_twice(found)
    return found


def _refuse_twice(found: list[ListedInput]) -> None:
    spellings: dict[tuple[str, ...], list[str]] = {}
    for one in found:
        spellings.setdefault(identity(one.url), []).append(public(one.url))
    twice = [" and ".join(dict.fromkeys(some)) for some in spellings.values() if len(some) > 1]
    if twice:
        raise ConfigError("inputs", f"named more than once: {', '.join(twice[:5])}", "Name each file once.")


def _in_dataset(given: ListedInput, found: list[ListedInput]) -> list[ListedInput]:
    """Return files with the dataset that a command line names for them."""
    if not given.dataset:
        return found
    names = sorted({one.dataset for one in found} - {""})
    if len(names) > 1:
        what = f"{public(given.url)} names datasets of its own, as {names[0]} and {names[1]}"
        raise ConfigError(f"dataset {given.dataset}", what, "Give it with --input.")
    return [replace(one, dataset=given.dataset) for one in found]


def _expand(pattern: str, options: InputOptions, say: Say) -> list[ListedInput]:
    if not pattern.strip():
        raise InputError("--input", "is an empty name", _TODO)
    if pattern == _STDIN:
        text = sys.stdin.read()
        found = parse_list("standard input", text, logical=bool(options.redirectors))
        return _expand_list("standard input", Path(), found, options, say)
    path = local_path(pattern)
    if path is not None and is_list(path.name):
        found = read_list(path, logical=bool(options.redirectors))
        return _expand_list(str(path), path.parent, found, options, say)
    return [ListedInput(url) for url in _expand_name(pattern, options, say)]


def _expand_list(
    where: str, folder: Path, listed: list[ListedInput], options: InputOptions, say: Say
) -> list[ListedInput]:
    """Return the files of what a list names; paths are relative to its folder."""
    inner = [one.url for one in listed if not scheme(one.url) and is_list(one.url)]
    if inner:  # it could be the list itself
        raise InputError(where, f"names another list, {inner[0]}", "Name files, globs or folders.")
    kept = one_replica_each(listed)
    if len(kept) < len(listed):
        files = counted(len(kept), "file")
        words = (f"further replica of its {files} is", f"further replicas of its {files} are")
        say(f"{where}: {counted(len(listed) - len(kept), *words)} left out")
    if any(one.cut for one in kept):
        say(f"{where}: its steps leave out entries; all entries of its files are read")
    found = []
    for one in kept:
        name = one.url if scheme(one.url) else str(folder / expand_home(one.url))
        slash = "/" if one.url.endswith("/") and not name.endswith("/") else ""
        found += [replace(one, url=url) for url in _expand_name(name + slash, options, say)]
    return found


def _expand_name(pattern: str, options: InputOptions, say: Say) -> list[str]:
    """Return the files of a file's name, a glob or a folder."""
    path = local_path(pattern)
    if path is None:
        return _list_server(pattern, options, say) if is_pattern(pattern) else [pattern]
    try:
        pattern.encode()
        found = _expand_path(absolute(path), pattern, say)
        if not found and pattern.startswith("/store/") and is_pattern(pattern):
            return _list_server(pattern, options, say)
    except UnicodeEncodeError as error:
        shown = pattern.encode(errors="backslashreplace").decode()
        raise InputError(shown, "is not a name in UTF-8", "Rename it, or make a link to it.") from error
    except (OSError, ValueError) as error:
        what = f"can't be searched ({getattr(error, 'strerror', None) or error})"
        raise InputError(pattern, what, "Check the path and its permissions.") from error
    if not found:
        what = "holds no *.root files" if path.is_dir() else "no such file"
        raise InputError(pattern, what, _TODO)
    return found


def _list_server(pattern: str, options: InputOptions, say: Say) -> list[str]:
    found = list_remote(pattern, options)
    say(f"{public(pattern)}: {counted(len(found), 'file')}")
    return found


def _expand_path(path: Path, pattern: str, say: Say) -> list[str]:
    """Return the files of a path on a disk; none if a glob or folder has none."""
    if path.is_dir():
        return _search(path, say)
    if path.exists() or not any(mark in pattern for mark in "*?["):
        return [] if pattern.startswith("/store/") and pattern.endswith("/") else [str(path)]
    # A folder that is there has its own name, whatever marks are in it.
    base = next(folder for folder in path.parents if folder.exists())
    names = sorted(base.glob(str(path.relative_to(base))))
    files = [str(name) for name in names if not name.is_dir()]
    return files or [file for name in names for file in _search(name, say)]


def _search(folder: Path, say: Say) -> list[str]:
    """Return the ``*.root`` files below a folder, sorted by folder and name, and say how many they are."""
    found = list(_walk(folder))
    if found:
        folders = len({file.parent for file in found})
        within = f" in {folders:,} folders" if folders > 1 else ""
        say(f"{folder}: {counted(len(found), 'file')}{within}")
    return [str(file) for file in found]


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the ``*.root`` files below a folder; each folder once, whatever links lead to it."""

    def fail(error: OSError) -> None:
        raise error  # what can't be listed is not empty

    seen: set[str] = set()
    for at, folders, files in os.walk(folder, onerror=fail, followlinks=True):
        real = os.path.realpath(at)
        if real in seen or (Path(at) != folder and _is_output(folders, files)):
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if name[0] != "." and name not in LEFT_OUT)
        yield from (Path(at, name) for name in sorted(files) if name.endswith(".root") and name[0] != ".")


def _is_output(folders: Iterable[str], files: Iterable[str]) -> bool:
    """Return whether a folder is one of ours: its friend trees are no inputs."""
    return "plan.json" in files or ("summary.json" in files and "table" in folders)
