"""Generate docs/reference and docs/schemas from the code's own models and tables.

``python docs/reference.py`` writes what changed; ``--check`` writes nothing and fails if something would.
"""

import argparse
import ast
import inspect
import json
import pkgutil
import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path

from pydantic import BaseModel

from e2edist import errors
from e2edist.__main__ import VERBS
from e2edist.accounting import summary
from e2edist.campaign.retry_policy import Action
from e2edist.config.campaign import CampaignSpec
from e2edist.config.site import SiteSpec
from e2edist.config.tagger import TaggerSpec
from e2edist.control.state import State
from e2edist.formats import edm, hits
from e2edist.imaging.event_batch import OBJECT_KINDS, TABLES, TRACKER_LAYERS
from e2edist.imaging.layers import LAYERS
from e2edist.imaging.seeds import SEED_METHODS, STATUSES
from e2edist.records import losses
from e2edist.records.folder import AggregatedFolder, CampaignFolder
from e2edist.records.part_columns import PART_COLUMNS
from e2edist.tuning.profile import Profile

HERE = Path(__file__).parent
NOTE = "<!-- Made by docs/reference.py: change the code, run it again. -->\n\n"
#: Name of a page and schema -> model, and what the file is.
FILES = {
    "tagger": (TaggerSpec, "Tagger files", "`--tagger my.toml`, `e2edist/taggers/*.toml`"),
    "site": (SiteSpec, "Site files", "`--site my.toml`, `site-configs/*.toml`"),
    "campaign": (CampaignSpec, "Campaign files", "`--workflow my.toml`; options of `submit` override them"),
    "profile": (Profile, "Tuning profiles", "written by `tune`, read by `submit`"),
}
TRACKER_STEMS = {name.rstrip("0123456789") for name in TRACKER_LAYERS}
UNITS = {
    r".*_gib": "GiB",
    r".*_s": "s",
    r"(walltime|chunk_limit|stall_limit)_min": "min",
    r"pt_min": "GeV",
    r"window_rows|window_cols": "crystals",
    r"size": "pixels",
}
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
    "2": "something to fix first: a wrong option, file, model or folder; what is done stays",
    "130": "interrupted; the same command does the rest",
}


# Fields of models -----------------------------------------------------------------------------------------


def field_docs(model):
    """Return field -> the text of the ``#:`` lines above it, or its description."""
    found = {name: field.description or "" for name, field in model.model_fields.items()}
    try:
        lines = inspect.getsource(model).splitlines()
    except OSError:  # made of a table, with descriptions
        return found
    for node in ast.parse("\n".join(lines)).body[0].body:
        if isinstance(node, ast.AnnAssign):
            above, at = [], node.lineno - 2
            while lines[at].strip().startswith("#:"):
                above.insert(0, lines[at].strip().removeprefix("#:").strip())
                at -= 1
            found[node.target.id] = re.sub(r"``(.+?)``", r"`\1`", " ".join(above))
    return found


def models(model):
    """Return a model and all models in its fields, by name."""
    found = {model.__name__: model}
    for field in model.model_fields.values():
        for inner in _classes(field.annotation):
            found |= models(inner)
    return found


def _classes(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [one for argument in getattr(annotation, "__args__", ()) for one in _classes(argument)]


def schema(model):
    """Return the JSON schema of a model, with the description of each key."""
    content = model.model_json_schema()
    for name, one in models(model).items():
        part = content if one is model else content["$defs"][name]
        part["description"] = _first_line(one)
        for key, text in field_docs(one).items():
            inner = _classes(one.model_fields[key].annotation)
            part["properties"][key]["description"] = text or "".join(map(_first_line, inner))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **content}


def toml_page(name):
    """Return the page of one kind of TOML file."""
    model, title, where = FILES[name]
    content = schema(model)
    text = f"# {title}\n\n{_first_line(model)} Files: {where}.\n\n"
    text += f"For an editor that checks TOML: [JSON schema](../schemas/{name}.json).\n"
    for path, part in _tables(content, content, ""):
        if path:
            text += f"\n## `{path}`\n\n{part['description']}\n"
        required = part.get("required", ())
        rows = [
            (f"`{key}`", _type(one, content), _default(one, key in required), _unit(key), one["description"])
            for key, one in part["properties"].items()
            if not _inner(one, content)
        ]
        text += "\n" + table(("key", "type", "default", "unit", "meaning"), rows)
    return text


def _tables(part, content, path):
    """Yield (name of the table as in TOML, schema) of a table and those in it."""
    yield path, part
    for key, one in part["properties"].items():
        inner = _inner(one, content)
        if inner:
            plain = path.strip("[]")
            below = f"{plain}.{key}" if plain else key
            if "additionalProperties" in one:
                below += ".NAME"
            yield from _tables(inner, content, f"[[{below}]]" if one.get("type") == "array" else f"[{below}]")


