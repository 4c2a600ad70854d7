"""What to validate: a tagger with its model, or a model alone, for which a stand-in tagger is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from e2edist.config.model_files import model_files
from e2edist.config.tagger import TaggerSpec, load_tagger, packaged
from e2edist.config.toml_models import parse
from e2edist.engines import cpu_session
from e2edist.errors import ModelError

_TODO = "Name the tagger that it belongs to with --tagger."
#: Longest side of a crop.
_LARGEST = 360


def packaged_tagger_of(model: Path) -> str | None:
    """Return the name of the packaged tagger whose model has the content of this file."""
    found = model_files(model, "Name an ONNX file.").identity
    return next((name for name in packaged() if load_tagger(name).model.sha256 == found), None)


def stand_in(model: Path) -> TaggerSpec:
    """Return a tagger whose images have the shape that a model takes; its layers mean nothing.

    Raises
    ------
    ModelError
        The model does not load, or takes no square images.
    """
    inputs = cpu_session(str(model), str(model)).get_inputs()
    if len(inputs) != 1:
        names = ", ".join(f"{item.name} {item.shape}" for item in inputs) or "none"
        what = f"has {len(inputs)} inputs, the images must be the only one: {names}"
        raise ModelError(str(model), what, "Export it with one image input.")
    layout, channels, size = _image(model, inputs[0])
    content: dict[str, Any] = {
        "name": "unnamed",
        "module": "Unnamed",
        "objects": {"kinds": ["jet"], "pt_min": 0.0, "eta_max": 2.4},
        "seed": {"method": "hcal_tower"},
        "crop": {"frame": "ECAL", "size": size},
        "channels": [{"layer": "ECAL_energy"}] * channels,
        "model": {"path": str(model), "layout": layout},
    }
    spec = parse(TaggerSpec, content, str(model))
    files = model_files(model)
    place = files.path if files.external else model.resolve()
    resolved = spec.model.model_copy(update={"path": str(place), "sha256": files.identity})
    return spec.model_copy(update={"model": resolved})


def _image(model: Path, item: Any) -> tuple[str, int, int]:
    """Return layout, channels and size of a model's input."""
    shape, shown = list(item.shape), f"input {item.name} has shape {item.shape}"
    if len(shape) != 4:
        raise ModelError(str(model), f"{shown}: not a batch of images", "Export it with [batch, C, n, n].")
    if not all(isinstance(number, int) for number in shape[1:]):
        raise ModelError(str(model), f"{shown}: its images have no fixed size", _TODO)
    _, a, b, c = shape
    if b == c:
        layout, channels, size = "NCHW", a, b
    elif a == b:
        layout, channels, size = "NHWC", c, a
    else:
        raise ModelError(str(model), f"{shown}: images must be square", "Export it with [batch, C, n, n].")
    if size > _LARGEST:
        raise ModelError(str(model), f"{shown}: images of {size} pixels, the detector has {_LARGEST}")
    return layout, channels, size
