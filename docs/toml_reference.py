"""The reference of TOML files and their JSON schemas, from the pydantic models."""

import ast
import inspect
import json
import re

from markdown_text import first_line, table
from pydantic import BaseModel

from e2edist.config.campaign import CampaignSpec
from e2edist.config.site import SiteSpec
from e2edist.config.tagger import TaggerSpec
from e2edist.tuning.profile import Profile

#: Name of a page and schema -> model, and what the file is.
FILES = {
    "tagger": (TaggerSpec, "Tagger files", "`--tagger my.toml`, `e2edist/taggers/*.toml`"),
    "site": (SiteSpec, "Site files", "`--site my.toml`, `site-configs/*.toml`"),
    "campaign": (CampaignSpec, "Campaign files", "`--workflow my.toml`; options of `submit` override them"),
    "profile": (Profile, "Tuning profiles", "written by `tune`, read by `submit`"),
}
UNITS = {
    r".*_gib": "GiB",
    r".*_s": "s",
    r"(walltime|chunk_limit|stall_limit)_min": "min",
    r"pt_min": "GeV",
    r"window_rows|window_cols": "crystals",
    r"size": "pixels",
}


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
        part["description"] = first_line(one)
        for key, text in field_docs(one).items():
            inner = _classes(one.model_fields[key].annotation)
            part["properties"][key]["description"] = text or "".join(map(first_line, inner))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **content}


def toml_page(name):
    """Return the page of one kind of TOML file."""
    model, title, where = FILES[name]
    content = schema(model)
    text = f"# {title}\n\n{first_line(model)} Files: {where}.\n\n"
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
