"""Inputs that come over a network: packages, grid proxy or token, and whether their servers answer."""

from __future__ import annotations

import base64
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal
from urllib.request import getproxies

from e2edist.config.site import SiteSpec
from e2edist.errors import InputError
from e2edist.install_hint import pip_install
from e2edist.pools import is_batch
from e2edist.storage.read_inputs import require_packages
from e2edist.urls import HTTP, XROOTD, replicas, scheme, server_of

from . import Finding

#: Packages that read such addresses.
_PACKAGES = {**dict.fromkeys(XROOTD, ("fsspec-xrootd", "xrootd")), **dict.fromkeys(HTTP, ("aiohttp",))}
#: A server that takes longer is as good as none.
_SERVER_S = 5.0
#: The extension of a proxy that says of which experiment its owner is (VOMS attribute certificates).
_VOMS = "1.3.6.1.4.1.8005.100.100.5"
_RENEW = "Run voms-proxy-init -voms cms -valid 192:00."


@dataclass(frozen=True, slots=True)
class Leave:
    """What a host shows to be let in: a grid proxy or a token.

    Attributes
    ----------
    name : str
        What it is, and where it was found; nothing of its content.
    hours : float
        Until it expires, negative afterwards.
    fault : str
        Why it is not accepted, or may not be.
    todo : str
    """

    name: str
    hours: float
    fault: str = ""
    todo: str = ""


def check_remote(site: SiteSpec, inputs: Iterable[str]) -> Iterator[Finding]:
    """Look at all that inputs over a network need; at nothing where there are none.

    Parameters
    ----------
    inputs : iterable of str
        Files that were named; the site's redirectors are looked at in any case.
    """
    places = [place for url in inputs for place in replicas(url, site.inputs.redirectors)]
    given = [url for url in places if scheme(url) in (*XROOTD, *HTTP)]
    servers = [*given, *site.inputs.redirectors]
    for kind in dict.fromkeys(map(scheme, servers)):
        yield _packages(kind, needed=any(scheme(url) == kind for url in given))
    grid = any(scheme(url) in XROOTD for url in servers)
    wanting = [name for name, pool in site.pools.items() if _wants_proxy(pool.job.attributes)]
    if grid or wanting:
        yield _access(site, wanting)
    proxies = getproxies()  # which reach what we don't
    direct = [url for url in servers if scheme(url) not in proxies]
    for server in dict.fromkeys(map(server_of, direct)):
        yield _server(*server)


def _wants_proxy(attributes: dict[str, str]) -> bool:
    return any(key.lower() == "use_x509userproxy" and value == "true" for key, value in attributes.items())


def _packages(kind: str, *, needed: bool) -> Finding:
    topic = f"{kind}:// inputs"
    try:
        require_packages(f"{kind}://")
    except InputError as error:
        extra = "xrootd" if kind in XROOTD else "http"
        todo = f"Run {pip_install(extra)}, here and in the workers' image."
        return Finding("fail" if needed else "warn", topic, error.what, todo)
    found = []
    for name in _PACKAGES[kind]:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:  # from conda, which may call it otherwise
            found.append(name)
    return Finding("ok", topic, f"can be read with {', '.join(found)}")


def _access(site: SiteSpec, wanting: list[str]) -> Finding:
    """Judge proxy and token: one of them that lasts is enough, unless jobs take the proxy along."""
    topic = "grid access"
    lacking: Literal["fail", "warn"] = "fail" if wanting else "warn"
    found = [one for one in (find_proxy(), None if wanting else find_token()) if one]
    best = max(found, key=lambda one: (not one.fault, one.hours), default=None)
    if best is None:
        what = f"no grid proxy at {proxy_path()}" + ("" if wanting else ", and no token")
        todo = _RENEW if wanting else f"{_RENEW[:-1]}, unless the files are open to all."
        return Finding(lacking, topic, what, todo)
    if best.fault or best.hours <= 0:
        what = best.fault or f"expired {-best.hours:.1f} h ago"
        return Finding(lacking, topic, f"{best.name}: {what}", best.todo)
    text = f"{best.name}, valid for {best.hours:.1f} h"
    walltimes = [(p.job.walltime_min / 60, name) for name, p in site.pools.items() if is_batch(p.kind)]
    longest, pool = max(walltimes, default=(0.0, ""))
    if best.hours < longest:
        return Finding("warn", topic, f"{text}; jobs of {pool} may last {longest:g} h", best.todo)
    return Finding("ok", topic, text)


def proxy_path() -> Path:
    """Return where the grid proxy lies, or would lie."""
    return Path(os.environ.get("X509_USER_PROXY") or f"/tmp/x509up_u{os.getuid()}")  # noqa: S108 - by convention


def find_proxy() -> Leave | None:
    """Return the grid proxy of this user; None without one."""
    from cryptography.x509 import load_pem_x509_certificates

    path = proxy_path()
    name = f"proxy {path}"
    try:
        content, mode = path.read_bytes(), path.stat().st_mode
        chain = load_pem_x509_certificates(content)
        ends = min(one.not_valid_after_utc.timestamp() for one in chain)
        voms = any(extension.oid.dotted_string == _VOMS for one in chain for extension in one.extensions)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return Leave(name, 0.0, f"can't be read ({error})", _RENEW)
    hours = (ends - time.time()) / 3600
    if mode & 0o077:
        return Leave(name, hours, "others can read it, so it is refused", f"Run chmod 600 {path}.")
    if not voms and hours > 0:
        return Leave(name, hours, "has no VOMS attributes, which CMS servers ask for", _RENEW)
    return Leave(name, hours, todo=_RENEW)


def find_token() -> Leave | None:
    """Return the bearer token of this user, found as WLCG prescribes; None without one."""
    user = os.getuid()
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    named = os.environ.get("BEARER_TOKEN_FILE")
    places = [named] if named else [*([f"{runtime}/bt_u{user}"] if runtime else []), f"/tmp/bt_u{user}"]  # noqa: S108
    text, name = os.environ.get("BEARER_TOKEN", ""), "token in BEARER_TOKEN"
    for place in places if not text else ():
        try:
            text, name = Path(place).read_text(encoding="utf-8"), f"token {place}"
            break
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            return Leave(f"token {place}", 0.0, f"can't be read ({error})", "Get a new one (htgettoken).")
    if not text:
        return None
    try:
        body = text.strip().split(".")[1]
        ends = float(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["exp"])
    except (ValueError, KeyError, IndexError, TypeError):
        return Leave(name, 0.0, "is no token with an end (JWT)", "Get a new one (htgettoken).")
    return Leave(name, (ends - time.time()) / 3600, "", "Get a new one (htgettoken).")


def _server(host: str, port: int) -> Finding:
    topic, name, began = "input server", f"{host}:{port}", time.monotonic()
    try:
        with socket.create_connection((host, port), timeout=_SERVER_S):
            return Finding("ok", topic, f"{name} answers in {time.monotonic() - began:.2f} s")
    except OSError as error:
        why = error.strerror or str(error)
    todo = "Check its spelling and the network; nodes with another network may reach it all the same."
    return Finding("warn", topic, f"{name} does not answer from here ({why})", todo)
