"""Taggers: everything that decides a number, one TOML file each.

A tagger names its objects and cuts, the layers in channel order with their normalisation, the crop,
the model and the columns of its scores. Any ONNX model with one image input works by writing one.
"""

from __future__ import annotations

import hashlib
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PositiveInt, field_validator, model_validator

from e2edist.errors import ModelError, nearest, unknown_name
from e2edist.imaging.crops import Normalisation
from e2edist.imaging.event_batch import OBJECT_COLUMNS, OBJECT_KINDS, Columns
from e2edist.imaging.geometry import GEOMETRY
from e2edist.imaging.layers import IMAGING_VERSION, LAYERS, FillOptions
from e2edist.urls import given_path

from ._types import Finite, Fraction, NonNegative
from .model_files import model_files
from .model_names import names_for
from .seed import SeedSpec
from .toml_models import Spec, parse, read_toml

#: Columns that every part and table has (`e2edist.records.part_columns`): no score may take their names.
RESERVED = frozenset(
    {"uuid", "entry", "run", "lumi", "event", "kind", "object", "seed_row", "seed_col", "status"}
    | {"dataset", "file"}
    | OBJECT_COLUMNS.keys()
)


class ObjectsSpec(Spec):
    """Which candidates become objects (docs/images.md, Kinematic cuts)."""

    #: in the order of the rows of an event
    kinds: tuple[Literal["photon", "electron", "jet"], ...] = Field(min_length=1)
    #: objects below it have status pt; kept if equal
    pt_min: NonNegative
    #: objects beyond it have status eta; kept if equal for eb_hottest seeds, not for hcal_tower seeds
    eta_max: Annotated[Finite, Field(gt=0, lt=3)]
    #: kind, or tracks, vertices, EB, EE, HBHE -> collection labels, the first that a file has is taken
    collections: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @field_validator("collections")
    @classmethod
    def _known(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        known = (*OBJECT_KINDS, "tracks", "vertices", "EB", "EE", "HBHE")
        for key, labels in value.items():
            if key not in known:
                raise ValueError(f"no such kind {key!r}, {nearest(key, known)}")
            if not labels:
                raise ValueError(f"{key} has no label; without {key} those that formats know are taken")
            for label in labels:
                if not all(re.fullmatch(r"\S+", part) for part in label.split("+")):
                    raise ValueError(f"{key}: {label!r} is no label; nothing in it is empty or has spaces")
        return value


#: Parameters that are in every fingerprint; those of other methods are in those of their own taggers.
_FIRST_PARAMETERS = ("window_rows", "window_cols", "edge", "no_hit")


class CropSpec(Spec):
    """The n x n window, and the frame that it is cut from: EB (170x360) or ECAL (280x360)."""

    #: EB for eb_hottest seeds, ECAL for hcal_tower seeds
    frame: Literal["EB", "ECAL"]
    #: rows and columns of the window
    size: Annotated[PositiveInt, Field(le=360)]


class ChannelSpec(Spec):
    """One channel: a layer and what the training did to it: 0 if |x| < threshold, then x * scale + offset."""

    #: name of a layer
    layer: str
    #: smaller absolute values become 0; in the unit of the layer
    threshold: NonNegative = 0.0
    #: factor on what is left, so that the model gets what it was trained with
    scale: Finite = 1.0
    #: added at last, to empty pixels too
    offset: Finite = 0.0

    @field_validator("layer")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in LAYERS:
            raise ValueError(f"no such layer, {nearest(value, LAYERS)}")
        if LAYERS[value].grid == "EE":
            raise ValueError("endcap planes are whole frames, not part of a crop; use ECAL_energy")
        return value


class ModelSpec(Spec):
    """The network: an ONNX file, relative to the tagger file, and its one image input."""

    #: ONNX file
    path: str
    #: of the file, and of the files with its weights where it has such (`e2edist.config.model_files`)
    sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    #: name of the input; empty: the only one
    input: str = ""
    #: order of channels, rows and columns in the input
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    #: engine -> its own options that decide numbers, where it has such; part of the fingerprint if given
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)


