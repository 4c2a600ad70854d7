"""How a site's workers get at input files; nothing here decides a number."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from ._types import Positive
from .toml_models import Spec

_SCHEMES = ("root", "roots", "xroot", "xroots", "http", "https")


class InputSpec(Spec):
    """The table ``[inputs]`` of a site file.

    ::

        [inputs]
        redirectors = ["root://cmsxrootd.fnal.gov/", "root://xrootd-cms.infn.it/"]
        stage = "fallback"
        scratch = "$TMPDIR"
        cache_gib = 50
    """

    #: other servers that have the same paths, in the order to try; /store/... names need at least one
    redirectors: tuple[str, ...] = ()
    #: copy inputs to node-local disk: never; fallback: when they can't be read in place; remote: all that
    #: come over a network; always: local paths too, for slow shared file systems
    stage: Literal["never", "fallback", "remote", "always"] = "never"
    #: folder on node-local disk, $VARIABLES are those of the worker; none: $TMPDIR or /tmp
    scratch: Annotated[str, Field(min_length=1)] | None = None
    #: all copies of a node together, shared by its workers; the least recently used go first
    cache_gib: Positive = 20.0
    #: times to try each server
    tries: Annotated[int, Field(ge=1, le=20)] = 3
    #: seconds that a server may be silent
    timeout_s: Annotated[float, Field(ge=1, le=3600)] = 60.0

    @field_validator("redirectors")
    @classmethod
    def _servers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            kind, mark, host = one.partition("://")
            if not mark or kind.lower() not in _SCHEMES or not host.strip("/"):
                raise ValueError(f"{one!r} is not a server such as 'root://host.example/'")
        return value
