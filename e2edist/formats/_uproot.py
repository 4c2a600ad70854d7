"""uproot, typed as Any: it declares neither its exports nor the types of its interpretations."""

from __future__ import annotations

from importlib import import_module
from typing import Any

uproot: Any = import_module("uproot")
