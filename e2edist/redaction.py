"""What of an address may be kept and shown: everything but its secrets. Imports nothing of ours."""

from __future__ import annotations

import re

#: Schemes that XRootD clients take for the same protocol.
XROOTD = ("root", "roots", "xroot", "xroots")
HTTP = ("http", "https")
_HIDDEN = "***"
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+]*://[^\s'\"<>`|]+")
_BEARER = re.compile(r"\b(bearer)(?:\s|%20|\+)+[^\s'\"&,)]+", re.IGNORECASE)
#: Servers and clients quote paths without their host, and what stands behind them.
_PARAMETER = re.compile(
    r"([?&][\w.-]*(?:auth|token|secret|signature|credential|passw|pwd|api_?key)[\w.-]*=)[^\s&'\"<>,)]+",
    re.IGNORECASE,
)
_PASSWORD_FOR_PORT = re.compile(r":(?!\d*$)[^\]:]*$")


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
    # A password that holds a question mark has left only its beginning.
    server = _PASSWORD_FOR_PORT.sub("", server.rpartition("@")[2])
    if kind in XROOTD:  # what follows & is for the server, as what follows ? is
        path = path.partition("&")[0]
    elif kind in HTTP:
        path = re.sub(r";[^/]*", "", path)
    return f"{head}{mark}{server}{slash}{path}"


def redact(text: str) -> str:
    """Return a text, as a library's message, in which all addresses are `public` ones."""
    if "://" not in text and "=" not in text and "earer" not in text:
        return text
    text = _BEARER.sub(rf"\1 {_HIDDEN}", text)
    text = _ADDRESS.sub(lambda found: public(found[0]), text)
    return _PARAMETER.sub(rf"\1{_HIDDEN}", text)
