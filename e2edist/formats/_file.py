"""Opening a ROOT file and finding its tree; every way in which that fails becomes an InputError."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from e2edist.errors import InputError, advise_nearest, described, guarded
from e2edist.input_file import FileInfo
from e2edist.install_hint import pip_install
from e2edist.plugins import find, load
from e2edist.urls import local_path, public

from ._kept_models import keep_models
from ._only_root_reads import OLD_CLASS, old_ntuple, reading
from ._rntuple import CLASSES, Ntuple
from ._uproot import uproot
from ._without_hits import USE_INSTEAD, without_hits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._branch_map import Format

TREE_CLASSES = ("TTree", "TNtuple", "TNtupleD")
#: The heaviest branches decide where clusters end; intersecting thousands would take seconds.
_EDGE_BRANCHES = 16
#: What tells one file without a uuid from another, at each end.
_END_BYTES = 1 << 16
#: From this version number on, positions in the header have 8 bytes.
_BIG_FILE = 1_000_000


@dataclass(frozen=True, slots=True)
class OpenTree:
    """An open file with the chosen tree and its format."""

    info: FileInfo
    directory: Any
    tree: Any
    format: Format

    def close(self) -> None:
        """Close the file."""
        self.directory.close()


def _check_local(url: str, path: Path) -> None:
    """Refuse what is not a readable ROOT file, with a reason that a person can act on."""
    with guarded(url, "can't be accessed", "Check the path and its permissions"):
        exists = path.exists()
    if not exists:
        siblings = [p.name for p in path.parent.glob("*.root")] if path.parent.is_dir() else []
        hint = advise_nearest(path.name, siblings) if siblings else "Check the path"
        # Another host may see it, or this one in a moment, when its network disk is back.
        raise InputError(url, "there is no such file", hint, retryable=True)
    if not path.is_file():
        kind = "a directory" if path.is_dir() else "not a regular file"
        raise InputError(url, f"is {kind}", "Name a ROOT file, e.g. with a pattern such as folder/*.root")
    if not os.access(path, os.R_OK):
        todo = "Check its permissions (ls -l)"
        raise InputError(url, "may not be read by this user", todo, retryable=True)
    if path.stat().st_size == 0:
        raise InputError(url, "is empty (0 bytes)", "Make or copy it again")
    with guarded(url, "can't be read", "Check the disk and the permissions"), path.open("rb") as stream:
        head = stream.read(20)
    if head[:4] != b"root":
        raise InputError(
            url, f"is not a ROOT file (begins with {head[:4]!r})", "Name a ROOT file, or copy it again"
        )
    # Before uproot opens it: a cut file fails there in many ways, none of which says that it is cut.
    if len(head) == 20:
        version = int.from_bytes(head[4:8], "big")
        end = int.from_bytes(head[12:20] if version >= _BIG_FILE else head[12:16], "big")
        _check_end(url, path.stat().st_size, end)


def _check_end(url: str, size: int, end: int) -> None:
    """Refuse a file that is shorter than its header says; ROOT readers don't, and lose events silently.

    What is behind that end does no harm: a job that died went on writing after it had last saved its tree.
    A server may report the wrong size for a moment; a disk does not.
    """
    if end > size:
        what, todo = f"is cut short: {size} bytes, its header says {end}", "Copy or make the file again"
        raise InputError(url, what, todo, retryable=local_path(url) is None)


def _open(url: str) -> Any:
    keep_models()
    path = local_path(url)
    options: dict[str, Any] = {"array_cache": None, "object_cache": None}
    target = url
    if path is not None:
        _check_local(url, path)
        target = str(path.absolute())  # uproot takes run:1 for an address
        # Plain reads, not a memory map: a file that shrinks or a disk that fails must raise, not SIGBUS.
        options |= {"handler": uproot.source.file.MultithreadedFileSource, "num_workers": 1}
    todo = "Copy or make the file again" if path is not None else _address_todo()
    try:
        with guarded(url, "can't be opened as a ROOT file", todo):
            return uproot.open({target: None}, **options)
    except ImportError as error:
        raise InputError(url, f"can't be opened ({described(error)})", todo) from error


def _address_todo() -> str:
    return f"Check the address and that it can be reached; root:// needs {pip_install('xrootd')}"


def _size(url: str, directory: Any) -> int:
    """Return the file's size in bytes, having compared it with the one in its header."""
    path = local_path(url)
    with guarded(url, "its size can't be determined", "Copy the file again"):
        size = int(path.stat().st_size if path is not None else directory.file.source.num_bytes)
        end = int(directory.file.fEND)
    _check_end(url, size, end)
    return size


def _trees(url: str, directory: Any) -> list[str]:
    """Return the trees' names without cycles; of several cycles uproot takes the highest by itself."""
    with guarded(url, "its list of contents can't be read", "Copy or make the file again"):
        classes = {str(k).rpartition(";")[0]: str(v) for k, v in directory.classnames(cycle=True).items()}
    trees = [name for name, kind in classes.items() if kind in TREE_CLASSES + CLASSES]
    if trees:
        return trees
    if not classes and not directory.fSeekKeys:  # no list of contents was written, not even an empty one
        todo = "Copy what ROOT can recover (hadd new.root old.root), or make the file again"
        raise InputError(url, "was not closed: its list of contents was never written", todo)
    held = ", ".join(f"{name} ({kind})" for name, kind in list(classes.items())[:10]) or "nothing"
    raise InputError(
        url, f"has no TTree and no RNTuple; it holds {held}", "Take it out of the list of input files"
    )


