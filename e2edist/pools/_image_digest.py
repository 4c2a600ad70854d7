"""Which image exactly: a tag may be another image tomorrow, its digest may not."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from functools import cache
from pathlib import Path

from e2edist.config.jobs import ContainerSpec
from e2edist.errors import ResourceError

from ._batch_commands import call

UNKNOWN = "unknown digest"
#: Where a runtime keeps what it pulled; both print the digest.
_LOOK_UP = {
    "shifter": ("shifterimg", "lookup"),
    "podman-hpc": ("podman-hpc", "image", "inspect", "--format", "{{.Digest}}"),
}
_DIGEST = re.compile(r"\b(?:sha256:)?([0-9a-f]{64})\b")


def image_of(spec: ContainerSpec) -> str:
    """Return the image of a pool and its digest, for provenance; empty without a container.

    Of a SIF file the digest is that of the file. Of an unpacked tree it is where its links lead: below
    ``/cvmfs/unpacked.cern.ch`` a tag is a link to a folder named after the digest. Of an image in a registry
    it is what the site's runtime has pulled. What can't be had from this host is said to be unknown.
    """
    return f"{spec.image} ({_digest(spec.runtime, spec.image)})" if spec.runtime != "none" else ""


@cache
def _digest(runtime: str, image: str) -> str:
    words = _LOOK_UP.get(runtime)
    if words is not None:
        return _looked_up(*words, image)
    path = Path(image)
    try:
        if path.is_dir():
            return os.path.realpath(path)
        with path.open("rb") as stream:
            return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
    except OSError:
        return UNKNOWN


def _looked_up(*words: str) -> str:
    if shutil.which(words[0]) is None:
        return UNKNOWN
    try:
        found = _DIGEST.search(call(*words))
    except ResourceError:
        return UNKNOWN
    return f"sha256:{found[1]}" if found else UNKNOWN
