"""Addresses of Dask schedulers that workers are taken from."""

from __future__ import annotations

from urllib.parse import urlsplit

#: With a host and a port behind it.
_SCHEMES = ("tcp", "tls", "ws")
#: A scheduler in this very process, as in a notebook.
_HERE = "inproc"
_WRITE = "write tcp://host:8786 or tls://host:8786"


def check_scheduler(address: str) -> str:
    """Return the address of a scheduler.

    Raises
    ------
    ValueError
        It is none that can be attached to.

    Examples
    --------
    >>> check_scheduler("tcp://127.0.0.1:8786")
    'tcp://127.0.0.1:8786'
    >>> check_scheduler("127.0.0.1:8786")
    Traceback (most recent call last):
    ValueError: 127.0.0.1:8786 is no address of a scheduler: write tcp://host:8786 or tls://host:8786
    """
    scheme, mark, _ = address.partition("://")
    if not address or (mark and scheme == _HERE):
        return address
    if scheme == "gateway":
        what = "a Dask Gateway can't be attached to"
        raise ValueError(f"{address}: {what}; {_WRITE} where its scheduler has such an address")
    try:
        parts = urlsplit(address)
        known = mark and scheme in _SCHEMES and parts.hostname and parts.port
    except ValueError:  # no port number
        known = False
    if not known:
        raise ValueError(f"{address} is no address of a scheduler: {_WRITE}")
    return address


def is_encrypted(address: str) -> bool:
    """Return whether a scheduler asks for certificates."""
    return address.startswith("tls://")