def _inner(one, content):
    """Return the schema of the table that a key holds, or of each of its tables; none for plain values."""
    extra = one.get("additionalProperties")
    for place in (one, one.get("items", {}), extra if isinstance(extra, dict) else {}):
        if "$ref" in place:
            found = content["$defs"][place["$ref"].rsplit("/", 1)[-1]]
            return found if "properties" in found else None
    return None


_KINDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}


def _type(one, content):
    """Return the type of a key in words."""
    if "anyOf" in one:
        return " or ".join(_type(item, content) for item in one["anyOf"] if item.get("type") != "null")
    if "enum" in one:
        return " | ".join(f'`"{value}"`' for value in one["enum"])
    if "const" in one:
        return f'`"{one["const"]}"`'
    kind = one.get("type")
    if kind == "array":
        inner = one.get("items") or (one.get("prefixItems") or [{}])[0]
        return f"list of {_type(inner, content)}" + (", not empty" if one.get("minItems") == 1 else "")
    if kind == "object":
        extra = one.get("additionalProperties")
        return "table" if not isinstance(extra, dict) else f"table of {_type(extra, content)}"
    text = _KINDS.get(kind, "any")
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    parts = [f"{sign} {one[key]:g}" for key, sign in limits.items() if key in one]
    if "pattern" in one:
        parts.append(f"`{one['pattern']}`")
    return " ".join([text, ", ".join(parts)]).strip()


def _default(one, required):
    if required:
        return "**required**"
    return "" if one.get("default") is None else f"`{json.dumps(one['default'])}`"


def _unit(key):
    return next((unit for pattern, unit in UNITS.items() if re.fullmatch(pattern, key)), "")


# Tables ---------------------------------------------------------------------------------------------------


def numbered(names):
    """Return name as shown -> name, where BPIX1 to BPIX4 and the like are one line."""
    found = {}
    for name in names:
        stem = name.rstrip("0123456789")
        if stem in TRACKER_STEMS:
            count = sum(other.rstrip("0123456789") == stem for other in names)
            found.setdefault(f"{stem}1` to `{stem}{count}", name)
        else:
            found[name] = name
    return found


def tables_page():
    """Return the page of layers, columns, statuses, exit codes and errors."""
    layers = [
        (f"`{shown}`", LAYERS[name].grid, _needs(LAYERS[name])) for shown, name in numbered(LAYERS).items()
    ]
    inputs = [
        (f"`{shown}`", ", ".join(f"`{column}` {kind}" for column, kind in TABLES[name].items()))
        for shown, name in numbered(TABLES).items()
    ]
    statuses = [(code, f"`{name}`", STATUS_TEXT[name]) for code, name in enumerate(STATUSES)]
    text = "# Tables and codes\n\n## Layers\n\nDefined in [images](../images.md#layers).\n\n"
    text += table(("layer", "grid", "made from"), layers)
    seeds = [
        (
            f"`{name}`",
            one.meaning,
            one.frame,
            _needs(one.layer),
            ", ".join(f"`{key}`" for key in one.parameters),
        )
        for name, one in SEED_METHODS.items()
    ]
    text += "\n## Seed methods\n\nDefined in [images](../images.md#seeds); their keys are those of "
    text += "[`[seed]`](tagger.md#seed).\n\n"
    text += table(("method", "centre of the crop", "frame", "looks at", "keys"), seeds)
    text += "\n## Input tables\n\nWhat a format must give for them: table, columns, numpy dtypes.\n\n"
    text += table(("table", "columns"), inputs)
    text += "\n## Output columns\n\nOf `predictions/*.parquet`; scores follow.\n\n" + part_columns_table()
    text += (
        "\n## Object statuses\n\nOf the column `status`; the number is that of friend trees, where kinds are "
    )
    text += ", ".join(f"{code} {kind}" for code, kind in enumerate(OBJECT_KINDS)) + ".\n\n"
    text += table(("number", "status", "meaning"), statuses)
    for folder in (CampaignFolder, AggregatedFolder):
        text += f"\n## {folder.__name__.removesuffix('Folder')} folder\n\n{_first_line(folder)}\n\n"
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


def _needs(layer):
    return "; ".join(f"`{table}`: {', '.join(sorted(columns))}" for table, columns in layer.columns.items())


def campaign_states():
    """Return what the docstring of `State.state` says."""
    text = inspect.getdoc(State).partition("state : str\n")[2].partition("\nwhy : str")[0]
    found = re.findall(r"([a-z]+(?:, [a-z]+)*): ([^.]+)\.", " ".join(text.split()))
    rows = [(f"`{name}`", meaning) for names, meaning in found for name in names.split(", ")]
    return "\n\n" + table(("state", "meaning"), rows)


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


