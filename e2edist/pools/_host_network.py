"""Network interfaces and ports of this host, on which schedulers listen; known before Dask is imported."""

from __future__ import annotations

import random
import socket


def interface_address(interface: str) -> str:
    """Return the IPv4 address of an interface.

    Raises
    ------
    OSError
        There is no such interface, or it has none.
    """
    from psutil import net_if_addrs

    found = [one.address for one in net_if_addrs().get(interface, ()) if one.family == socket.AF_INET]
    if not found:
        raise OSError(interface)
    return str(found[0])


def interface_names() -> list[str]:
    """Return the names of all interfaces of this host."""
    return sorted(name for _, name in socket.if_nameindex())


def default_address() -> str:
    """Return the address that this host would use to reach others; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostbyname(socket.gethostname())


def free_port(host: str, ports: tuple[int, int] | None) -> int:
    """Return a free port of a range, drawn by chance as others choose there too; 0 where any will do.

    Raises
    ------
    OSError
        There is none.
    """
    if ports is None:
        return 0
    for port in random.sample(range(ports[0], ports[1] + 1), ports[1] + 1 - ports[0]):
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        return port
    raise OSError(f"no port of {ports[0]}-{ports[1]} can be opened on {host}")
