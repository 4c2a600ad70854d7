"""Do the pools agree? One chunk that a pool has done is scored again on each pool of another kind.

A GPU and a CPU may give different scores for the same image, by a wrong driver, a fused kernel, TF32. A
campaign over both must not find out afterwards, so the first chunk that ends is the sample; or one of an
earlier run, where the campaign goes on elsewhere.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from e2edist.config.site import PoolSpec
from e2edist.engines import engine_options
from e2edist.errors import CampaignError
from e2edist.plugins import as_bug, is_bug
from e2edist.pools import Pool, TaskOutcome
from e2edist.records.chunk import Chunk
from e2edist.records.folder import CampaignFolder
from e2edist.records.parts import read_columns
from e2edist.records.receipt import Receipt
from e2edist.worker.clock import Clock
from e2edist.worker.images import make_images
from e2edist.worker.run_chunk import context_of, read_chunk, score_images

log = logging.getLogger(__name__)

#: Receipts of earlier runs that are looked at, about so many: there may be hundreds of thousands.
_LOOKED_AT = 200
#: A comparison that fails so often is given up, and told.
_TRIES = 3
#: Whose scores a sample of this run has.
_OTHER = "another pool"
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
    try:
        return _compare(key, chunk, part)
    except Exception as error:
        if not is_bug(error):
            raise
        raise as_bug(error) from None  # with its place, which does not travel otherwise


def _compare(key: str, chunk: Chunk, part: bytes) -> dict[str, float]:
    job = context_of(key)
    images = make_images(read_chunk(chunk, job), job.tagger)
    _, scores = score_images(images, job, Clock())
    place = CampaignFolder(Path(job.folder)).part(chunk.id)
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


def job_key(fingerprint: str, folder: Path, pool: str) -> str:
    """Return what names the job of a pool on workers, which may serve the same plan in another folder too."""
    place = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:12]
    return f"{fingerprint}:{place}:{pool}"


@dataclass(slots=True)
class CrossPoolCheck:
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
    _sample: tuple[Chunk, str, str] | None = None
    _asked: set[str] = field(default_factory=set)
    _used: set[str] = field(default_factory=set)
    _failed: Counter[str] = field(default_factory=Counter)

    def note(self, key: str, chunk: Chunk, receipt: Receipt) -> None:
        """Note that a pool has done a chunk; the first one with scores is the sample."""
        self._used.add(key)
        if self._sample is None and receipt.status.get("ok"):
            self._sample = (chunk, self.kinds[key], _OTHER)

    def note_earlier(self, done: Mapping[str, Receipt]) -> None:
        """Take a chunk of an earlier run as the sample, if what ran the model there is not at hand now."""
        for name in list(done)[:: 1 + len(done) // _LOOKED_AT]:
            receipt = done[name]
            kind = receipt.engine.get("kind", "")
            if kind not in ("", *self.kinds.values()) and receipt.status.get("ok"):
                self._sample = (receipt.chunk, kind, f"an earlier run on {kind} (part {receipt.id})")
                return

    def ask(self, key: str, pool: Pool) -> bool:
        """Submit the comparison to a pool that owes one; return whether it did."""
        if self._sample is None or not self._differs(key) or key in self._asked:
            return False
        chunk, *_ = self._sample
        self._asked.add(key)
        folder = self.far.get(key)
        part = CampaignFolder(folder).part(chunk.id).read_bytes() if folder else b""
        pool.submit(f"{_TAG}{pool.name}", rescore, key, chunk, part)
        return True

    def _differs(self, key: str) -> bool:
        return self._sample is not None and self.kinds[key] != self._sample[1]

    def owes(self, key: str, slots: int) -> bool:
        """Return whether a pool that has done chunks, and has threads still, was not asked to compare."""
        return slots > 0 and key in self._used and self._differs(key) and key not in self._asked

    def owns(self, tag: str) -> bool:
        """Whether a tag is a comparison's."""
        return tag.startswith(_TAG)

    def settle(self, key: str, pool: Pool, outcome: TaskOutcome) -> None:
        """Note the outcome of a comparison; one that failed or was lost is asked again, some times.

        Raises
        ------
        CampaignError
            The pools disagree.
        """
        if outcome.kind != "done":
            log.warning("pool %s: its scores could not be compared: %s", pool.name, outcome.error)
            self._failed[key] += 1
            if outcome.kind == "error" and self._sample and self._sample[2] != _OTHER:
                self._sample = None  # the file of an earlier run may be gone: the next chunk will do
            if self._failed[key] < _TRIES:
                self._asked.discard(key)
            return
        # numpy's maximum keeps a NaN, Python's may lose it.
        worst = float(np.max(list(outcome.value.values()), initial=0.0))
        self.found[pool.name] = worst
        if not worst <= self.max_abs:
            columns = ", ".join(f"{name} by {value:.3g}" for name, value in outcome.value.items())
            whose = self._sample[2] if self._sample else _OTHER
            what = f"scores differ from those of {whose}: {columns}, {self.max_abs:.3g} is allowed"
            todo = (
                "Validate the model on both devices; [tolerance] of the tagger sets the limit. Delete the "
                "parts of the wrong one (timing.parquet names their pools), or choose another --output."
            )
            raise CampaignError(f"pool {pool.name}", what, todo)


def make_cross_pool_check(
    max_abs: float, where: tuple[str, Path], pools: Mapping[str, PoolSpec], done: Mapping[str, Receipt]
) -> CrossPoolCheck:
    """Return what compares pools, with each other and with those of earlier runs.

    Parameters
    ----------
    where : (str, Path)
        Fingerprint of the plan, and the campaign's folder.
    done : mapping of str to Receipt
        What is done already.
    """
    keys = {job_key(*where, name): pool for name, pool in pools.items()}
    kinds = {key: engine_options(pool).kind for key, pool in keys.items()}
    far = {key: where[1] for key, pool in keys.items() if not pool.job.shared_disk}
    overlap = CrossPoolCheck(max_abs, kinds, far)
    overlap.note_earlier(done)
    return overlap
