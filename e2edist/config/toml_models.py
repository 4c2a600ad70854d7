"""TOML files to frozen models, with every fault of a file in one error."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from e2edist.errors import ConfigError, nearest

from .text_files import read_text


class Spec(BaseModel):
    """What people write: unknown keys and wrong types are faults, values never change afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


S = TypeVar("S", bound=Spec)


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises
    ------
    ConfigError
        No such file, not readable, not TOML (with line and column).
    """
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(str(path), f"is not TOML: {error}") from error


def parse(model: type[S], content: dict[str, Any], where: str) -> S:
    """Return the model of some tables.

    Raises
    ------
    ConfigError
        All faults at once, each with its key and what would be right.
    """
    try:
        # TOML has lists only; our models hold tuples, and strict mode tells them apart.
        return model.model_validate(to_tuples(content))
    except ValidationError as error:
        items: list[dict[str, Any]] = [dict(item) for item in error.errors()]
        places = {item["loc"][:n] for item in items for n in range(len(item["loc"]))}
        # A list whose entries are all at fault counts as empty too: the entries say it all.
        faults = [_message(model, i) for i in items if i["type"] != "too_short" or i["loc"] not in places]
        raise ConfigError(where, "; ".join(faults)) from error


def to_tuples(value: Any) -> Any:
    """Return a value of TOML with tuples for its lists, however deep."""
    if isinstance(value, dict):
        return {key: to_tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(to_tuples(item) for item in value)
    return value


def _message(model: type[BaseModel], item: dict[str, Any]) -> str:
    path = [str(part) for part in item["loc"]]
    key = ".".join(path) or "the file"
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown key, {nearest(path[-1], _known_keys(model, path[:-1]))}"
    if item["type"] == "missing":
        return f"{key}: missing"
    shown = repr(item["input"])
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
    message = message.replace("a valid tuple", "a list").replace("a valid dictionary", "a table")
    if isinstance(item["input"], dict):
        return f"{key}: {message}"
    return f"{key}: {message} (got {shown if len(shown) < 80 else shown[:77] + '...'})"


def _known_keys(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the keys that are known at `path`, following nested models, lists and tables of models."""
    for part in path:
        inner: Any = model.model_fields[part].annotation if part in model.model_fields else model
        for candidate in (inner, *_arguments(inner)):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                model = candidate
                break
    return list(model.model_fields)


def _arguments(annotation: Any) -> list[Any]:
    found = []
    for argument in getattr(annotation, "__args__", ()):
        found += [argument, *_arguments(argument)]
    return found
