"""What of an address may be kept and shown: everything but its secrets. Imports nothing of ours."""

from __future__ import annotations

import re
from urllib.parse import unquote

#: Schemes that XRootD clients take for the same protocol.
XROOTD = ("root", "roots", "xroot", "xroots")
HTTP = ("http", "https")
_HIDDEN = "***"
#: A value of fewer characters is no secret, and may stand anywhere in a message.
_SHORTEST = 6
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+]*://[^\s'\"<>`|]+")
_BEARER = re.compile(r"\b(bearer)(?:\s|%20|\+)+[^\s'\"&,)]+", re.IGNORECASE)
#: Servers and clients quote paths without their host, and what stands behind them.
_PARAMETER = re.compile(
    r"([?&][\w.-]*(?:auth|token|secret|signature|credential|passw|pwd|api_?key)[\w.-]*=)[^\s&'\"<>,)]+",
    re.IGNORECASE,
)
_SERVER = re.compile(r"(\[[^\]]*\]|[^:]*)(:\d*)?")


def scheme(url: str) -> str:
    """Return the scheme in lower case, "" for a path.

    >>> scheme("ROOT://cms.example//store/a.root"), scheme("/data/a:b.root")
    ('root', '')
    """
    head, mark, _ = url.partition("://")
    if mark and head.replace("+", "").isalnum():
        return head.lower()
    return "file" if url.lower().startswith("file:/") else ""


def public(url: str) -> str:
    """Return an address without user, password, query and fragment, any of which may be a secret.

    Paths and ``file://`` have none, and stay as they are.

    >>> public("https://me:word@host/a.root?authz=Bearer%20abc")
    'https://host/a.root'
    """
    kind = scheme(url)
    if kind in ("", "file"):
        return url
    head, mark, rest = url.partition("://")
    rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    server, slash, path = rest.partition("/")
    # Of a password that holds a question mark the beginning is left, where a port should be.
    found = _SERVER.match(server.rpartition("@")[2])
    server = found[0] if found else ""
    if kind in XROOTD:  # what follows & is for the server, as what follows ? is
        path = path.partition("&")[0]
    elif kind in HTTP:
        path = re.sub(r";[^/]*", "", path)
    return f"{head}{mark}{server}{slash}{path}"


def secrets_of(url: str) -> list[str]:
    """Return what `public` leaves out of an address, whole and by its values, as it may be quoted."""
    shown = public(url)
    if shown == url:
        return []
    rest = url.partition("://")[2]
    user, mark, _ = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")
    tail = re.split(r"[?#;&]", rest, maxsplit=1)[1:]
    found = {user, user.partition(":")[2]} if mark else set()
    for text in tail:
        found |= {text, text.rpartition("@")[0]}  # a password may hold a question mark
        found |= {pair.partition("=")[2] for pair in re.split(r"[?#;&]", text)}
    found |= {unquote(text) for text in found}
    found |= {text.split()[-1] for text in found if text.strip()}  # Bearer TOKEN
    return sorted((text for text in found if len(text) >= _SHORTEST), key=len, reverse=True)


def redact(text: str, *addresses: str) -> str:
    """Return a text, as a library's message, in which all addresses are `public` ones.

    Parameters
    ----------
    addresses
        Those that are in use: their secrets are known in whatever form a library gives them.
    """
    for secret in (secret for url in addresses for secret in secrets_of(url)):
        text = text.replace(secret, _HIDDEN)
    if "://" not in text and "=" not in text and "earer" not in text:
        return text
    text = _BEARER.sub(rf"\1+{_HIDDEN}", text)  # one word, so that it goes with its address
    text = _ADDRESS.sub(lambda found: public(found[0]), text)
    return _PARAMETER.sub(rf"\1{_HIDDEN}", text)


def redact_word(word: str) -> str:
    """Return a word of a command line, ``URL``, ``--option=URL`` or ``NAME=URL``, with a `public` address."""
    name, mark, value = word.partition("=")
    return f"{name}={public(value)}" if mark and not scheme(word) else public(word)
