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
from e2edist.imaging.event_batch import OBJECT_KINDS, Array
from e2edist.records.chunk import Chunk
from e2edist.records.folder import CampaignFolder
from e2edist.records.parts import read_columns
from e2edist.records.plan import Plan
from e2edist.worker.images import make_images
from e2edist.worker.run_chunk import TaskContext, read_chunk

from .names import UNKNOWN, class_name

#: Enough for a picture; so many objects are looked at, so many painted at a time.
OBJECTS = 2000
_STEP = 64


#: Kind of object and class, or side of a score where truth is unknown.
Group = tuple[str, str]


@dataclass(slots=True)
class MeanImages:
    """Mean images.

    Attributes
    ----------
    layers : tuple of str
        Of the channels.
    images : dict of Group to array, float64, shape (channels, n, n)
        Sum of raw images in the units of the layers; divided by `counts` at the end.
    counts : dict of Group to int
        Images of each.
    problem : str
        Why there are none, or not more.
    """

    layers: tuple[str, ...]
    images: dict[Group, Array] = field(default_factory=dict)
    counts: dict[Group, int] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Grouping:
    """How objects are put into groups: by class, or by a score where truth is unknown.

    Attributes
    ----------
    classes : tuple of str
        What labels are called.
    column : str
        Score that divides objects without truth.
    middle : float
        Where it divides them.
    """

    classes: tuple[str, ...]
    column: str
    middle: float

    def names(self, folder: Path, chunk: Chunk, labels: Array) -> Array:
        """Return the group of each accepted object of a chunk, and what it is called."""
        if (labels >= 0).any():
            return np.array([class_name(int(label), self.classes) for label in labels])
        rows: Any = read_columns(CampaignFolder(folder).part(chunk.id), [self.column])
        scores = rows[self.column].drop_null().to_numpy()
        sides = (f"{self.column} {sign} {self.middle:.3g}" for sign in ("<", "≥"))
        return np.where(scores < self.middle, *sides)

    def order(self, group: Group) -> tuple[bool, int, str]:
        """Return where a group stands among those of its kind: known classes first, as labels are."""
        name = group[1]
        number = self.classes.index(name) if name in self.classes else len(self.classes)
        return name == class_name(UNKNOWN, self.classes), number, name


def make_mean_images(folder: Path, plan: Plan, parts: list[Chunk], grouping: Grouping) -> MeanImages:
    """Return the mean image of each group of objects.

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
            _add(result, folder, chunk, job, grouping)
        except E2EError as error:
            result.problem = f"{chunk.url} can't be read again here: {error.what}"
            break
    ordered = sorted(result.images, key=lambda g: (OBJECT_KINDS.index(g[0]), *grouping.order(g)))
    result.images = {group: result.images[group] / result.counts[group] for group in ordered}
    return result


def _add(result: MeanImages, folder: Path, chunk: Chunk, job: TaskContext, grouping: Grouping) -> None:
    batch = read_chunk(chunk, job)
    images = make_images(batch, job.tagger)
    objects, accepted = images.objects, images.accepted
    names = grouping.names(folder, chunk, objects["label"][accepted])
    groups = np.array([f"{OBJECT_KINDS[k]}\n{n}" for k, n in zip(objects.kind[accepted], names, strict=True)])
    crops, zeros = images.crops, np.zeros(images.crops.channels, np.float32)
    rule = Normalisation(zeros, zeros + 1, zeros)
    out = blank(_STEP, crops, rule)
    for start in range(0, min(crops.objects, OBJECTS), _STEP):
        stop = min(start + _STEP, crops.objects)
        paint(crops, start, stop, rule, out)
        for text in np.unique(groups[start:stop]):
            chosen = out[: stop - start][groups[start:stop] == text]
            kind, _, name = str(text).partition("\n")
            total = result.images.get((kind, name), 0.0) + chosen.sum(axis=0, dtype=np.float64)
            result.images[kind, name] = total
            result.counts[kind, name] = result.counts.get((kind, name), 0) + len(chosen)
        paint(crops, start, stop, rule, out, clear=True)
