"""Which input files make a table of their own.

A campaign is a tagger over one dataset, so without a word all files make one table. Where a campaign runs
over several, ``NAME=PATTERN`` names each by a pattern of its files' urls; tables then lie in folders
``dataset=NAME``, which readers of Parquet turn into a column ``dataset``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from e2edist.errors import ConfigError

from .finished_campaigns import FinishedCampaign


@dataclass(frozen=True, slots=True)
class Dataset:
    """Input files of one table.

    Attributes
    ----------
    name : str
        Empty where all files make one.
    uuids : frozenset of str
        Of its files.
    file_mib : float
        Size of a file of the table, about.
    """

    name: str
    uuids: frozenset[str]
    file_mib: float

    @property
    def folder(self) -> str:
        """Folder of the table, below that of all."""
        return f"dataset={self.name}" if self.name else ""


def make_datasets(
    campaigns: Sequence[FinishedCampaign], definitions: Sequence[str], file_mib: float
) -> list[Dataset]:
    """Return the datasets that ``NAME=PATTERN`` define; one of all files without any.

    Raises
    ------
    ConfigError
        A definition is not understood; a file belongs to none or to several; a dataset has no file.
    """
    files = [(file.url, file.uuid) for one in campaigns for file in one.plan.files]
    if not definitions:
        return [Dataset("", frozenset(uuid for _, uuid in files), file_mib)]
    patterns: dict[str, list[str]] = {}
    for definition in definitions:
        name, pattern = _parse(definition)
        patterns.setdefault(name, []).append(pattern)
    found: dict[str, set[str]] = {name: set() for name in patterns}
    for url, uuid in files:
        names = [name for name, some in patterns.items() if any(fnmatchcase(url, one) for one in some)]
        if len(names) != 1:
            what = f"{url} belongs to {' and '.join(names) or 'none'}"
            raise ConfigError("--dataset", what, "Each input file must belong to one: mend the patterns.")
        found[names[0]].add(uuid)
    empty = [name for name, uuids in found.items() if not uuids]
    if empty:
        raise ConfigError("--dataset", f"no input file belongs to {', '.join(empty)}", "Mend its pattern.")
    return [Dataset(name, frozenset(uuids), file_mib) for name, uuids in sorted(found.items())]


def _parse(definition: str) -> tuple[str, str]:
    name, mark, pattern = definition.partition("=")
    if not (mark and pattern and re.fullmatch(r"[A-Za-z0-9_.+-]+", name)):
        raise ConfigError(
            "--dataset", f"{definition!r} is not understood", "Write NAME=PATTERN, as top='*/TTTo*'."
        )
    return name, pattern
