"""``python -m e2edist.show NAME``: what a tagger, site, layer or plug-in is made of."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from e2edist.cli.arguments import make_parser
from e2edist.cli.console import run_verb
from e2edist.cli.signals import run_process

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from e2edist.cli.catalogue import Entry


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = make_parser(
        "show",
        "Say what a tagger, site, image layer, seed method, input format, engine or kind of pool is made of.",
        "list says which there are.",
        "eg",
        "perlmutter --json",
        "my_tagger.toml",
    )
    p.add_argument("name", metavar="NAME", help="a name, or the TOML file of a tagger or site")
    p.add_argument("--json", action="store_true", help="print a JSON list of all that has this name")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    return run_verb(parser(), _show, argv)


def _show(args: argparse.Namespace, console: Console) -> int:
    from rich.text import Text

    found = _found(args.name)
    if args.json:
        content = [entry.facts() | {"facts": facts} for entry, facts in found]
        sys.stdout.write(json.dumps(content, indent=1) + "\n")
        return 0
    console.quiet = False  # nothing else is printed
    for number, (entry, facts) in enumerate(found):
        console.print(Text(f"{chr(10) if number else ''}{entry.kind} {entry.name}", style="bold"))
        for part in _parts(facts):
            console.print(part)
    return 0


def _found(name: str) -> list[tuple[Entry, dict[str, Any]]]:
    from e2edist.cli.catalogue import find_entries
    from e2edist.cli.catalogue_facts import facts_of, file_facts

    if name.endswith(".toml"):
        return [file_facts(name)]
    return [(entry, facts_of(entry)) for entry in find_entries(name)]


def _parts(facts: dict[str, Any]) -> list[RenderableType]:
    """Return the facts as lines, with tables where there are rows."""
    from rich.table import Column, Table

    from e2edist.house_table import make_table

    rows = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2, 0, 0))
    for name, value in facts.items():
        if not value:
            continue
        if isinstance(value, list) and isinstance(value[0], dict):
            table = make_table()
            for key in value[0]:
                texts = [line[key] for line in value]
                table.add_column(key, justify="right" if all(map(_is_number, texts)) else "left")
            for line in value:
                table.add_row(*line.values())
            rows.add_row(name, table)
        elif isinstance(value, list):
            for number, text in enumerate(value):
                rows.add_row("" if number else name, text)
        else:
            rows.add_row(name, value)
    return [rows]


def _is_number(text: str) -> bool:
    return text in ("-", "auto") or text.replace(".", "").replace("-", "").isdigit()


if __name__ == "__main__":
    run_process(main)
