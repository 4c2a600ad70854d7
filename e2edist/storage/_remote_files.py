"""Bytes from wherever fsspec reaches, checked for length, with silence bounded in time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from e2edist import errors
from e2edist.errors import InputError
from e2edist.install_hint import pip_install
from e2edist.urls import HTTP, XROOTD, local_path, scheme

#: Enough that the way there and back costs little, little enough for many threads.
_PIECE = 16 * 2**20
#: From this version number on, positions in the header of a ROOT file have 8 bytes.
_BIG_FILE = 1_000_000
HEADER = 20
_NETWORK_TODO = "Check the address, the network, and your grid proxy or token if the site asks for one."


def guarded(url: str, what: str) -> AbstractContextManager[None]:
    """Turn whatever a file system raises into an InputError; OSError is by far not all."""
    return errors.guarded(url, what, _NETWORK_TODO)


def require_packages(url: str) -> None:
    """See that the packages are there which `url` needs.

    Raises
    ------
    InputError
        They are not; it names the extra to install.
    """
    needed: dict[str, tuple[str, ...]] = {
        "xrootd": ("fsspec_xrootd", "XRootD") if scheme(url) in XROOTD else (),
        "http": ("aiohttp",) if scheme(url) in HTTP else (),
    }
    for extra, modules in needed.items():
        missing = [name for name in modules if find_spec(name) is None]
        if missing:
            what = f"{scheme(url)}:// needs Python packages that are not installed ({', '.join(missing)})"
            raise InputError(url, what, f"Run {pip_install(extra)}.")


def prepare(url: str, timeout_s: float) -> None:
    """Make ready for reading `url` in this process: packages and time limits.

    Raises
    ------
    InputError
        A package is missing.
    """
    require_packages(url)
    if scheme(url) in XROOTD:
        _bound_xrootd(timeout_s)
    elif scheme(url) in HTTP:
        _bound_http(timeout_s)


@cache
def _bound_http(timeout_s: float) -> None:
    """Give fsspec's web client time limits and the system's proxies, for uproot too.

    By default it waits for minutes, and does not read http_proxy, https_proxy, no_proxy. What a
    user wrote in fsspec's own configuration wins.
    """
    limit = import_module("aiohttp").ClientTimeout(total=None, sock_connect=timeout_s, sock_read=timeout_s)
    config = import_module("fsspec.config").conf
    for kind in HTTP:
        settings = config.setdefault(kind, {}).setdefault("client_kwargs", {})
        for key, value in {"timeout": limit, "trust_env": True}.items():
            settings.setdefault(key, value)


@cache
def _bound_xrootd(timeout_s: float) -> None:
    """Give XRootD time limits: by default an answer may take half an hour.

    Variables XRD_* that a user or a site has set win; the client sees to that itself.
    """
    # By name: this extra is not installed where types are checked.
    put = import_module("XRootD.client.env").EnvPutInt
    seconds = max(1, round(timeout_s))
    put("TimeoutResolution", 1)
    put("ConnectionWindow", seconds)
    put("ConnectionRetry", 1)  # we repeat ourselves, and say so
    put("RequestTimeout", seconds)
    put("StreamTimeout", seconds)
    put("StreamErrorWindow", 0)  # else a server that comes back is refused for 30 minutes


def open_filesystem(url: str) -> tuple[Any, str]:
    """Return fsspec's file system and the path in it; imported late, it takes a while."""
    path = local_path(url)
    if path is not None:  # fsspec takes a::b for two addresses, and file:a for b
        return import_module("fsspec.implementations.local").LocalFileSystem(), str(path.absolute())
    found: tuple[Any, str] = import_module("fsspec.core").url_to_fs(url)
    return found


def forget(url: str) -> None:
    """Drop what fsspec remembers of `url`: it would give a broken handle to the next try as well."""
    if scheme(url) not in XROOTD:
        return
    # Closing a handle whose server is gone fails; it is out of the way all the same.
    with suppress(Exception):
        files, path = open_filesystem(url)
        files.invalidate_cache(path)


@dataclass(frozen=True, slots=True)
class Remote:
    """A file that answered, and the size it says it has."""

    url: str
    files: Any
    path: str
    size: int

    def pieces(self) -> Iterator[bytes]:
        """Yield the whole file.

        Raises
        ------
        InputError
            It can't be read, or an answer is shorter than asked for.
        """
        at = 0
        while at < self.size:
            wanted = min(_PIECE, self.size - at)
            piece = self.read(at, at + wanted)
            if at == 0 and len(piece) == self.size:
                wanted = self.size  # a web server that doesn't know ranges sent everything
            if len(piece) != wanted:
                what = f"gave {len(piece)} bytes of {wanted} at {at}"
                raise InputError(self.url, what, "Try again, or another server.", retryable=True)
            yield piece
            at += wanted

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes of the half-open range ``start:stop``, or what the server takes for it."""
        with guarded(self.url, f"can't be read at {start}"):
            return bytes(self.files.cat_file(self.path, start=start, end=stop))

    def check(self) -> None:
        """Look at the header.

        Raises
        ------
        InputError
            It is not the header of a ROOT file, or of a longer one.
        """
        check_header(self.url, self.read(0, min(self.size, HEADER))[:HEADER], self.size)


def connect(url: str, timeout_s: float) -> Remote:
    """Ask for the size of `url`, a path too.

    Raises
    ------
    InputError
        It can't be reached, is not there, or has no size.
    """
    prepare(url, timeout_s)
    with guarded(url, "can't be reached"):
        files, place = open_filesystem(url)
        size = files.info(place).get("size")
    if size is None:
        raise InputError(url, "has no size, as its server says", "Copy it to a disk first.")
    return Remote(url, files, place, int(size))


def fetch(url: str, timeout_s: float) -> bytes:
    """Return a whole file, of which memory can hold a few.

    Raises
    ------
    InputError
        It can't be had.
    """
    prepare(url, timeout_s)
    with guarded(url, "can't be fetched"):
        files, place = open_filesystem(url)
        return bytes(files.cat_file(place))


def check_header(url: str, head: bytes, size: int) -> None:
    """Compare the header of a ROOT file with its size, which may be larger: what is behind does no harm.

    Raises
    ------
    InputError
        Not a ROOT file (often a page that asks for a login), or cut.
    """
    if head[:4] != b"root" or len(head) < HEADER:
        raise InputError(url, f"is not a ROOT file (begins with {head[:4]!r})", "Check the address.")
    wide = int.from_bytes(head[4:8], "big") >= _BIG_FILE
    end = int.from_bytes(head[12:20] if wide else head[12:16], "big")
    if end > size:
        what = f"is cut short: {size} bytes, its header says {end}"
        raise InputError(url, what, "Copy or make the file again.")
