"""What people call classes, campaigns and taggers in a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from e2edist.config.tagger import packaged
from e2edist.config.toml_models import read_toml
from e2edist.records.plan import Plan

#: Label of an object that nobody knows the truth of.
UNKNOWN = -1


def class_names(plan: Plan) -> tuple[str, ...]:
    """Return what the labels 0, 1 and so on of a campaign are called; empty where nobody says.

    Plans of before name no classes: those of a packaged tagger with the same model are as it says today.
    """
    if plan.classes:
        return plan.classes
    path = packaged().get(str(plan.tagger.get("name")))
    content = read_toml(path) if path else {}
    if not content or content["model"]["sha256"] != plan.tagger.get("model", {}).get("sha256"):
        return ()
    return tuple(content.get("classes", ()))


def class_name(label: int, classes: Sequence[str]) -> str:
    """Return what a label is called."""
    if label < 0:
        return "truth unknown"
    return classes[label] if label < len(classes) else f"label {label}"


def folder_names(folders: Sequence[Path]) -> list[str]:
    """Return the last part of each folder's path, and as much before it as tells it from the others."""
    paths = [folder.absolute() for folder in folders]
    for depth in range(1, max((len(path.parts) for path in paths), default=0) + 1):
        names = ["/".join(path.parts[-depth:]).lstrip("/") for path in paths]
        if len(set(names)) == len(set(paths)):
            return names
    return [str(path) for path in paths]
