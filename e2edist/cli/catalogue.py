"""What there is by name: taggers, sites, layers, seed methods, and plug-ins of every kind."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2edist import plugins
from e2edist.config.site_files import known_sites, read_layers, site_folder
from e2edist.config.tagger import packaged
from e2edist.config.toml_models import read_toml
from e2edist.errors import E2EError, described, unknown_name
from e2edist.imaging.layers import LAYERS
from e2edist.imaging.seed_methods import SEED_METHODS

if TYPE_CHECKING:
    from rich.console import Console

#: Groups of plug-ins -> what one of them is called.
PLUGINS = {"formats": "format", "engines": "engine", "pools": "kind of pool"}
#: Stands for the name of an entry in its text.
_NAME = "\0"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that has a name.

    Attributes
    ----------
    kind : str
        As people call it: tagger, site, layer, seed method, format, engine, kind of pool.
    name, text : str
        Its name, and what it is in one line.
    origin : str
        Package of a plug-in, or file of a user's own site; empty for what comes with e2edist.
    """

    kind: str
    name: str
    text: str
    origin: str = ""

    def facts(self) -> dict[str, Any]:
        """Return what `list --json` prints."""
        return {"kind": self.kind, "name": self.name, "text": self.text, "origin": self.origin}


def _taggers() -> Iterator[Entry]:
    for name, path in packaged().items():
        yield Entry("tagger", name, str(read_toml(path).get("description", "")))


def _sites() -> Iterator[Entry]:
    for name, path in sorted(known_sites().items()):
        origin = "" if path.parent == site_folder() else str(path)
        try:
            texts = [layer.content.get("description", "") for layer in read_layers(path)]
            text = next((str(text) for text in reversed(texts) if text), "")
        except E2EError as error:  # a file of the user's
            text = f"can't be read: {error.what}"
        yield Entry("site", name, text, origin)


def _layers() -> Iterator[Entry]:
    for name, layer in LAYERS.items():
        yield Entry("layer", name, f"{layer.meaning} [{layer.unit}]")


def _seeds() -> Iterator[Entry]:
    for name, method in SEED_METHODS.items():
        yield Entry("seed method", name, method.meaning)


def _plugins(group: str) -> Callable[[], Iterator[Entry]]:
    def entries() -> Iterator[Entry]:
        for name, module in sorted(plugins.find(group).items()):
            package = plugins.package_of(group, name)
            origin = ", ".join(f"{package_name} {version}" for package_name, version in package.items())
            yield Entry(PLUGINS[group], name, _first_line(module), origin)

    return entries


def _first_line(module: str) -> str:
    """Return the first sentence of a module's docstring, without running the module."""
    try:
        spec = find_spec(module)
        source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
        text = ast.get_docstring(ast.parse(source)) or ""
    except Exception as error:  # of a plug-in: whatever its package raises when it is imported
        return f"can't be loaded ({described(error)})"
    return text.partition("\n")[0].replace("``", "")


#: What ``list`` takes -> its entries.
KINDS: dict[str, Callable[[], Iterator[Entry]]] = {
    "taggers": _taggers,
    "sites": _sites,
    "layers": _layers,
    "seeds": _seeds,
    **{group: _plugins(group) for group in PLUGINS},
}


def print_entries(console: Console, entries: Iterable[Entry]) -> None:
    """Print a line for each entry, or family of them: its name, what it is, and where it comes from."""
    from rich.table import Column, Table

    table = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2, 0, 0))
    for entry in fold_families(entries):
        origin = f" ({entry.origin})" if entry.origin else ""
        table.add_row(entry.name, entry.text + origin)
    console.print(table)


def fold_families(entries: Iterable[Entry]) -> list[Entry]:
    """Return entries with those as one that differ by the number at the end of their names only: BPIX1-4."""
    found = list[Entry]()
    for (name, kind, text, origin), family in groupby(entries, _family):
        first, *others = (entry.name.removeprefix(name) for entry in family)
        folded = f"{name}{first}-{others[-1]}" if others else f"{name}{first}"
        found.append(Entry(kind, folded, text.replace(_NAME, folded), origin))
    return found


def _family(entry: Entry) -> tuple[str, str, str, str]:
    """Return name, kind, text and origin without the number of a name, where the text has it too."""
    name = entry.name.rstrip("0123456789")
    if name == entry.name or entry.name not in entry.text:
        return entry.name, entry.kind, entry.text, entry.origin
    return name, entry.kind, entry.text.replace(entry.name, _NAME), entry.origin


def find_entries(name: str) -> list[Entry]:
    """Return all things of a name: a site may be called as its kind of pool.

    Raises
    ------
    UnknownNameError
        There is none.
    """
    entries = [entry for make in KINDS.values() for entry in make()]
    found = [entry for entry in entries if entry.name == name]
    if not found:
        raise unknown_name("tagger, site, layer or plug-in", name, {entry.name for entry in entries})
    return found
