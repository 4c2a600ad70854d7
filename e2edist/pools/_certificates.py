"""Certificates of one campaign: whoever has not got them can't join its scheduler."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from e2edist.errors import ConfigError

if TYPE_CHECKING:
    from distributed.security import Security

_FILES = ("ca.pem", "key.pem", "cert.pem")


def certificate_files(folder: Path) -> list[Path]:
    """Return the paths of the certificates in a folder, there or not."""
    return [folder / name for name in _FILES]


def worker_options(folder: Path) -> list[str]:
    """Return the options that give ``dask worker`` the certificates of `folder`, as shell words."""
    ca, key, cert = (shlex.quote(str(path)) for path in certificate_files(folder))
    return ["--tls-ca-file", ca, "--tls-cert", cert, "--tls-key", key]


def make_certificates(folder: Path) -> Security:
    """Make a key and a self-signed certificate in `folder` (0700, files 0600), and return them.

    Files that are there already are used again, so that a campaign keeps its workers when its driver
    starts anew. All hosts of the campaign must see the folder.
    """
    from distributed.security import Security  # Dask

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = certificate_files(folder)
    if not all(path.is_file() for path in paths):
        made = Security.temporary()
        content = {
            "ca.pem": made.tls_ca_file,
            "key.pem": made.tls_client_key,
            "cert.pem": made.tls_client_cert,
        }
        for path in paths:
            path.unlink(missing_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(content[path.name])
    return read_certificates(folder)


def read_certificates(folder: Path) -> Security:
    """Return the certificates of a folder, for scheduler, workers and clients alike.

    Raises
    ------
    ConfigError
        A file is missing, or others may read the key.
    """
    from distributed.security import Security  # Dask

    ca, key, cert = certificate_files(folder)
    for path in (ca, key, cert):
        if not path.is_file():
            raise ConfigError(str(path), "is not there", "A TLS folder holds ca.pem, key.pem and cert.pem.")
    if key.stat().st_mode & 0o077:
        raise ConfigError(str(key), "may be read by others", f"Run chmod 600 {key}.")
    parties = ("client", "scheduler", "worker")
    files = {
        f"tls_{party}_{kind}": str(path) for party in parties for kind, path in (("key", key), ("cert", cert))
    }
    return Security(tls_ca_file=str(ca), require_encryption=True, **files)