class OutputSpec(Spec):
    """One output of the model: [batch] or [batch, k], as k columns of the results."""

    #: name of the output; empty: the only one
    name: str = ""
    #: names of its columns in the results
    columns: tuple[Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_]*$")], ...] = Field(min_length=1)
    #: applied to the output; softmax over its columns
    activation: Literal["none", "sigmoid", "softmax"] = "none"


class ToleranceSpec(Spec):
    """How far scores may be from the reference before ``validate`` fails the model.

    Decides no number, so it is not in the fingerprint. The defaults leave float32 a wide room for another
    order of additions (measured on the demo taggers, all CPU variants against float64: below 1e-6).
    """

    #: largest difference of a score of one object; of columns beyond 1, in units of their largest score
    max_abs: NonNegative = 1e-4
    #: mean difference over the objects
    max_mean: NonNegative = 1e-5
    #: smallest rank correlation (Spearman) over the objects
    min_rank: Annotated[Finite, Field(ge=-1, le=1)] = 0.999
    #: largest change of the area under the ROC curve, where truth is known
    max_auc_shift: Fraction = 0.001


class TaggerSpec(Spec):
    """A tagger: everything that decides a number, so all of it but texts and limits is in the fingerprint."""

    #: begins the names of its branches in friend trees
    name: Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")]
    #: for people; not part of the fingerprint
    description: str = ""
    #: CMSSW module that it stands for, the name of its stage in timing tables
    module: Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9]*$")]
    objects: ObjectsSpec
    seed: SeedSpec
    crop: CropSpec
    channels: tuple[ChannelSpec, ...] = Field(min_length=1)
    model: ModelSpec
    #: what the truth labels 0, 1 and so on are called in reports; not part of the fingerprint
    classes: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    #: in the model's order; empty: every output of the model, columns named after it
    outputs: tuple[OutputSpec, ...] = ()
    #: how far scores may be from the reference (`e2edist.parity`)
    tolerance: ToleranceSpec = ToleranceSpec()
    #: CMSSW quality bits, one of which a track must have: 4 high purity, 0 all tracks
    track_quality: Annotated[int, Field(ge=0, le=255)] = 4
    #: factor on EE energies
    endcap_factor: Finite = 1.0
    #: events of a chunk, about, unless the user says otherwise
    chunk_events: PositiveInt = 10_000
    #: images in one model call, unless the user, the pool or a profile says otherwise
    batch: PositiveInt = 32

    @model_validator(mode="after")
    def _consistent(self) -> TaggerSpec:
        faults = []
        seed, method = self.seed.definition, self.seed.method
        if self.crop.frame != seed.frame:
            faults.append(f"crop.frame must be {seed.frame} for seed.method {method}")
        if self.objects.eta_max > seed.eta_limit:
            faults.append(f"objects.eta_max must be at most {seed.eta_limit} for seed.method {method}")
        columns = [column for output in self.outputs for column in output.columns]
        if len(set(columns)) != len(columns):
            faults.append(f"outputs: column names must differ: {', '.join(columns)}")
        if taken := [column for column in columns if column.lower() in RESERVED]:
            faults.append(f"outputs: every table of results has these columns already: {', '.join(taken)}")
        if len(set(self.classes)) != len(self.classes):
            faults.append(f"classes: names must differ: {', '.join(self.classes)}")
        if len(self.outputs) > 1 and not all(output.name for output in self.outputs):
            faults.append("outputs: with several outputs, each needs its name")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def fill_options(self) -> FillOptions:
        """The options that layers are filled with."""
        return FillOptions(self.track_quality, self.endcap_factor)

    @property
    def normalisation(self) -> Normalisation:
        """What the training did to each channel, and the layout that the model takes."""
        threshold, scale, offset = (
            np.array([getattr(channel, name) for channel in self.channels], np.float32)
            for name in ("threshold", "scale", "offset")
        )
        return Normalisation(threshold, scale, offset, self.model.layout == "NHWC")

    @property
    def frame_module(self) -> str:
        """CMSSW module that cuts the crops, a stage of timing tables."""
        return self.seed.definition.module

    def columns(self) -> Columns:
        """Return the tables and columns that a format must read for this tagger."""
        needed: dict[str, frozenset[str]] = {}
        for layer in (self.seed.definition.layer, *(LAYERS[channel.layer] for channel in self.channels)):
            for table, names in layer.needed(self.fill_options).items():
                needed[table] = needed.get(table, frozenset()) | names
        return needed | {kind: frozenset(OBJECT_COLUMNS) for kind in self.objects.kinds}

    def identity(self) -> dict[str, Any]:
        """Return all that decides a number, as plain JSON values: the source of the fingerprint."""
        texts_and_limits = {"description", "classes", "tolerance", "chunk_events", "batch"}
        content = self.model_dump(mode="json", exclude=texts_and_limits)
        del content["model"]["path"]
        decides = {"method", *_FIRST_PARAMETERS, *self.seed.definition.parameters}
        content["seed"] = {key: value for key, value in content["seed"].items() if key in decides}
        if not self.model.options:  # fingerprints are as they were before there were any
            del content["model"]["options"]
        return content | {"imaging_version": IMAGING_VERSION, "geometry": GEOMETRY}

    def fingerprint(self) -> str:
        """Return the sha256 (hex) of `identity`."""
        text = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def packaged() -> dict[str, Path]:
    """Return tagger name -> file of the taggers that come with the package."""
    folder = Path(str(files("e2edist"))) / "taggers"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_tagger(name: str, model: str | None = None) -> TaggerSpec:
    """Return a tagger with the absolute path and the sha256 of its model.

    Parameters
    ----------
    name : str
        Name of a packaged tagger, or path of a TOML file.
    model : str, optional
        ONNX file to use in place of the tagger's own. What it calls its input and outputs counts with a
        packaged tagger; a TOML file must name them as they are, or leave them open.

    Raises
    ------
    ConfigError, UnknownNameError
        The file has faults, or there is no such tagger.
    ModelError
        The model is missing, or is not the one with the sha256 that the tagger names.
    """
    path = given_path(name, "--tagger") if name.endswith(".toml") else packaged().get(name)
    if path is None:
        raise unknown_name("tagger", name, packaged())
    content = read_toml(path)
    spec = parse(TaggerSpec, content, str(path))
    file = Path(model) if model is not None else path.parent / spec.model.path
    wanted = "" if model is not None else spec.model.sha256
    files = model_files(file, f"{path}: model.path names it." if model is None else "--model names it.")
    found = files.identity
    if wanted and found != wanted:
        which = f" with {', '.join(files.external)}" if files.external else ""
        raise ModelError(
            str(file), f"has sha256 {found}{which}, {path} names {wanted}", "Take the right file."
        )
    # The file itself, so that a link that is turned meanwhile changes nothing; weights are beside the link.
    place = files.path if files.external else file.resolve()
    resolved = spec.model.model_copy(update={"path": str(place), "sha256": found})
    spec = spec.model_copy(update={"model": resolved})
    return _take_names(spec, place) if model is not None and not name.endswith(".toml") else spec


def _take_names(tagger: TaggerSpec, model: Path) -> TaggerSpec:
    """Return a tagger of the package with the names of another `model` than its own.

    Outputs that are not as many, or as wide, as the tagger's become columns that are named after them. A
    model that has the tagger's own names changes nothing.
    """
    wanted = [(output.name, len(output.columns)) for output in tagger.outputs]
    found = names_for(model, tagger.model.input, wanted)
    if found is None:
        return tagger
    spec = tagger.model.model_copy(update={"input": found[0]})
    pairs = zip(tagger.outputs, found[1], strict=False)  # none if they don't fit
    outputs = tuple(output.model_copy(update={"name": name}) for output, name in pairs)
    return tagger.model_copy(update={"model": spec, "outputs": outputs})
