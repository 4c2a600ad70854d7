"""Scoring a chunk again, to compare this worker's scores with those of the part that is there."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from e2edist.plugins import as_bug, is_bug
from e2edist.records.chunk import Chunk
from e2edist.records.folder import CampaignFolder
from e2edist.records.parts import read_columns

from .clock import Clock
from .images import make_images
from .run_chunk import context_of, read_chunk, score_images


def rescore(key: str, chunk: Chunk, part: bytes) -> dict[str, float]:
    """Score a chunk again with the task context `key`, and compare with its part.

    Parameters
    ----------
    part : bytes
        Content of the part, for workers that do not see the campaign's folder; else empty.

    Returns
    -------
    dict
        Score column -> largest absolute difference; NaN only where one of the two is NaN.
    """
    try:
        return _compare(key, chunk, part)
    except Exception as error:
        if not is_bug(error):
            raise
        raise as_bug(error) from None  # with its place, which does not travel otherwise


def _compare(key: str, chunk: Chunk, part: bytes) -> dict[str, float]:
    context = context_of(key)
    images = make_images(read_chunk(chunk, context), context.tagger)
    _, scores = score_images(images, context, Clock())
    path = CampaignFolder(Path(context.folder)).part(chunk.id)
    before = pq.read_table(io.BytesIO(part), columns=[*scores]) if part else read_columns(path, [*scores])
    differences = {}
    for name, ours in scores.items():
        theirs = before.column(name).drop_null().to_numpy()
        both = np.isnan(ours) & np.isnan(theirs) if ours.dtype.kind == "f" else np.zeros(len(ours), bool)
        distance = np.abs(ours.astype(np.float64) - theirs)[~both]
        # As `validate` does: scores beyond 1 count relative to their largest.
        scale = max(1.0, float(np.abs(theirs[np.isfinite(theirs)]).max(initial=0.0)))
        differences[name] = float(distance.max(initial=0.0)) / scale
    return differences
