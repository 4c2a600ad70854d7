"""The page of the Python API, from signatures and docstrings."""

import inspect
import re

import e2edist
from e2edist.config.campaign import CampaignSpec

#: Order of the page; the errors of `e2edist.__all__` are in the table of all errors.
NAMES = (
    "predict",
    "predict_batches",
    "make_images",
    "ObjectImages",
    "SparsePixels",
    "run_campaign",
    "CampaignOptions",
    "CampaignResult",
    "open_results",
    "Results",
    "Progress",
)
_HEAD = re.compile(r"^([A-Z][a-z]+)\n-+\n", re.MULTILINE)


def python_page():
    """Return the page of the Python API."""
    text = "# Python API\n\nNames of `import e2edist`; examples are in [Python](../python.md). Of the\n"
    text += "[errors](tables.md#errors), these are names of it too: "
    text += ", ".join(f"`{name}`" for name in e2edist.__all__ if name.endswith("Error")) + ".\n"
    return text + "".join(_thing(name, getattr(e2edist, name)) for name in NAMES)


def _thing(name, thing):
    text = f"\n## {name}\n\n"
    if inspect.isfunction(thing):
        text += f"```python\n{_signature(name, thing)}\n```\n\n"
    text += _sections(inspect.getdoc(thing))
    if name == "CampaignOptions":
        keys = [key for key in thing.__annotations__ if key in CampaignSpec.model_fields]
        text += f"\nOf a campaign ([meaning](campaign.md)): {', '.join(f'`{key}`' for key in keys)}.\n"
    if inspect.isclass(thing):
        methods = [(n, one) for n, one in vars(thing).items() if inspect.isfunction(one) and n[0] != "_"]
        text += "".join(
            f"\n### {name}.{n}\n\n```python\n{_signature(n, one)}\n```\n\n{_sections(inspect.getdoc(one))}"
            for n, one in methods
        )
        properties = [(n, one) for n, one in vars(thing).items() if isinstance(one, property)]
        if properties:
            text += f"\n### Properties of {name}\n\n"
            text += "\n\n".join(f"`{n}`\n: {_inline(inspect.getdoc(one))}" for n, one in properties) + "\n"
    return text


def _signature(name, function):
    """Return a call as it is written, an argument a line where it is long."""
    signature = inspect.signature(function)
    result = f" -> {signature.return_annotation}"
    arguments = list(_arguments(signature))
    line = f"{name}({', '.join(arguments)}){result}"
    if len(line) <= 90:
        return line
    lines = "\n".join(f"    {one}," for one in arguments)
    return f"{name}(\n{lines}\n){result}"


def _arguments(signature):
    star = False
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and not star:
            star = True
            yield "*"
        if one.kind is one.VAR_KEYWORD:
            yield f"**{one.name}: {one.annotation}"
        elif one.name != "self":
            default = "" if one.default is one.empty else f" = {one.default!r}"
            yield f"{one.name}: {one.annotation}{default}"


def _sections(text):
    """Return a docstring in numpy's style as Markdown."""
    first, *rest = _HEAD.split(text)
    found = f"{_inline(first.strip())}\n"
    for head, block in zip(rest[::2], rest[1::2], strict=True):
        body = block.strip("\n")
        if head == "Examples":
            code = re.sub(r" *# doctest: .*", "", body)
            code = re.sub(r"^>>> |^\.\.\. ", "", code, flags=re.MULTILINE)
            found += f"\n```python\n{code}\n```\n"
        else:
            found += f"\n**{head}**\n\n{_entries(body)}"
    return found


def _entries(body):
    """Return the entries of a section as a list of definitions."""
    found = []
    for entry in re.split(r"\n(?=\S)", body):
        name, _, meaning = entry.partition("\n")
        term, _, kind = name.partition(" : ")
        shown = ", ".join(f"`{one}`" for one in term.split(", ")) + (f" — {kind}" if kind else "")
        text = _inline(" ".join(line.strip() for line in meaning.splitlines()))
        found.append(f"{shown}\n: {text}\n" if text else f"{shown}\n")
    return "\n".join(found)


def _inline(text):
    return re.sub(r"``(.+?)``", r"`\1`", text)
