"""Markdown of the generated pages."""

import inspect
import re


def first_line(thing):
    """Return the first sentence, or paragraph, of the docstring of a thing."""
    text = (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ")
    return re.sub(r"``(.+?)``", r"`\1`", text)


def table(head, rows):
    """Return a Markdown table."""
    lines = [[str(cell).replace("|", "\\|") for cell in line] for line in (head, ["---"] * len(head), *rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