def part_columns_table():
    """Return the columns of the results."""
    rows = []
    for name, column in PART_COLUMNS.items():
        shown = str(column.type.value_type if "dictionary" in str(column.type) else column.type)
        rows.append((f"`{name}`", shown, column.meaning))
    return table(("column", "type", "meaning"), rows)


def errors_table():
    """Return the tree of errors."""
    rows = []

    def walk(kind, depth):
        shown = f"{'&nbsp;' * 4 * depth}`{kind.__name__}`"
        rows.append((shown, str(kind.exit_code), _first_line(kind)))
        for below in kind.__subclasses__():
            if below.__module__ == errors.__name__:
                walk(below, depth + 1)

    walk(errors.E2EError, 0)
    return table(("class", "exit code", "meaning"), rows)


def branches_page():
    """Return the page of what the formats read."""
    text = "# Branches read\n\nLabels are tried in order; the first that a file has is taken. "
    text += "A tagger file may name others under `[objects.collections]`.\n\n## edm\n\n"
    rows = [
        (
            f"`{name}`",
            ", ".join(f"`{kind}`" for kind in edm.TYPES[name]),
            ", ".join(f"`{label}`" for label in labels),
            ", ".join(f"`{leaf}`" for names in edm.SUBBRANCHES[name].values() for leaf in names),
        )
        for name, labels in edm.LABELS.items()
    ]
    text += table(("table", "types", "labels", "leaves"), rows)
    text += "\nEvent numbers come from `EventAuxiliary`.\n\n## hits\n\n"
    rows = [
        (
            f"`{shown}`",
            ", ".join(f"`{label}`" for label in hits.LABELS[name]),
            ", ".join(f"`_{'` or `_'.join(hits.names_of(name, c))}`" for c in TABLES[name]),
        )
        for shown, name in numbered(hits.LABELS).items()
    ]
    text += table(("table", "prefixes", "columns"), rows)
    numbers = ", ".join(f"{key} from `{name}`" for key, (name, _) in hits.EVENT_IDS.items())
    return f"{text}\n`A+B`: the rows of A, then those of B, in each event. Event numbers: {numbers}.\n"


def plugins_page():
    """Return the page of the plug-ins that come with the package."""
    text = "# Plug-ins\n\nWhat comes with the package; [others](../extend/index.md) may be installed too.\n"
    for group, key in (("formats", "--format"), ("engines", "engine"), ("pools", "kind")):
        text += f"\n## {group.capitalize()}\n\nNames for `{key}`.\n\n"
        package = import_module(f"e2edist.{group}")
        names = [one.name for one in pkgutil.iter_modules(package.__path__) if one.name[0] != "_"]
        modules = {name: import_module(f"{package.__name__}.{name}") for name in names if name != "api"}
        text += table(("name", "what it is"), [(f"`{name}`", _first_line(m)) for name, m in modules.items()])
        text += f"\nOne of your own imports from `e2edist.{group}.api`:\n\n" + api_table(group)
        systems = {name: module.SYSTEM for name, module in modules.items() if hasattr(module, "SYSTEM")}
    text += "\n## Batch systems\n\nThe pools whose workers are jobs.\n\n"
    rows = [
        (
            f"`{name}`",
            system.title,
            ", ".join(f"`{command}`" for command in system.commands),
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
        (f"`{name}`", _first_line(thing))
        for name, thing in things.items()
        if inspect.isclass(thing) or inspect.isfunction(thing)
    ]
    return table(("name", "what it is"), rows)


def commands_page():
    """Return the page of all verbs with their options."""
    text = "# Commands\n\n`e2edist VERB` is the same as `python -m e2edist.VERB`.\n"
    for verb in VERBS:
        parser = import_module(f"e2edist.{verb}").parser()
        text += f"\n## {verb}\n\n{parser.description}\n\n"
        rows = []
        for action in parser._actions:
            names = action.option_strings or [action.metavar or action.dest]
            if action.help != argparse.SUPPRESS and "--help" not in names:
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
            rows.append((f"`{name}{'/' if hasattr(module, '__path__') else '.py'}`", _first_line(module)))
    return table(("package or module, top first", "what it does"), rows)


# Text -----------------------------------------------------------------------------------------------------


def _first_line(thing):
    text = (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ")
    return re.sub(r"``(.+?)``", r"`\1`", text)


def table(head, rows):
    """Return a Markdown table."""
    lines = [[str(cell).replace("|", "\\|") for cell in line] for line in (head, ["---"] * len(head), *rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def content():
    """Return path below docs -> what it should hold."""
    made = {f"reference/{name}.md": toml_page(name) for name in FILES}
    made |= {
        "reference/tables.md": tables_page(),
        "reference/branches.md": branches_page(),
        "reference/commands.md": commands_page(),
        "reference/plugins.md": plugins_page(),
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
