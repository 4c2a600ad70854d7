"""Plug-ins as people install them: a package with metadata in a folder that is on Python's path."""

from pathlib import Path

_METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
#: A format that reads what hits reads; `{bug}` goes into one of its functions.
FORMAT = """\
from dataclasses import replace

from e2edist.formats import hits

TREES = ("Events",)


def detect(names):
    {detect}
    return hits.detect(names)


def map_branches(request):
    {map_branches}
    found = hits.map_branches(request)
    return replace(found, tables=tuple(map(_table, found.tables)), event_ids=_event_ids(found.event_ids))


def _table(table):
    def build(lists):
        {build}
        return table.build(lists)

    return replace(table, build=build)


def _event_ids(event_ids):
    def decode(lists):
        {decode}
        return event_ids.decode(lists)

    return replace(event_ids, decode=decode)
"""
#: An engine without a model: every object gets its place in the batch as its score.
ENGINE = """\
import numpy as np


class Engine:
    batch, columns, facts = 32, {{"score": "float32"}}, {{"provider": "cpu"}}

    def predict(self, images):
        {predict}
        return {{"score": images.sum(axis=(1, 2, 3)).astype("float32")}}


def make(tagger, options):
    {make}
    return Engine()
"""


def install(folder, group, text, *, package="odd_plugin", name="odd", **bugs):
    """Install a plug-in of `group` (formats, engines) in `folder`; return its file.

    `text` is FORMAT or ENGINE; `bugs` name statements for its functions.
    """
    folder = Path(folder)
    path = folder / package / f"{group}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "__init__.py").touch()
    fields = dict.fromkeys(("detect", "map_branches", "build", "decode", "make", "predict"), "pass") | bugs
    path.write_text(text.format(**fields))
    announce(folder, group, name, f"{package}.{group}", package=package)
    return path


def announce(folder, group, name, module, *, package="odd_plugin"):
    """Write metadata in `folder` that announce a module as a plug-in of `group`."""
    metadata = Path(folder) / f"{package}-1.0.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text(_METADATA.format(name=package))
    with (metadata / "entry_points.txt").open("a") as stream:
        stream.write(f"[e2edist.{group}]\n{name} = {module}\n")
