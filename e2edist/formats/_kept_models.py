"""uproot's own models of ROOT's classes are kept: the description of a damaged file must not replace them.

For a version of a class that it has no model of, uproot makes one from the description in the file, and puts
it in place of that of the version there, for all files: one wrong byte, and no tree could be read any more.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ._uproot import uproot


class _Kept(dict[int, Any]):
    """Models by version: the first of a version stays."""

    def __setitem__(self, version: int, model: Any) -> None:
        self.setdefault(version, model)


@cache
def keep_models() -> None:
    """See to it, once in this process."""
    for model in list(uproot.classes.values()):
        if type(vars(model).get("known_versions")) is dict:
            model.known_versions = _Kept(model.known_versions)
