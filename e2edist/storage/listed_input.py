"""An input as a person named it: a file, or what still stands for several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ListedInput:
    """A file to read, or a pattern of such files.

    Attributes
    ----------
    url : str
        Path or address, as it opens the file.
    dataset : str
        Name of the dataset that it belongs to; empty where nobody named one.
    tree : str or None
        Tree to read, where the list that names the file says so.
    metadata : mapping
        What the list says of the dataset, in the form of JSON.
    cut : bool
        Whether the list asks for some of the entries only; all of them are read.
    entries : int or None
        How many entries the file has, as the list says; planning compares it.
    """

    url: str = field(repr=False)  # it may hold secrets
    dataset: str = ""
    tree: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    cut: bool = False
    entries: int | None = None
