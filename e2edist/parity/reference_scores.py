"""Reference scores: kept in a file beside the model, or made by the framework that the model comes from."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from e2edist.config.tagger import TaggerSpec
from e2edist.engines import image_shape
from e2edist.errors import ConfigError, InputError
from e2edist.imaging.crops import Crops, take
from e2edist.imaging.event_batch import Array
from e2edist.records.folder import CampaignFolder
from e2edist.storage.publish import publish

from .reference_objects import ReferenceObjects, from_crops
from .static_checks import weight_digests

#: What a saved reference beside ``m.onnx`` is called: ``m.reference.npz``.
ENDING = ".reference.npz"
_KEYS = "it needs scores, and images or the sparse crops that e2edist writes"


@dataclass(frozen=True, slots=True)
class Reference:
    """Scores that serve as the reference.

    Attributes
    ----------
    objects : ReferenceObjects
    scores : float64, shape (objects, columns)
        As the tagger's columns, activations applied.
    facts : mapping of str to str
        What made them: ``by``, versions.
    weights : tuple of str
        `static.weight_digests` of the model that has them, where that is known.
    """

    objects: ReferenceObjects
    scores: Array
    facts: Mapping[str, str]
    weights: tuple[str, ...] = ()


def reference_path(model: str) -> Path:
    """Return where the reference of an ONNX file is looked for."""
    return Path(model).with_suffix(ENDING)


def save_reference(path: Path, tagger: TaggerSpec, reference: Reference) -> None:
    """Write reference objects as sparse crops with the names of their layers, and their scores.

    Raises
    ------
    OutputError
        The file can't be written.
    """
    crops = reference.objects.crops
    if crops is None:
        raise ValueError("only sparse reference objects can be saved")
    content: dict[str, Any] = {
        "offsets": crops.offsets.astype(np.int32),
        "steps": np.diff(crops.pixel, prepend=np.int32(0)),  # towers are runs of pixels: steps pack well
        "value": crops.value,
        "size": crops.size,
        "layers": [channel.layer for channel in tagger.channels],
        "label": reference.objects.label.astype(np.int8),
        "scores": reference.scores,
        "facts": json.dumps(dict(reference.facts)),
        "weights": list(weight_digests(tagger.model.path)),
    }
    with publish(path) as draft, draft.open("wb") as stream:
        np.savez_compressed(stream, **content)


#: What numpy and json raise on arrays of other shapes, types and names than a reference has.
_MALFORMED = (ValueError, TypeError, KeyError, IndexError, AttributeError)


def load_reference(path: Path, tagger: TaggerSpec, objects: ReferenceObjects | None) -> Reference:
    """Return the reference of a file.

    Parameters
    ----------
    path : Path
        ``.parquet``, or the output folder of a campaign: rows (uuid, entry, kind, object, scores) for objects
        of `objects`. ``.npz``: ``scores`` (objects, columns), with the crops that `save_reference` writes, or
        ``images`` as the model takes them, or neither, in the order of `objects`.
    objects : ReferenceObjects, optional
        Objects of the user's files.

    Raises
    ------
    InputError
        Not such a file, or it does not fit the tagger or the reference objects.
    """
    if path.suffix == ".parquet" or path.is_dir():
        return _from_table(path, tagger, objects)
    try:
        return _from_arrays(path, tagger, objects)
    except (OSError, EOFError, zipfile.BadZipFile, *_MALFORMED) as error:
        raise InputError(str(path), f"can't be read as a reference ({error})", f"As .npz {_KEYS}.") from error


def _from_arrays(path: Path, tagger: TaggerSpec, objects: ReferenceObjects | None) -> Reference:
    with np.load(path, allow_pickle=False) as stored:
        content = {name: stored[name] for name in stored.files}
    if "scores" not in content:
        raise InputError(str(path), f"is no reference: {_KEYS}")
    scores = np.asarray(content["scores"], np.float64)
    facts = json.loads(str(content["facts"])) if "facts" in content else {"by": path.name}
    if not scores.size:
        raise InputError(str(path), "has no scores", "Save those of some hundred objects.")
    if bad := int(np.count_nonzero(~np.isfinite(scores))):
        what = f"{bad} of its {scores.size} scores are NaN or infinite"
        raise InputError(
            str(path), what, "NaN or infinite scores can't serve as a reference: leave these objects out."
        )
    found = _objects(path, tagger, objects, content)
    scores = scores.reshape(len(scores), -1)
    if not len(scores) == len(found) == len(found.label):
        raise InputError(str(path), f"has scores of {len(scores)} objects, there are {len(found)}")
    return Reference(found, scores, facts, tuple(map(str, content.get("weights", ()))))


def _objects(
    path: Path, tagger: TaggerSpec, objects: ReferenceObjects | None, content: dict[str, Array]
) -> ReferenceObjects:
    count = len(np.atleast_1d(content["scores"]))
    label = content.get("label", np.full(count, -1, np.int32)).astype(np.int32)
    if "images" in content:
        images = content["images"].astype(np.float32)
        if images.shape[1:] != image_shape(tagger):
            what = f"has images of shape {images.shape[1:]}, the tagger makes {image_shape(tagger)}"
            raise InputError(str(path), what, "Save them as the model takes them, one row an object.")
        return ReferenceObjects(images, label, [], path.name)
    if "steps" not in content:
        if objects is None:
            todo = "Name the files of its objects with --input, or store the images too."
            raise InputError(str(path), "has scores and no images", todo)
        return objects
    layers, wanted = [str(name) for name in content["layers"]], [c.layer for c in tagger.channels]
    if missing := sorted(set(wanted) - set(layers)):
        raise InputError(str(path), f"has no layer {', '.join(missing)}; it has {', '.join(layers)}")
    size = int(content["size"])
    if size != tagger.crop.size:
        raise InputError(str(path), f"has crops of {size} pixels, the tagger of {tagger.crop.size}")
    pixel = np.cumsum(content["steps"], dtype=np.int32)
    crops = Crops(content["offsets"].astype(np.int64), pixel, content["value"], len(layers), size)
    # By name, so that a tagger whose channels are in another order than the model's is found out.
    crops = take(crops, range(crops.objects), [layers.index(name) for name in wanted])
    return from_crops(tagger, crops, label, path.name)


def _from_table(path: Path, tagger: TaggerSpec, objects: ReferenceObjects | None) -> Reference:
    import pyarrow as pa
    import pyarrow.dataset as ds

    if objects is None or not objects.keys:
        raise InputError(str(path), "is a table of scores by object", "Name the objects' files with --input.")
    named = [column for output in tagger.outputs for column in output.columns]
    if not named:
        raise ConfigError("tagger", "names no score columns", "Name them under [[outputs]].")
    keys = ("uuid", "entry", "kind", "object")
    parts = CampaignFolder(path).predictions
    try:
        stored = ds.dataset((parts if parts.is_dir() else path).absolute(), format="parquet")
        if missing := sorted({*keys, *named} - set(stored.schema.names)):
            raise InputError(
                str(path), f"has no column {', '.join(missing)}", "Name rows as in a campaign's parts."
            )
        # A campaign may be large, the reference objects are of its first entries.
        ours = ds.field("uuid").isin({key[0] for key in objects.keys})
        near = ds.field("entry") <= max(key[1] for key in objects.keys)
        table = stored.to_table(columns=[*keys, *named], filter=ours & near)
    except (OSError, pa.ArrowException) as error:
        raise InputError(str(path), f"can't be read as Parquet ({error})") from error
    rows = zip(*(table[name].to_pylist() for name in (*keys, *named)), strict=True)
    known = {row[:4]: row[4:] for row in rows if None not in row}
    take = [i for i, key in enumerate(objects.keys) if key in known]
    if not take:
        raise InputError(str(path), "has scores of none of the objects", "Take it from the files of --input.")
    scores = np.array([known[objects.keys[i]] for i in take], np.float64)
    some = ReferenceObjects(
        objects.images[take], objects.label[take], [objects.keys[i] for i in take], objects.origin
    )
    return Reference(some, scores, {"by": path.name})


def as_columns(outputs: Sequence[Array], tagger: TaggerSpec) -> Array:
    """Return outputs, in the tagger's order, as score columns: float64, shape (objects, columns)."""
    activations = [spec.activation for spec in tagger.outputs] or ["none"] * len(outputs)
    if len(activations) != len(outputs):
        what = f"the model gives {len(outputs)} outputs, the tagger names {len(activations)}"
        raise ConfigError("outputs", what, "Correct [[outputs]] of the tagger file.")
    parts = []
    for output, activation in zip(outputs, activations, strict=True):
        x = np.asarray(output, np.float64).reshape(len(output), -1)
        with np.errstate(over="ignore", invalid="ignore"):
            if activation == "sigmoid":
                x = 1 / (1 + np.exp(-x))
            elif activation == "softmax":
                x = np.exp(x - x.max(axis=1, keepdims=True))
                x = x / x.sum(axis=1, keepdims=True)
        parts.append(x)
    return np.concatenate(parts, axis=1)
