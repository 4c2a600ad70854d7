"""Generate docs/reference and docs/schemas from the code's own models and tables.

``python docs/reference.py`` writes what changed; ``--check`` writes nothing and fails if something would.
"""

import argparse
import inspect
import json
import os
import pkgutil
import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # run as a script or loaded from its file
# Commands are shown as in an active environment.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

from branches_reference import branches_page
from markdown_text import codes, columns_of, first_line, numbered, table
from python_reference import python_page
from toml_reference import FILES, schema, toml_page

from e2edist import errors
from e2edist.__main__ import VERBS
from e2edist.accounting import summary
from e2edist.campaign.retry_policy import Action
from e2edist.control.state import State
from e2edist.imaging.event_batch import OBJECT_KINDS, PIXEL_COLUMNS, SEED_COLUMNS, TABLES, pixel_table
from e2edist.imaging.layers import LAYERS
from e2edist.imaging.seed_methods import SEED_METHODS
from e2edist.imaging.seeds import STATUSES
from e2edist.records import losses
from e2edist.records.folder import AggregatedFolder, CampaignFolder
from e2edist.records.part_columns import AGGREGATED_COLUMNS, PART_COLUMNS

HERE = Path(__file__).parent
NOTE = "<!-- Made by docs/reference.py: change the code, run it again. -->\n\n"
STATUS_TEXT = {
    "ok": "has an image and scores",
    "nan": "pT, eta or phi is not a finite number",
    "pt": "below `pt_min`",
    "eta": "beyond `eta_max`",
    "no_hit": "no hit near its direction to centre the crop on",
    "seed_eta": "the seed tower has |ieta| > 16: the crop would leave the image",
    "edge": 'the crop would reach over the end of the barrel, and the tagger says `edge = "drop"`',
}
EXIT_CODES = {
    "0": "all done",
    "1": "some entries are lost (`bad.parquet`), parts are gone or wrong, pools disagree, or no worker came",
    "2": "the user must fix something: a wrong option, file, model or folder; what is done stays",
    "130": "interrupted; the same command does the rest",
}


def tables_page():
    """Return the page of layers, columns, statuses, exit codes and errors."""
    layers = [
        (f"`{shown}`", LAYERS[name].meaning, LAYERS[name].unit, LAYERS[name].grid, _needs(LAYERS[name]))
        for shown, name in numbered(LAYERS).items()
    ]
    inputs = [(f"`{shown}`", _dtypes(TABLES[name])) for shown, name in numbered(TABLES).items()]
    inputs.append((f"`{pixel_table('LAYER')}`", _dtypes(PIXEL_COLUMNS)))
    statuses = [(code, f"`{name}`", STATUS_TEXT[name]) for code, name in enumerate(STATUSES)]
    text = "# Tables and codes\n\n## Layers\n\nDefined in [images](../images.md#layers).\n\n"
    text += table(("layer", "pixels", "unit", "grid", "made from"), layers)
    seeds = [
        (
            f"`{name}`",
            one.meaning,
            one.frame,
            _needs(one.layer),
            codes(one.parameters),
        )
        for name, one in SEED_METHODS.items()
    ]
    text += "\n## Seed methods\n\nDefined in [images](../images.md#seeds); their keys are those of "
    text += "[`[seed]`](tagger.md#seed).\n\n"
    text += table(("method", "centre of the crop", "frame", "looks at", "keys"), seeds)
    text += "\n## Input tables\n\nWhat a format must give for them: table, columns, numpy dtypes.\n\n"
    text += table(("table", "columns"), inputs)
    text += f"\n`{pixel_table('LAYER')}`: the pixels of a layer, which formats without hits give in place of "
    text += "hits and tracks. Tables of objects may also have the pixel on which an image is centred: "
    text += _dtypes(SEED_COLUMNS) + ".\n"
    text += "\n## Output columns\n\nOf `predictions/*.parquet`; scores follow.\n\n"
    text += part_columns_table(PART_COLUMNS)
    text += "\n`aggregate` puts before them\n\n" + part_columns_table(AGGREGATED_COLUMNS)
    text += (
        "\n## Object statuses\n\nOf the column `status`; the number is that of friend trees, where kinds are "
    )
    text += ", ".join(f"{code} {kind}" for code, kind in enumerate(OBJECT_KINDS)) + ".\n\n"
    text += table(("number", "status", "meaning"), statuses)
    return text + _campaign_tables()


