"""Verdicts on models, kept as JSON: beside the model if that folder is the user's, else in the user's cache.

The name holds the tagger's fingerprint, which covers the sha256 of the model: another model, or another
normalisation, has another verdict, or none yet.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from e2edist.config.tagger import TaggerSpec
from e2edist.errors import ModelError, described
from e2edist.install_hint import verb_command
from e2edist.process import cache_folders
from e2edist.storage.publish import write_first

from .variants import GPUS

_VERSION = 1
#: Of the names of verdicts.
ENDING = ".verdict.json"


@dataclass(frozen=True, slots=True)
class ValidationRecord:
    """A verdict as it was written.

    Attributes
    ----------
    passed : bool
    faults : tuple of str
        Why not; empty if passed.
    when : str
        ISO date, UTC.
    path : Path
    independent : bool
        Whether there was a reference besides the model itself.
    providers : tuple of str
        Where the product's own engine ran and passed.
    """

    passed: bool
    faults: tuple[str, ...]
    when: str
    path: Path
    independent: bool = False
    providers: tuple[str, ...] = ()


def _record_paths(tagger: TaggerSpec) -> list[Path]:
    """Return where the record may lie: beside the model where that may be, or in a cache."""
    model, key = Path(tagger.model.path), tagger.fingerprint()[:16]
    caches = (folder / f"{key}{ENDING}" for folder in cache_folders("verdicts"))
    return [model.with_name(f"{model.name}.{key}{ENDING}"), *caches]


def write_record(tagger: TaggerSpec, content: dict[str, Any]) -> Path:
    """Write a verdict where `find_record` looks for it, and return its path.

    A model that failed against a reference stays failed when it is only compared with itself: that
    verdict is left as it is, and its path returned.

    Raises
    ------
    OutputError
        No place can be written.
    """
    paths = _record_paths(tagger)
    old = find_record(tagger)
    if old is not None and old.independent and not old.passed and not content.get("independent"):
        return old.path
    content = {"version": _VERSION, "fingerprint": tagger.fingerprint(), **content}
    near = paths[0].parent
    ours = near.is_relative_to(Path(str(files("e2edist")))) or not os.access(near, os.W_OK)
    path = write_first(paths[1:] if ours else paths, json.dumps(content, indent=1))
    for other in (one for one in paths if one != path):
        with suppress(OSError):  # then it is known by its date for an older one
            other.unlink(missing_ok=True)
    return path


def find_record(tagger: TaggerSpec) -> ValidationRecord | None:
    """Return the latest verdict on a tagger with its model, or None.

    One that is there and can't be read counts as a failure where it is the only one: it may have been one.
    """
    found = []
    for path in _record_paths(tagger):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if (content["version"], content["fingerprint"]) == (_VERSION, tagger.fingerprint()):
                known = bool(content.get("independent", False))
                faults, when = tuple(content["faults"]), str(content["when"])
                passed, ran = bool(content["passed"]), _providers(content)
                found.append(ValidationRecord(passed, faults, when, path, known, ran))
        except (FileNotFoundError, NotADirectoryError, PermissionError):  # a folder that is not ours to use
            continue
        except (OSError, ValueError, KeyError, TypeError) as error:
            fault = f"the record {path} can't be read ({described(error)})"
            found.append(
                ValidationRecord(passed=False, faults=(fault,), when="", path=path, independent=False)
            )
    return max(found, key=lambda record: record.when, default=None)


def _providers(content: dict[str, Any]) -> tuple[str, ...]:
    ran = [row.get("facts", {}) for row in content.get("variants", ()) if row.get("verdict") == "pass"]
    return tuple(dict.fromkeys(facts["provider"] for facts in ran if "provider" in facts))


def require_validation(tagger: TaggerSpec, *, accept: bool) -> str:
    """Return what is to be noted about the validation of a tagger that is about to run.

    Raises
    ------
    ModelError
        It failed, and that is not accepted.
    """
    record = find_record(tagger)
    if record is None:
        return "none"
    if record.passed:
        where = f" on {', '.join(record.providers)}" if record.providers else ""
        return f"passed {record.when}{where}" + ("" if record.independent else ", compared with itself only")
    why = "; ".join(record.faults)
    if not accept:
        todo = "Correct it and validate again, or say --accept-failed-validation."
        more = f" and {len(record.faults) - 1} more" if len(record.faults) > 1 else ""
        when = f" on {record.when}" if record.when else ""
        what = f"failed validation{when}: {record.faults[0]}{more}" if record.faults else "failed"
        raise ModelError(tagger.model.path, f"{what} ({record.path})", todo)
    return f"failed {record.when}, accepted: {why}"


def unvalidated_providers(tagger: TaggerSpec, providers: Iterable[str]) -> list[str]:
    """Return a line for each GPU provider of a campaign's pools on which its model has not passed."""
    record = find_record(tagger)
    passed = record.providers if record is not None and record.passed else ()
    wanted = [name for name in GPUS if name in set(providers) and GPUS[name][1] not in passed]
    todo = f"run {verb_command('validate', '--tagger', tagger.name)} on such a node"
    return [f"the model has not been validated on {GPUS[name][0]}: {todo}" for name in wanted]
