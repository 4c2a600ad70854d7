"""Markdown of the generated pages."""

import ast
import inspect
import re

from e2edist.imaging.event_batch import TRACKER_LAYERS


def first_line(thing):
    """Return the first sentence, or paragraph, of the docstring of a thing."""
    text = (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ")
    return re.sub(r"``(.+?)``", r"`\1`", text)


def table(head, rows):
    """Return a Markdown table."""
    lines = [[str(cell).replace("|", "\\|") for cell in line] for line in (head, ["---"] * len(head), *rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def codes(names, between=", "):
    """Return names as code, one after the other."""
    return between.join(f"`{name}`" for name in names)


def numbered(names):
    """Return name as shown -> name, where BPIX1 to BPIX4 and the like are one line."""
    found = {}
    for name in names:
        if name in TRACKER_LAYERS:
            stem = name[:-1]
            count = sum(other[:-1] == stem for other in names)
            found.setdefault(f"{stem}1` to `{stem}{count}", name)
        else:
            found[name] = name
    return found


def columns_of(module, name):
    """Return the table of a dict of Arrow types, with the comments behind its lines."""
    lines = inspect.getsource(module).splitlines()
    (node,) = (
        n for n in ast.parse("\n".join(lines)).body if isinstance(n, ast.AnnAssign) and n.target.id == name
    )
    rows = []
    for key, kind in getattr(module, name).items():
        (place,) = (k.lineno for k in node.value.keys if k.value == key)
        shown = str(kind.value_type if "dictionary" in str(kind) else kind)
        rows.append((f"`{key}`", shown, lines[place - 1].partition("  # ")[2]))
    return table(("column", "type", "meaning"), rows)
