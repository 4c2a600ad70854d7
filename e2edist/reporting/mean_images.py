"""Mean images, made again from some of the inputs: images are not kept in the parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from e2edist.config.tagger import TaggerSpec
from e2edist.config.toml_models import parse
from e2edist.engines import EngineOptions
from e2edist.errors import E2EError
from e2edist.imaging.crops import Normalisation, blank, paint
from e2edist.imaging.event_batch import Array
from e2edist.records.chunk import Chunk
from e2edist.records.folder import CampaignFolder
from e2edist.records.parts import read_columns
from e2edist.records.plan import Plan
from e2edist.worker.images import make_images
from e2edist.worker.run_chunk import TaskContext, read_chunk

#: Enough for a picture; so many objects are looked at, so many painted at a time.
OBJECTS = 2000
_STEP = 64


@dataclass(slots=True)
class MeanImages:
    """Mean images.

    Attributes
    ----------
    layers : tuple of str
        Of the channels.
    images : dict of str to array, float64, shape (channels, n, n)
        Class or score bin -> sum of raw images in GeV (or the layer's unit); divided by `counts` at the end.
    counts : dict of str to int
        Images of each.
    trouble : str
        Why there are none, or not more.
    """

    layers: tuple[str, ...]
    images: dict[str, Array] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    problem: str = ""


def make_mean_images(folder: Path, plan: Plan, parts: list[Chunk], column: str, middle: float) -> MeanImages:
    """Return the mean image of each class, or below and above `middle` of a score where truth is unknown.

    Parameters
    ----------
    parts : list of Chunk
        Those that are done; a few of them are read again.
    """
    content = {key: value for key, value in plan.tagger.items() if key not in ("imaging_version", "geometry")}
    content["model"] = content["model"] | {"path": ""}
    tagger = parse(TaggerSpec, content, str(CampaignFolder(folder).plan))
    result = MeanImages(tuple(channel.layer for channel in tagger.channels))
    job = TaskContext(tagger, plan.fingerprint, str(folder), "", EngineOptions(), lumi_mask=plan.lumi_mask)
    for chunk in parts:
        if sum(result.counts.values()) >= OBJECTS:
            break
        try:
            _add(result, folder, chunk, job, (column, middle))
        except E2EError as error:
            result.problem = f"{chunk.url} can't be read again here: {error.what}"
            break
    result.images = {name: total / result.counts[name] for name, total in result.images.items()}
    return result


def _add(result: MeanImages, folder: Path, chunk: Chunk, job: TaskContext, split: tuple[str, float]) -> None:
    batch = read_chunk(chunk, job)
    images = make_images(batch, job.tagger)
    groups = _groups(folder, chunk, split, images.objects["label"][images.accepted])
    crops, zeros = images.crops, np.zeros(images.crops.channels, np.float32)
    rule = Normalisation(zeros, zeros + 1, zeros)
    out = blank(_STEP, crops, rule)
    for start in range(0, min(crops.objects, OBJECTS), _STEP):
        stop = min(start + _STEP, crops.objects)
        paint(crops, start, stop, rule, out)
        for name in np.unique(groups[start:stop]):
            chosen = out[: stop - start][groups[start:stop] == name]
            result.images[str(name)] = result.images.get(str(name), 0.0) + chosen.sum(
                axis=0, dtype=np.float64
            )
            result.counts[str(name)] = result.counts.get(str(name), 0) + len(chosen)
        paint(crops, start, stop, rule, out, clear=True)


def _groups(folder: Path, chunk: Chunk, split: tuple[str, float], labels: Array) -> Array:
    """Return to which mean each accepted object belongs."""
    if (labels >= 0).any():
        return np.array([f"label {label}" if label >= 0 else "truth unknown" for label in labels])
    column, middle = split
    rows: Any = read_columns(CampaignFolder(folder).part(chunk.id), [column])
    scores = rows[column].drop_null().to_numpy()
    return np.where(scores < middle, f"{column} < {middle:.3g}", f"{column} >= {middle:.3g}")
