"""From events to the sparse images of a tagger's objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from e2edist.config.tagger import TaggerSpec
from e2edist.imaging import layers
from e2edist.imaging.crops import Crops, Window, cut
from e2edist.imaging.event_batch import (
    NOT_GIVEN,
    OBJECT_KINDS,
    TABLES,
    Array,
    Columns,
    EventBatch,
    Ragged,
    layer_of,
)
from e2edist.imaging.hits import Hits
from e2edist.imaging.objects import Objects, collect
from e2edist.imaging.seeds import NAN, OK, Seeds, cut_objects
from e2edist.imaging.select_events import select

#: Key of the frames that seeds are looked for in.
_SEED = "seed"


@dataclass(frozen=True, slots=True)
class Candidates:
    """All objects of a range of events.

    Attributes
    ----------
    objects : Objects
    status : int8, shape (objects,)
        Index into `seeds.STATUSES` after the kinematic cuts.
    """

    objects: Objects
    status: Array


@dataclass(frozen=True, slots=True)
class Images:
    """The objects of a range of events and the images of the accepted ones.

    Attributes
    ----------
    objects : Objects
        All candidates.
    seeds : Seeds
        Status and crop centre of each object.
    crops : Crops
        One per object with status ok, in the order of the objects.
    """

    objects: Objects
    seeds: Seeds
    crops: Crops

    @property
    def accepted(self) -> Array:
        """Mask of the objects that have an image, bool, shape (objects,)."""
        return np.asarray(self.seeds.status == OK)


def find_candidates(batch: EventBatch, tagger: TaggerSpec) -> Candidates:
    """Return all objects of `batch` and what the kinematic cuts say of them."""
    objects = collect(batch, tagger.objects.kinds)
    cuts = (tagger.objects.pt_min, tagger.objects.eta_max, tagger.seed.definition.closed)
    # The file may say where an object is and not its momentum: what is not known is not cut on.
    placed = objects["seed_row"] >= 0
    unknown = {"pt": np.finfo("f4").max, "eta": np.float32(0), "phi": np.float32(0)}
    pt, eta, phi = (
        np.where(placed & np.isnan(objects[name]), value, objects[name]) for name, value in unknown.items()
    )
    return Candidates(objects, cut_objects(pt, eta, phi, *cuts))


def make_frames(batch: EventBatch, candidates: Candidates, tagger: TaggerSpec) -> dict[str, Hits]:
    """Return the sparse frames that crops and seeds of `tagger` need, each made once.

    Events in which no object passes the cuts have empty ones: nobody will look at them.
    """
    wanted = np.zeros(batch.events, np.bool_)
    wanted[candidates.objects.event[candidates.status == OK]] = True
    batch = select(batch, wanted, but=OBJECT_KINDS)
    frames = {
        name: layers.fill(batch, name, tagger.fill_options)
        for name in dict.fromkeys(channel.layer for channel in tagger.channels)
    }
    seed = tagger.seed.definition.layer
    same = [hits for name, hits in frames.items() if layers.LAYERS[name] is seed]
    return frames | {_SEED: same[0] if same else seed.fill(batch, tagger.fill_options)}


def cut_images(candidates: Candidates, frames: dict[str, Hits], tagger: TaggerSpec) -> Images:
    """Return objects, seeds and crops of all `candidates` from their `frames`."""
    objects, seeds = candidates.objects, _find_seeds(candidates, frames, tagger)
    ok = seeds.status == OK
    centres = (objects.event[ok], seeds.row[ok], seeds.col[ok])
    channels = [frames[channel.layer] for channel in tagger.channels]
    return Images(objects, seeds, cut(channels, centres, Window(tagger.crop.frame, tagger.crop.size)))


def make_images(batch: EventBatch, tagger: TaggerSpec) -> Images:
    """Return objects, seeds and crops of all events of `batch`."""
    candidates = find_candidates(batch, tagger)
    return cut_images(candidates, make_frames(batch, candidates, tagger), tagger)


def _find_seeds(candidates: Candidates, frames: dict[str, Hits], tagger: TaggerSpec) -> Seeds:
    objects, method, parameters = candidates.objects, tagger.seed.definition, tagger.seed.parameters
    directions = (objects.event, objects["eta"], objects["phi"])
    on_grid = (objects.kind == OBJECT_KINDS.index("jet")) == (tagger.crop.frame == "ECAL")
    given = on_grid & (objects["seed_row"] != NOT_GIVEN)
    if method.take_given is None or not given.any():
        return method.find(frames[_SEED], directions, candidates.status, **parameters)
    said = method.take_given(candidates.status, objects["seed_row"], objects["seed_col"], **parameters)
    # Objects of any other status than ok are not looked for.
    status = np.where(given, np.int8(NAN), candidates.status)
    looked = method.find(frames[_SEED], directions, status, **parameters)
    pairs = ((said.status, looked.status), (said.row, looked.row), (said.col, looked.col))
    return Seeds(*(np.where(given, one, other) for one, other in pairs))


def empty_batch(columns: Columns) -> EventBatch:
    """Return a batch of one event without any hit in it: compiles the kernels and costs no read."""
    tables = {
        table: Ragged(np.zeros(2, np.int64), {name: np.zeros(0, TABLES[table][name]) for name in names})
        for table, names in columns.items()
        if not layer_of(table)
    }
    return EventBatch(0, 1, tables)
