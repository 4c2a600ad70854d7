"""Do the pools agree? One chunk that a pool has done is scored again on each pool of another kind.

A GPU and a CPU may give different scores for the same image, by a wrong driver, a fused kernel, TF32. A
campaign over both must not find out afterwards, so the first chunk that ends is the sample.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from e2edist.errors import CampaignError
from e2edist.pools import Outcome, Pool
from e2edist.records.chunk import Chunk
from e2edist.records.receipt import Receipt
from e2edist.storage.parts import read_columns

from .chunk import PREDICTIONS, job_of, read_chunk, score
from .clock import Clock
from .images import make_images

#: Tags of tasks that compare start so; no chunk's id does.
_TAG = "overlap "


def rescore(key: str, chunk: Chunk, part: bytes) -> dict[str, float]:
    """Score a chunk again with the job `key`, and compare with the part that is there.

    Parameters
    ----------
    part : bytes
        The part where the worker does not see it; empty: it does.

    Returns
    -------
    dict
        Score column -> largest absolute difference; NaN only where one of the two is NaN.
    """
    job = job_of(key)
    images = make_images(read_chunk(chunk, job), job.tagger)
    _, scores = score(images, job, Clock())
    place = Path(job.folder) / PREDICTIONS / f"{chunk.id}.parquet"
    before = pq.read_table(io.BytesIO(part), columns=[*scores]) if part else read_columns(place, [*scores])
    differences = {}
    for name, ours in scores.items():
        theirs = before.column(name).drop_null().to_numpy()
        both = np.isnan(ours) & np.isnan(theirs) if ours.dtype.kind == "f" else np.zeros(len(ours), bool)
        distance = np.abs(ours.astype(np.float64) - theirs)[~both]
        # As in the parity gate: scores beyond 1 count relative to their largest.
        scale = max(1.0, float(np.abs(theirs[np.isfinite(theirs)]).max(initial=0.0)))
        differences[name] = float(distance.max(initial=0.0)) / scale
    return differences


@dataclass(slots=True)
class Overlap:
    """Which pools are compared with which, and what came out.

    Attributes
    ----------
    max_abs : float
        Largest difference of a score that is no disagreement.
    kinds : dict of str to str
        Job key -> what runs the model; pools of one kind are not compared.
    far : dict of str to Path
        Job key -> the campaign's folder, for pools whose workers don't see it.
    found : dict of str to float
        Pool -> largest difference of its scores from the sample's.
    """

    max_abs: float
    kinds: dict[str, str]
    far: dict[str, Path] = field(default_factory=dict)
    found: dict[str, float] = field(default_factory=dict)
    _sample: tuple[Chunk, str] | None = None
    _asked: set[str] = field(default_factory=set)

    def note(self, key: str, chunk: Chunk, receipt: Receipt) -> None:
        """Take the first chunk with scores as the sample."""
        if self._sample is None and receipt.status.get("ok"):
            self._sample = (chunk, key)

    def ask(self, key: str, pool: Pool) -> bool:
        """Submit the comparison to a pool that owes one; return whether it did."""
        if self._sample is None or key in self._asked:
            return False
        chunk, first = self._sample
        if self.kinds[key] == self.kinds[first]:
            return False
        self._asked.add(key)
        folder = self.far.get(key)
        part = (folder / PREDICTIONS / f"{chunk.id}.parquet").read_bytes() if folder else b""
        pool.submit(f"{_TAG}{pool.name}", rescore, key, chunk, part)
        return True

    def owns(self, tag: str) -> bool:
        """Whether a tag is a comparison's."""
        return tag.startswith(_TAG)

    def settle(self, key: str, pool: Pool, outcome: Outcome) -> None:
        """Note the outcome of a comparison; one that was lost is asked again.

        Raises
        ------
        CampaignError
            The pools disagree.
        """
        if outcome.kind != "done":
            self._asked.discard(key)
            return
        # numpy's maximum keeps a NaN, Python's may lose it.
        worst = float(np.max(list(outcome.value.values()), initial=0.0))
        self.found[pool.name] = worst
        if not worst <= self.max_abs:
            columns = ", ".join(f"{name} by {value:.3g}" for name, value in outcome.value.items())
            what = f"scores differ from those of another pool: {columns}, {self.max_abs:.3g} is allowed"
            todo = "Validate the model on both devices; [tolerance] of the tagger sets the limit."
            raise CampaignError(f"pool {pool.name}", what, todo)