def _get(url: str, directory: Any, name: str) -> Any:
    with reading(url, f"tree {name!r} can't be read", "Copy or make the file again"):
        if directory.classname_of(name) == OLD_CLASS:
            raise old_ntuple(url, name)
        found = directory[name]
        if found.classname not in CLASSES:
            return found
        if not found.member("fVersionEpoch"):
            raise old_ntuple(url, name)
        return Ntuple(found)


def _names(url: str, tree: Any) -> frozenset[str]:
    with reading(url, "the tree's branches can't be listed", "Copy or make the file again"):
        return frozenset(str(branch.name) for branch in tree.branches)


@cache
def _formats(*, ours: bool) -> dict[str, Format]:
    """Return our own formats, or those of other packages."""
    found = find("formats")
    own = {name for name, module in found.items() if module == f"{__package__}.{name}"}
    return {name: _load(name) for name in sorted(found) if ours == (name in own)}


def _load(name: str) -> Format:
    return cast("Format", load("formats", name))


def approximation(name: str) -> str:
    """Return what is approximate in the images of a format, as a clause; empty if nothing is."""
    return str(getattr(_load(name), "APPROXIMATE", ""))


def _groups(only: str | None) -> Iterator[dict[str, Format]]:
    """Yield formats, our own first: an installed package can neither claim a file of theirs nor break it."""
    if only:
        yield {only: _load(only)}
    else:
        yield _formats(ours=True)
        yield _formats(ours=False)


def _choose(url: str, directory: Any, only: str | None, tree: str | None) -> tuple[str, Any, str, Format]:
    """Return tree name, tree, format name and format."""
    trees = _trees(url, directory)
    if tree is not None and tree.partition(";")[0] not in trees:
        raise InputError(url, f"has no tree {tree!r}", advise_nearest(tree, trees))
    seen: dict[str, tuple[Any, frozenset[str]]] = {}
    known: dict[str, Format] = {}
    for formats in _groups(only):
        known |= formats
        preferred = [name for one in formats.values() for name in getattr(one, "TREES", ())]
        candidates = [tree] if tree else sorted(trees, key=lambda name: name not in preferred)
        for candidate in candidates:
            if candidate not in seen:
                opened = _get(url, directory, candidate)
                seen[candidate] = opened, _names(url, opened)
            for name, one in formats.items():
                if one.detect(seen[candidate][1]):
                    return candidate, seen[candidate][0], name, one
        if only and (tree or candidates[0] in preferred or len(candidates) == 1):
            # Not recognised, but asked for by name: the missing branches make the clearer error.
            return candidates[0], seen[candidates[0]][0], only, formats[only]
    for _, names in seen.values():
        if cause := without_hits(names):
            raise InputError(url, cause, USE_INSTEAD)
    held = [f"{name}: {', '.join(sorted(names)[:12])}" for name, (_, names) in list(seen.items())[:4]]
    todo = f"Formats known: {', '.join(sorted(known))}; name the right one and its tree if there is one"
    raise InputError(url, f"no format fits its trees ({'; '.join(held)})", todo)


def cluster_edges(tree: Any, entries: int) -> tuple[int, ...]:
    """Return the entries at which the heaviest branches all begin a basket, from 0 to `entries`."""
    if entries == 0:
        return (0,)
    filled = [branch for branch in tree.itervalues(recursive=True) if branch.num_baskets > 0]
    filled.sort(key=lambda branch: -int(branch.member("fZipBytes")))
    common: set[int] | None = None
    for branch in filled[:_EDGE_BRANCHES]:
        offsets = {int(entry) for entry in branch.entry_offsets}
        common = offsets if common is None else common & offsets
    return tuple(sorted({0, entries} | {entry for entry in common or () if 0 < entry < entries}))


def _uuid(directory: Any, size: int) -> str:
    """Return the uuid of a file, 32 hexadecimal digits.

    Files that ROOT's RNTupleWriter writes by itself have none: a checksum of their ends, where the sizes of
    all pages are, stands in for it.
    """
    if int(directory.file.uuid) != 0:
        return str(directory.file.uuid.hex)
    ends = (0, min(size, _END_BYTES)), (max(size - _END_BYTES, 0), size)
    found = hashlib.sha256(str(size).encode())
    for start, stop in ends:
        found.update(bytes(directory.file.source.chunk(start, stop).raw_data))
    return found.hexdigest()[:32]


def open_tree(
    url: str,
    format: str | None = None,  # noqa: A002
    tree: str | None = None,
    edges: tuple[int, ...] | None = None,
) -> OpenTree:
    """Open `url` and choose tree and format; the caller closes it. Known `edges` are not looked for.

    Raises
    ------
    InputError
        If it is missing, not ROOT, cut short, or has no tree that a format knows.
    UnknownNameError
        If there is no format of that name.
    """
    directory = _open(url)
    try:
        size = _size(url, directory)
        name, found, chosen, reads = _choose(url, directory, format, tree)
        with reading(f"{url}:{name}", "the tree is damaged", "Copy or make the file again"):
            entries = int(found.num_entries)
            edges = cluster_edges(found, entries) if edges is None else edges
            uuid = _uuid(directory, size)
        info = FileInfo(public(url), chosen, name.partition(";")[0], uuid, size, entries, edges)
    except BaseException:
        directory.close()
        raise
    return OpenTree(info, directory, found, reads)


def inspect(url: str, format: str | None = None, tree: str | None = None) -> FileInfo:  # noqa: A002
    """Return what a plan must know about a file, without reading events.

    Parameters
    ----------
    url : str
        Local path, ``file://``, ``root://`` or ``https://``.
    format, tree : str, optional
        Found out where not given.

    Raises
    ------
    InputError
        If the file is missing, not ROOT, cut short, or of no known format; it says what to do.
    """
    opened = open_tree(url, format, tree)
    opened.close()
    return opened.info
