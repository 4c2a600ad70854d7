"""Files in folders of servers: globs over root://, https:// and /store names, folders searched through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cache
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit

from e2edist.errors import InputError
from e2edist.urls import HTTP, public, scheme

from ._remote_files import guarded, open_filesystem, prepare
from ._servers import first_success
from .read_attempts import AttemptLog, InputOptions

#: Folders below a searched one that hold no results: CRAB's logs, and the outputs of jobs that failed.
LEFT_OUT = ("failed", "log")
#: What a folder is searched for.
_SEARCH = ("**", "*.root")
#: Folders in each other that are looked into.
_DEEPEST = 20
#: Name and whether it is a folder.
Entry = tuple[str, bool]


def is_pattern(url: str) -> bool:
    """Return whether an address stands for several files: a folder, or a glob.

    A question mark begins the query of an address, and brackets are in names of files more often.
    """
    path = _split_query(url)[0]
    return path.endswith("/") or "*" in path


def list_remote(url: str, options: InputOptions) -> list[str]:
    """Return the files that a pattern of a server's files stands for, sorted by name.

    Parameters
    ----------
    url : str
        Address or ``/store/...`` name, which is looked up at the site's redirectors: a folder, which is
        searched through for ``*.root``, or a glob, in which ``**`` is any number of folders.

    Raises
    ------
    InputError
        No server lists such files; a folder that can't be listed is an error, not an empty one.
    """
    path, query = _split_query(url)
    base, parts = _split_pattern(path)

    def look(address: str) -> list[str]:
        prepare(address, options.timeout_s)
        listing = cache(lambda folder: _list_folder(address, folder))
        found = sorted(_find(listing, parts))
        if not found:
            what = f"lists no file {'/'.join(parts)}"
            raise InputError(address, what, "Check the name, and that you may read there.")
        return found

    names = first_success(AttemptLog(base + query), options, "list", look)
    return [f"{base}/{name}{query}" for name in names]


def _split_query(url: str) -> tuple[str, str]:
    """Return an address and what follows its path, which may be a permission."""
    if not scheme(url):
        return url, ""
    path, mark, rest = url.partition("?")
    return path, mark + rest


def _split_pattern(path: str) -> tuple[str, tuple[str, ...]]:
    """Return the folder above the first component with a mark of globs, and the rest of the components."""
    head, mark, rest = path.partition("://") if scheme(path) else ("", "", path)
    server, slash, place = rest.partition("/") if mark else ("", "", rest)
    parts = place.split("/")
    first = next((i for i, part in enumerate(parts) if any(c in part for c in "*[")), len(parts))
    folder = "/".join(parts[:first]).rstrip("/")
    below = [part for part in parts[first:] if part]
    if path.endswith("/"):
        below += _SEARCH
    elif below[-1] == "**":
        below.append("*")
    if not folder and head.lower() in HTTP:
        slash = ""
    return f"{head}{mark}{server}{slash}{folder}", tuple(below)


def _find(listing: Callable[[str], Sequence[Entry]], parts: Sequence[str]) -> set[str]:
    """Return the files of a pattern; where it stands for folders alone, the ``*.root`` below these."""
    found = set(_match(listing, "", tuple(parts)))
    files = {name for name, is_folder in found if not is_folder}
    if files:
        return files
    below = (_match(listing, name, _SEARCH) for name, is_folder in found if is_folder)
    return {name for some in below for name, is_folder in some if not is_folder}


def _match(listing: Callable[[str], Sequence[Entry]], folder: str, parts: tuple[str, ...]) -> Iterator[Entry]:
    """Yield what matches `parts` below a folder, by its path from the first one."""
    head, *rest = parts
    if head == "**":
        yield from _match(listing, folder, tuple(rest))
    for name, is_folder in listing(folder):
        path = f"{folder}/{name}" if folder else name
        plain = unquote(name)
        if head == "**":
            if is_folder and not plain.startswith(".") and plain not in LEFT_OUT:
                yield from _match(listing, path, parts)
        elif plain == head or (fnmatchcase(plain, head) and plain.startswith(".") <= head.startswith(".")):
            if not rest:
                yield path, is_folder
            elif is_folder:
                yield from _match(listing, path, tuple(rest))


def _list_folder(base: str, folder: str) -> list[Entry]:
    """Return what is in a folder below `base`."""
    if folder.count("/") >= _DEEPEST:
        what = f"has more than {_DEEPEST} folders in each other, as a link to a folder above it makes"
        raise InputError(base, what, "Name the folders that hold the files.")
    path, query = _split_query(base)
    url = f"{path}/{folder}".rstrip("/") + query
    with guarded(url, "can't be listed"):
        return sorted(_links(url) if scheme(url) in HTTP else _entries(url))


def _entries(url: str) -> list[Entry]:
    files, path = open_filesystem(url)
    try:
        found = files.ls(path, detail=True)
    finally:  # it would answer so for ever, and knows no file then that came later
        files.dircache.clear()
    if [one["name"] for one in found] == [path] and found[0]["type"] != "directory":
        raise NotADirectoryError(f"{public(url)} is a file")
    return [(one["name"].rpartition("/")[2], one["type"] == "directory") for one in found]


def _links(url: str) -> list[Entry]:
    """Return the files and folders to which a server's page of a folder has links."""
    path, query = _split_query(url)
    address = f"{path.rstrip('/')}/"
    files, place = open_filesystem(address + query)
    page = _Links()
    page.feed(bytes(files.cat_file(place)).decode("utf-8", errors="replace"))
    if not page.links:
        what = "the server shows no list of this folder"
        raise InputError(public(address), what, "Name the files in a list, or use root://.")
    root = urlsplit(address).path
    found = set()
    for link in page.links:
        name = urlsplit(urljoin(public(address), link)).path.removeprefix(root)
        if name.strip("/") and "/" not in name[:-1] and not urlsplit(link).query:
            found.add((name.rstrip("/"), name.endswith("/")))
    return list(found)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]
