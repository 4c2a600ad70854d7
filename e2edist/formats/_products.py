"""Products of CMS event data: what the name of a top-level branch says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Product:
    """A top-level branch: ``type_label_instance_process.``, none of which may hold an underscore."""

    type: str
    label: str
    instance: str
    process: str
    branch: Any

    @property
    def tag(self) -> str:
        """The product as an InputTag of CMSSW."""
        return f"{self.label}:{self.instance}:{self.process}"

    def fits(self, tag: str) -> bool:
        """Return whether it is what a label means, which need not name a process."""
        label, instance, process = (*tag.split(":"), "", "")[:3]
        return (self.label, self.instance) == (label, instance) and process in ("", self.process)


def products_of(tree: Any) -> list[Product]:
    """Return the products of a tree, in its order."""
    found = []
    for branch in tree.branches:
        parts = branch.name.removesuffix(".").split("_")
        if len(parts) == 4:
            kind, label, instance, process = parts
            found.append(Product(kind, label, instance, process, branch))
    return found