def _campaign_tables():
    text = ""
    for folder in (CampaignFolder, AggregatedFolder):
        text += f"\n## {folder.__name__.removesuffix('Folder')} folder\n\n{first_line(folder)}\n\n"
        text += table(("name", "what it holds"), [(f"`{one.name}`", one.meaning) for one in folder.entries()])
    text += "\n## Timing\n\nOf `timing.parquet`, one row per chunk and stage.\n\n"
    text += columns_of(summary, "_TIMING_COLUMNS")
    text += "\n## Losses\n\nOf `bad.parquet`, one row per file or range of entries that was given up.\n\n"
    text += columns_of(losses, "_COLUMNS")
    text += "\n## Campaign states\n\nAs `status` shows them." + campaign_states()
    text += "\n## What becomes of a chunk that failed\n\nDecided by `e2edist/campaign/retry_policy.py`.\n\n"
    text += table(("decision", "meaning"), [(f"`{one.name}`", one.value) for one in Action])
    text += "\n## Exit codes\n\nOf `submit`; other commands say theirs with `--help`.\n\n"
    text += table(("code", "meaning"), EXIT_CODES.items())
    text += "\n## Errors\n\nAll are classes of `e2edist.errors`.\n\n" + errors_table()
    return text


def _dtypes(columns):
    return ", ".join(f"`{column}` {kind}" for column, kind in columns.items())


def _needs(layer):
    return "; ".join(f"`{table}`: {', '.join(sorted(columns))}" for table, columns in layer.columns.items())


def campaign_states():
    """Return what the docstring of `State.state` says."""
    text = inspect.getdoc(State).partition("state : str\n")[2].partition("\nwhy : str")[0]
    found = re.findall(r"([a-z]+(?:, [a-z]+)*): ([^.]+)\.", " ".join(text.split()))
    rows = [(f"`{name}`", meaning) for names, meaning in found for name in names.split(", ")]
    return "\n\n" + table(("state", "meaning"), rows)


def part_columns_table(columns):
    """Return the columns of results."""
    rows = []
    for name, column in columns.items():
        shown = str(column.type.value_type if "dictionary" in str(column.type) else column.type)
        rows.append((f"`{name}`", shown, column.meaning))
    return table(("column", "type", "meaning"), rows)


def errors_table():
    """Return the tree of errors."""
    rows = []

    def walk(kind, depth):
        shown = f"{'&nbsp;' * 4 * depth}`{kind.__name__}`"
        rows.append((shown, str(kind.exit_code), first_line(kind)))
        for below in kind.__subclasses__():
            if below.__module__ == errors.__name__:
                walk(below, depth + 1)

    walk(errors.E2EError, 0)
    return table(("class", "exit code", "meaning"), rows)


def plugins_page():
    """Return the page of the plug-ins that come with the package."""
    text = "# Plug-ins\n\nWhat comes with the package; [others](../extend/index.md) may be installed too.\n"
    for group, key in (("formats", "--format"), ("engines", "engine"), ("pools", "kind")):
        text += f"\n## {group.capitalize()}\n\nNames for `{key}`.\n\n"
        package = import_module(f"e2edist.{group}")
        names = [one.name for one in pkgutil.iter_modules(package.__path__) if one.name[0] != "_"]
        modules = {name: import_module(f"{package.__name__}.{name}") for name in names if name != "api"}
        text += table(("name", "what it is"), [(f"`{name}`", first_line(m)) for name, m in modules.items()])
        text += f"\nOne of your own imports from `e2edist.{group}.api`:\n\n" + api_table(group)
        systems = {name: module.SYSTEM for name, module in modules.items() if hasattr(module, "SYSTEM")}
    text += "\n## Batch systems\n\nThe pools whose workers are jobs.\n\n"
    rows = [
        (
            f"`{name}`",
            system.title,
            codes(system.commands),
            "; ".join(f"`{key}`: {why}" for key, why in system.unsupported.items()),
        )
        for name, system in systems.items()
    ]
    return text + table(("kind", "batch system", "commands on the host of submit", "not supported"), rows)


