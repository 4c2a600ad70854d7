"""Names of files: what kind they are, which of them mean one file, and where else it can be had."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from .errors import ConfigError, InputError
from .redaction import HTTP, XROOTD, public, redact, scheme

__all__ = [
    "HTTP",
    "XROOTD",
    "absolute",
    "canonical",
    "host",
    "identity",
    "local_path",
    "named_path",
    "public",
    "redact",
    "replicas",
    "scheme",
    "server_of",
]

#: A CMS logical file name, which any redirector resolves.
_LOGICAL = "/store/"
_PORTS = {**dict.fromkeys(XROOTD, "1094"), "http": "80", "https": "443"}
#: Parameters of a query that give leave to read, and don't say which file is meant.
_LEAVE = re.compile(
    r"auth|token|secret|sign|^sig$|^s[a-z]{1,2}$|^x-|passw|pwd|credential|key|expire|policy|user|ticket",
    re.IGNORECASE,
)


def host(url: str) -> str:
    """Return server and port in lower case, "" for a path; never fails, however odd the url."""
    return url.partition("://")[2].partition("/")[0].lower() if scheme(url) else ""


def server_of(url: str) -> tuple[str, int]:
    """Return host and port of an address on a network.

    >>> server_of("root://cms.example//store/a.root"), server_of("https://cms.example:8443/a.root")
    (('cms.example', 1094), ('cms.example', 8443))
    """
    server = host(public(url))
    name, mark, port = server.rpartition(":")
    if not mark or not port.isdigit():
        name, port = server, _PORTS.get(scheme(url), "0")
    return name.strip("[]"), int(port)


def local_path(url: str) -> Path | None:
    """Return the path of a local file, None for what needs a network.

    Percent signs are decoded in ``file://`` urls and nowhere else: ``a%20b.root`` is also a fine file name.

    Raises
    ------
    InputError
        A ``file://`` url names another host, or lacks the third slash.
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


def absolute(path: Path) -> Path:
    """Return the absolute path without ``.`` and ``..``; symbolic links keep their names."""
    plain = Path(os.path.normpath(path.absolute()))
    # a/../b is b, unless a is a link to elsewhere.
    if ".." in path.parts and os.path.realpath(path) != os.path.realpath(plain):
        return Path(os.path.realpath(path))
    return plain


def named_path(text: str, where: str) -> Path:
    """Return the absolute path of a file or folder that somebody named: a path, or a ``file://`` url.

    Absolute paths are what libraries never take for an address, as they do with ``run:1/out``.

    Raises
    ------
    ConfigError
        It is an address of another kind, or no name that text can hold.
    """
    try:
        # Of its bytes, whatever the locale makes of them.
        os.fsencode(text).decode()
        path = local_path(text)
    except UnicodeError as error:
        shown = text.encode(errors="backslashreplace").decode()
        raise ConfigError(where, f"{shown} is no name in UTF-8", "Choose another name.") from error
    except InputError as error:
        raise ConfigError(
            where, f"{text} {error.what}", "Write file:///folder, or the path alone."
        ) from error
    if path is None:
        what = f"{public(text)} is an address of a network, and has to be on a disk of this machine"
        raise ConfigError(where, what, "Name a path.")
    if "\0" in text:
        raise ConfigError(where, "holds a zero byte, which no name of a file can", "Choose another name.")
    return absolute(path)


def given_path(text: str, where: str) -> Path:
    """Return the path that somebody named as it is; addresses as `named_path` takes or refuses them."""
    return named_path(text, where) if "://" in text else Path(text)


def canonical(url: str) -> str:
    """Return what the spellings of one address have in common: to compare, not to open.

    >>> canonical("ROOT://Host:1094//store/x/../a.root?authz=abc")
    'root://host/store/a.root'
    >>> canonical("file:///data/./a.root")
    '/data/a.root'
    """
    path = local_path(url)
    if path is not None:
        return str(absolute(path))
    kind, address = scheme(url), public(url)
    server = host(address).removesuffix(f":{_PORTS.get(kind, '')}")
    family = XROOTD[0] if kind in XROOTD else HTTP[0] if kind in HTTP else kind
    return f"{family}://{server}{posixpath.normpath(unquote(_path(address)))}"


def identity(url: str) -> tuple[str, ...]:
    """Return what two spellings of one file have in common, as far as that is seen from their text.

    Web addresses may name a file behind the question mark: what is not known to be a permission counts.
    """
    if scheme(url) not in HTTP:
        return (canonical(url),)
    try:
        query = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    except ValueError:
        query = []
    return (canonical(url), *sorted(f"{name}={value}" for name, value in query if not _LEAVE.search(name)))


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
        path, family = _path(public(url)), XROOTD
    elif kind in HTTP:
        path, family = _path(public(url)), HTTP
    else:
        return [url]
    others = [_join(redirector, path) for redirector in redirectors if scheme(redirector) in family]
    found = {canonical(one): one for one in reversed([url, *others])}
    return list(reversed(found.values()))


def _path(address: str) -> str:
    """Return the absolute path in a public address, with one leading slash."""
    return f"/{address.partition('://')[2].partition('/')[2].lstrip('/')}"


def _join(redirector: str, path: str) -> str:
    kind, _, rest = redirector.partition("://")
    server, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    # XRootD: host//path; one slash alone would make the path a relative one.
    slash = "//" if kind.lower() in XROOTD else "/"
    return f"{kind}://{server}{slash}{f'{prefix}/' if prefix else ''}{path.lstrip('/')}"
