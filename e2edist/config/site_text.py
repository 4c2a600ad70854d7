"""A site file as text: what a person answered, and lines to uncomment."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

#: Keys that need no quotes.
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(table: dict[str, Any]) -> str:
    """Return tables of texts, numbers, booleans and lists as TOML.

    >>> print(toml_text({"a": "x", "pools": {"gpu": {"workers": 4}}}))
    a = "x"
    <BLANKLINE>
    [pools.gpu]
    workers = 4
    <BLANKLINE>
    """
    text = "\n".join(_lines(table, ())).lstrip("\n") + "\n"
    assert tomllib.loads(text) == table, text  # noqa: S101 - what is written must be what was meant
    return text


def _lines(table: dict[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Yield plain values before tables, as TOML wants it."""
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    if path and (plain or not table):
        yield ""
        yield f"[{'.'.join(map(_key, path))}]"
    for key, value in plain.items():
        yield f"{_key(key)} = {_value(value)}"
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _lines(value, (*path, key))


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):  # in a list
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    # Texts, numbers and booleans of JSON are those of TOML, but for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def site_text(site: str, content: dict[str, Any], comments: list[str], example: dict[str, Any]) -> str:
    """Return a site file that extends `site`.

    Parameters
    ----------
    content : dict
        Keys and tables that differ from those of `site`.
    comments : list of str
        Lines at the top.
    example : dict
        Keys and tables that people may want to change, as they are; added as a comment.
    """
    parts = ["".join(f"# {line}\n" for line in comments) + toml_text({"extends": site} | content)]
    if example:
        lines = toml_text(example).splitlines()
        parts.append("".join(f"# {line}".rstrip() + "\n" for line in lines))
    return "\n".join(parts)
