"""Do the pools agree? One chunk that a pool has done is scored again on each pool of another kind.

A GPU and a CPU may give different scores for the same image, by a wrong driver, a fused kernel, TF32. A
campaign over both must not find out afterwards, so the first chunk that ends is the sample; or one of an
earlier run, if the campaign continues on other hardware.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from e2edist.config.site import PoolSpec
from e2edist.engines import engine_options
from e2edist.errors import CampaignError
from e2edist.pools import Pool, TaskOutcome
from e2edist.records.chunk import Chunk
from e2edist.records.folder import CampaignFolder
from e2edist.records.receipt import Receipt
from e2edist.worker.rescore import rescore

log = logging.getLogger(__name__)

#: Receipts of earlier runs that are looked at, about so many: there may be hundreds of thousands.
_MAX_RECEIPTS = 200
#: A comparison that fails so often is given up, and reported.
_ATTEMPTS = 3
#: Whose scores a sample of this run has.
_OTHER_POOL = "another pool"
#: Tags of tasks that compare start so; no chunk's id does.
_TAG = "compare "


def context_key(fingerprint: str, folder: Path, pool: str) -> str:
    """Return the key of a pool's task context on workers, which may serve the plan in another folder too."""
    place = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:12]
    return f"{fingerprint}:{place}:{pool}"


@dataclass(frozen=True, slots=True)
class Sample:
    """A chunk that is done, what ran its model, and the words for that in a message."""

    chunk: Chunk
    kind: str
    origin: str


@dataclass(slots=True)
class CrossPoolCheck:
    """Which pools are compared with which, and what came out.

    Attributes
    ----------
    max_abs : float
        Largest difference of a score that is no disagreement.
    kinds : dict of str to str
        Context key -> what runs the model; pools of one kind are not compared.
    no_shared_disk : dict of str to Path
        Context key -> the campaign's folder, for pools whose workers do not see it.
    """

    max_abs: float
    kinds: dict[str, str]
    no_shared_disk: dict[str, Path] = field(default_factory=dict)
    _sample: Sample | None = None
    _submitted: set[str] = field(default_factory=set)
    _used: set[str] = field(default_factory=set)
    _failures: Counter[str] = field(default_factory=Counter)

    def add_done(self, key: str, chunk: Chunk, receipt: Receipt) -> None:
        """Note that a pool has done a chunk; the first one with scores is the sample."""
        self._used.add(key)
        if self._sample is None and receipt.status.get("ok"):
            self._sample = Sample(chunk, self.kinds[key], _OTHER_POOL)

    def add_earlier(self, done: Mapping[str, Receipt]) -> None:
        """Take a chunk of an earlier run as the sample, if no pool runs the model as that run did."""
        for name in list(done)[:: 1 + len(done) // _MAX_RECEIPTS]:
            receipt = done[name]
            kind = receipt.engine.get("kind", "")
            if kind not in ("", *self.kinds.values()) and receipt.status.get("ok"):
                origin = f"an earlier run on {kind} (part {receipt.id})"
                self._sample = Sample(receipt.chunk, kind, origin)
                return

    def submit(self, key: str, pool: Pool) -> bool:
        """Submit the comparison to a pool that needs one; return whether it did."""
        if self._sample is None or not self._differs(key) or key in self._submitted:
            return False
        chunk, folder = self._sample.chunk, self.no_shared_disk.get(key)
        self._submitted.add(key)
        part = CampaignFolder(folder).part(chunk.id).read_bytes() if folder else b""
        pool.submit(f"{_TAG}{pool.name}", rescore, key, chunk, part)
        return True

    def _differs(self, key: str) -> bool:
        return self._sample is not None and self.kinds[key] != self._sample.kind

    def is_due(self, key: str, slots: int) -> bool:
        """Return whether a pool that has done chunks, and still has threads, was not compared yet."""
        return slots > 0 and key in self._used and self._differs(key) and key not in self._submitted

    def owns(self, tag: str) -> bool:
        """Whether a tag is a comparison's."""
        return tag.startswith(_TAG)

    def resolve(self, key: str, pool: Pool, outcome: TaskOutcome) -> None:
        """Note the outcome of a comparison; one that failed or was lost is submitted again, some times.

        Raises
        ------
        CampaignError
            The pools disagree.
        """
        if outcome.kind != "done":
            log.warning("pool %s: its scores could not be compared: %s", pool.name, outcome.error)
            self._failures[key] += 1
            if outcome.kind == "error" and self._sample and self._sample.origin != _OTHER_POOL:
                self._sample = None  # the file of an earlier run may be gone: the next chunk will do
            if self._failures[key] < _ATTEMPTS:
                self._submitted.discard(key)
            return
        # numpy's maximum keeps a NaN, Python's may lose it.
        largest = float(np.max(list(outcome.value.values()), initial=0.0))
        if not largest <= self.max_abs:
            raise self._disagreement(pool, outcome.value)
        log.info(
            "pool %s: its scores differ by %.3g at most from those of %s", pool.name, largest, self._origin
        )

    @property
    def _origin(self) -> str:
        return self._sample.origin if self._sample else _OTHER_POOL

    def _disagreement(self, pool: Pool, differences: Mapping[str, float]) -> CampaignError:
        columns = ", ".join(f"{name} by {value:.3g}" for name, value in differences.items())
        what = f"scores differ from those of {self._origin}: {columns}, {self.max_abs:.3g} is allowed"
        todo = (
            "Validate the model on both devices; [tolerance] of the tagger sets the limit. Delete the "
            "parts of the wrong one (timing.parquet names their pools), or choose another --output."
        )
        return CampaignError(f"pool {pool.name}", what, todo)


def make_cross_pool_check(
    max_abs: float, fingerprint: str, folder: Path, pools: Mapping[str, PoolSpec], done: Mapping[str, Receipt]
) -> CrossPoolCheck:
    """Return what compares the pools of a campaign, with each other and with those of earlier runs.

    Parameters
    ----------
    fingerprint : str
        Of the plan.
    done : mapping of str to Receipt
        What is done already.
    """
    keys = {context_key(fingerprint, folder, name): pool for name, pool in pools.items()}
    kinds = {key: engine_options(pool).kind for key, pool in keys.items()}
    no_shared_disk = {key: folder for key, pool in keys.items() if not pool.job.shared_disk}
    check = CrossPoolCheck(max_abs, kinds, no_shared_disk)
    check.add_earlier(done)
    return check
