"""The site of a campaign as it was resolved, for a controller where none of our files and variables are."""

from __future__ import annotations

import json
from pathlib import Path

from e2edist.errors import ConfigError

from .site import SiteSpec
from .site_files import RESOLVED_ENDING
from .text_files import read_text
from .toml_models import parse


def is_resolved(name: str) -> bool:
    """Return whether a site's name is the path of what `resolved_text` made."""
    return name.endswith(RESOLVED_ENDING)


def resolved_text(site: SiteSpec) -> str:
    """Return a site with all that was chosen: nothing is added to it where it is read."""
    return json.dumps(site.model_dump(mode="json"), indent=1)


def read_resolved(path: str) -> SiteSpec:
    """Return the site of a file with `resolved_text`.

    Raises
    ------
    ConfigError
        It can't be read.
    """
    try:
        content = json.loads(read_text(Path(path)))
    except ValueError as error:
        raise ConfigError(path, f"is no site that a campaign wrote: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(path, "is no site that a campaign wrote")
    return parse(SiteSpec, content, path)