def api_table(group):
    """Return the classes and functions that a plug-in may import, with their first sentences."""
    api = import_module(f"e2edist.{group}.api")
    things = {name: getattr(api, name) for name in api.__all__}
    rows = [
        (f"`{name}`", first_line(thing))
        for name, thing in things.items()
        if inspect.isclass(thing) or inspect.isfunction(thing)
    ]
    return table(("name", "what it is"), rows)


def commands_page():
    """Return the page of all verbs with their options."""
    text = "# Commands\n\n`e2edist VERB` is the same as `python -m e2edist.VERB`. "
    text += "All take `--help`, `--version`, `-q` and `-v` "
    text += "([how much is printed](../terminal.md#how-much-is-printed)).\n"
    for verb in VERBS:
        parser = import_module(f"e2edist.{verb}").parser()
        text += f"\n## {verb}\n\n{parser.description}\n\n"
        rows = []
        for action in parser._actions:
            names = action.option_strings or [action.metavar or action.dest]
            if action.help != argparse.SUPPRESS and action not in parser.common._group_actions:
                value = (
                    f" {action.metavar or action.dest.upper()}"
                    if action.option_strings and action.nargs != 0
                    else ""
                )
                rows.append((" ".join(f"`{name}{value}`" for name in names), action.help or ""))
        text += table(("option", "meaning"), rows) + f"\n{parser.epilog or ''}\n"
    return text


def packages_page():
    """Return the layers of the code, top first, with the first sentence of each module."""
    config = tomllib.loads((HERE.parent / "pyproject.toml").read_text())
    layers = config["tool"]["importlinter"]["contracts"][0]["layers"]
    rows = []
    for layer in layers:
        names = [name.strip("() ") for name in layer.split(" | ")]
        if names[0] in VERBS:
            rows.append((", ".join(f"`{name}.py`" for name in names), "One command, one file."))
            continue
        for name in names:
            module = import_module(f"e2edist.{name}")
            rows.append((f"`{name}{'/' if hasattr(module, '__path__') else '.py'}`", first_line(module)))
    return table(("package or module, top first", "what it does"), rows)


def content():
    """Return path below docs -> what it should hold."""
    made = {f"reference/{name}.md": toml_page(name) for name in FILES}
    made |= {
        "reference/tables.md": tables_page(),
        "reference/branches.md": branches_page(),
        "reference/commands.md": commands_page(),
        "reference/plugins.md": plugins_page(),
        "reference/python.md": python_page(),
        "reference/packages.md": packages_page(),
    }
    made = {name: NOTE + text for name, text in made.items()}
    return made | {
        f"schemas/{name}.json": json.dumps(schema(model), indent=1, ensure_ascii=False) + "\n"
        for name, (model, _, _) in FILES.items()
    }


def stale():
    """Return the names of files that are not what the code says."""
    return [
        name
        for name, text in content().items()
        if not (HERE / name).is_file() or (HERE / name).read_text(encoding="utf-8") != text
    ]


def main():
    """Write or check; return the exit code."""
    names = stale()
    if "--check" in sys.argv:
        sys.stdout.write("".join(f"stale: docs/{name}; run python docs/reference.py\n" for name in names))
        return 1 if names else 0
    for name in names:
        path = HERE / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content()[name], encoding="utf-8")
        sys.stdout.write(f"wrote docs/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
