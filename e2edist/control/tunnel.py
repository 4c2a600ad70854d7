"""The way to a dashboard from a browser on another machine, where somebody came here by ssh."""

from __future__ import annotations

import os
import platform
from urllib.parse import urlsplit

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def tunnel_command(dashboard: str, host: str = "") -> str:
    """Return the ssh command after which a dashboard is on loopback of one's own machine.

    Parameters
    ----------
    dashboard : str
        Its address.
    host : str
        Where it is on loopback; empty: here.

    Returns
    -------
    str
        Empty where none is needed: somebody who sits here sees it as it is.
    """
    address, by_ssh = urlsplit(dashboard), "SSH_CONNECTION" in os.environ
    user, here, port = os.environ.get("USER", "you"), platform.node(), address.port
    if not port or not (host or by_ssh):
        return ""
    if address.hostname not in _LOOPBACK:  # others see it too, as this host does
        return f"ssh -N -L {port}:{address.hostname}:{port} {user}@{here}" if by_ssh else ""
    if host in ("", here):
        return f"ssh -N -L {port}:127.0.0.1:{port} {user}@{here}" if by_ssh else ""
    # Nobody but that host itself reaches its loopback, and a laptop knows it through this one alone.
    jump = f"-J {user}@{here} " if by_ssh else ""
    return f"ssh -N {jump}-L {port}:127.0.0.1:{port} {user}@{host}"
