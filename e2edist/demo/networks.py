"""Which models are demo networks, and which files demo events: people are told where the two don't match."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from e2edist.config.tagger import packaged
from e2edist.config.toml_models import read_toml

from . import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What is said once more of the scores themselves.
DEMO_SCORES = "these scores mean nothing: a demo network on other than demo events"
#: What `make_events` calls its files.
_FILE = re.compile(rf"(?:{'|'.join(LABELS)})_\d+_\d{{3}}\.root")


def is_demo_network(sha256: str) -> bool:
    """Return whether a model (``model.sha256`` of a tagger) is one of those that come with the package."""
    return bool(sha256) and any(
        read_toml(path).get("model", {}).get("sha256") == sha256 for path in packaged().values()
    )


def are_demo_events(urls: Iterable[str]) -> bool:
    """Return whether all inputs are files of demo events, by their names; False without inputs."""
    names = [url.partition("?")[0].rpartition("/")[2] for url in urls]
    return bool(names) and all(_FILE.fullmatch(name) for name in names)


def demo_note(sha256: str, urls: Iterable[str]) -> str:
    """Return the sentence for a demo network that ran on other than demo events; empty elsewhere.

    Parameters
    ----------
    sha256 : str
        Of the model; in a plan ``plan.tagger["model"]["sha256"]``.
    urls : iterable of str
        Inputs of the campaign.
    """
    if not is_demo_network(sha256) or are_demo_events(urls):
        return ""
    return "demo network: its scores mean nothing on these events; --model takes yours"
