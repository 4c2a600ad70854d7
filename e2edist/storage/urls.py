"""Names of input files: what kind they are, and where else the same file can be had."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from e2edist.errors import InputError

#: Schemes that XRootD clients take for the same protocol.
XROOTD = ("root", "roots", "xroot", "xroots")
HTTP = ("http", "https")
#: A CMS logical file name, which any redirector resolves.
_LOGICAL = "/store/"


def scheme(url: str) -> str:
    """Return the scheme in lower case, "" for a path.

    >>> scheme("ROOT://cms.example//store/a.root"), scheme("/data/a:b.root")
    ('root', '')
    """
    head, mark, _ = url.partition("://")
    if mark and head.replace("+", "").isalnum():
        return head.lower()
    return "file" if url.lower().startswith("file:/") else ""


def host(url: str) -> str:
    """Return server and port in lower case, "" for a path; never fails, however odd the url."""
    return url.partition("://")[2].partition("/")[0].lower() if scheme(url) else ""


def local_path(url: str) -> Path | None:
    """Return the path of a local file, None for what needs a network.

    Percent signs are decoded in ``file://`` urls and nowhere else: ``a%20b.root`` is also a fine file name.

    Raises
    ------
    InputError
        A ``file://`` url names another host, or forgot the third slash.
    """
    kind = scheme(url)
    if kind == "":
        return Path(url)
    if kind != "file":
        return None
    rest = url[len("file:") :]
    if not rest.startswith("//"):
        return Path(unquote(rest))
    server, slash, path = rest[2:].partition("/")
    if server.lower() not in ("", "localhost") or not slash:
        what = f"names the host {server!r}, and file:// is for this machine"
        raise InputError(url, what, "Write file:///folder/name.root, or the path alone")
    return Path(unquote(f"/{path}"))


def replicas(url: str, redirectors: Sequence[str]) -> list[str]:
    """Return where the file can be looked for: `url` itself, then its path on each redirector.

    Redirectors apply to urls of their own protocol and to logical names (``/store/...``). User names
    and query parts, which may hold tokens, never go to another host.

    >>> replicas("root://near.example//store/a.root", ["root://far.example/"])
    ['root://near.example//store/a.root', 'root://far.example//store/a.root']
    """
    kind = scheme(url)
    family: tuple[str, ...]
    if kind == "" and url.startswith(_LOGICAL):
        path, family = url, (*XROOTD, *HTTP)
    elif kind in XROOTD:
        path, family = _path(url), XROOTD
    elif kind in HTTP:
        path, family = _path(url), HTTP
    else:
        return [url]
    others = [_join(redirector, path) for redirector in redirectors if scheme(redirector) in family]
    found = {_canonical(one): one for one in reversed([url, *others])}
    return list(reversed(found.values()))


def _path(url: str) -> str:
    """Return the absolute path in `url`, with one leading slash and without its query."""
    path = url.partition("://")[2].partition("/")[2].partition("?")[0]
    return f"/{path.lstrip('/')}"


def _join(redirector: str, path: str) -> str:
    kind, _, rest = redirector.partition("://")
    server, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    # XRootD: host//path; one slash alone would make the path a relative one.
    slash = "//" if kind.lower() in XROOTD else "/"
    return f"{kind}://{server}{slash}{f'{prefix}/' if prefix else ''}{path.lstrip('/')}"


def _canonical(url: str) -> tuple[str, str, str]:
    """Return what two names of one place have in common."""
    if not (kind := scheme(url)):
        return ("", "", url)
    return (kind, host(url), _path(url))
