"""Distributed end-to-end (E2E) classification of CMS detector images."""

import os
import signal
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from e2edist.accounting.progress import Progress
    from e2edist.api.campaigns import CampaignOptions, CampaignResult, run_campaign
    from e2edist.api.object_images import ObjectImages, SparsePixels, make_images
    from e2edist.api.prediction import predict, predict_batches
    from e2edist.api.results import Results, open_results
    from e2edist.errors import (
        CampaignError,
        ConfigError,
        E2EError,
        InputError,
        ModelError,
        OutputError,
        ResourceError,
    )

__version__ = "0.1.0"

__all__ = [
    "CampaignError",
    "CampaignOptions",
    "CampaignResult",
    "ConfigError",
    "E2EError",
    "InputError",
    "ModelError",
    "ObjectImages",
    "OutputError",
    "Progress",
    "ResourceError",
    "Results",
    "SparsePixels",
    "__version__",
    "make_images",
    "open_results",
    "predict",
    "predict_batches",
    "run_campaign",
]

#: Module -> names of the Python API that it has; it is imported when one of them is first used.
_MODULES = {
    "accounting.progress": ("Progress",),
    "api.campaigns": ("CampaignOptions", "CampaignResult", "run_campaign"),
    "api.object_images": ("ObjectImages", "SparsePixels", "make_images"),
    "api.prediction": ("predict", "predict_batches"),
    "api.results": ("Results", "open_results"),
}


if not TYPE_CHECKING:  # who would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name.startswith("__") or name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = next((module for module, names in _MODULES.items() if name in names), "errors")
        found = getattr(import_module(f"{__name__}.{module}"), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return [*__all__]  # `list` may be the verb's module


#: What every part of this package needs; where one is missing, nobody installed the rest either.
_PACKAGES = ("numpy", "pyarrow", "pydantic", "rich", "uproot")
if missing := [name for name in _PACKAGES if find_spec(name) is None]:
    from e2edist.install_hint import missing_packages

    if sys.argv[:1] == ["-m"]:
        sys.stderr.write(f"e2edist: {missing_packages(missing)}\n")
        sys.exit(2)
    raise ImportError(missing_packages(missing))

if sys.argv[:1] == ["-m"]:  # python -m e2edist.VERB, which has imported nothing but this yet
    # Until the verb answers signals itself (`e2edist.cli.signals`), there is nothing to end in good order.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(130))
