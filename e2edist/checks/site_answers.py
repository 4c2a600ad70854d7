"""What this host knows of the facts that a site asks a person for: accounts, and images that are there."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from e2edist.config.jobs import BATCH_RUNTIMES

from . import run_command

#: Where SLURM's own commands look, in this order.
_VARIABLES = ("E2EDIST_ACCOUNT", "SBATCH_ACCOUNT", "SLURM_ACCOUNT")
#: Where unpacked images lie, as REGISTRY/ORG/IMAGE:TAG; with a cold cache each look takes its time.
_TREES = Path("/cvmfs/unpacked.cern.ch")
_PATIENCE_S = 5.0


def known_accounts() -> list[str]:
    """Return accounts that jobs of this user may be charged to, the most likely one first."""
    found = [os.environ[name] for name in _VARIABLES if os.environ.get(name)]
    if shutil.which("sacctmgr") is not None:
        found += _slurm_accounts()
    return list(dict.fromkeys(found))


def _slurm_accounts() -> list[str]:
    """Return the default account of this user, and the others."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container, where nobody has a name
        return []
    found = []
    for words in (("user", user, "format=DefaultAccount"), ("assoc", f"user={user}", "format=Account")):
        result = run_command(("sacctmgr", "-nP", "show", *words))
        if result.code == 0:
            found += [
                name for line in result.out.splitlines() if re.fullmatch(r"[\w.-]+", name := line.strip())
            ]
    return found


def known_partitions() -> tuple[list[str], str]:
    """Return SLURM's partitions, and the default one; empty where there is none, or nobody says."""
    if shutil.which("sinfo") is None:
        return [], ""
    result = run_command(("sinfo", "--noheader", "--format=%P"))
    names = list(dict.fromkeys(result.out.split())) if result.code == 0 else []
    default = next((name.rstrip("*") for name in names if name.endswith("*")), "")
    return [name.rstrip("*") for name in names], default


def known_images(runtimes: Iterable[str]) -> list[str]:
    """Return images of this program that the container runtimes of a site have here."""
    found: list[str] = []
    for runtime in dict.fromkeys(runtimes):
        if runtime == "shifter":
            found += _listed(
                ("shifterimg", "images"), r"^\S+\s+docker\s+.*\s(\S*e2edist\S*)\s*$", "docker:{}"
            )
        elif runtime == "podman-hpc":
            words = ("podman-hpc", "images", "--format", "{{.Repository}}:{{.Tag}}")
            found += _listed(words, r"^(\S*e2edist\S*)$", "{}")
        elif runtime == "apptainer":
            found += [str(path.absolute()) for path in sorted(Path().glob("*e2edist*.sif"))]
        if runtime in (*BATCH_RUNTIMES, "apptainer"):
            found += _unpacked_images()
    return list(dict.fromkeys(found))


def _unpacked_images() -> list[str]:
    found, ends = [], time.monotonic() + _PATIENCE_S
    with suppress(OSError):
        for folder in _TREES.glob("*/*"):
            if time.monotonic() > ends:
                break
            found += [str(path) for path in folder.glob("e2edist:*")]
    return sorted(found)


def _listed(words: tuple[str, ...], pattern: str, form: str) -> list[str]:
    """Return what a command lists, of lines that match."""
    if shutil.which(words[0]) is None:
        return []
    result = run_command(words)
    names = re.findall(pattern, result.out, re.MULTILINE) if result.code == 0 else []
    return [form.format(name) for name in names]
