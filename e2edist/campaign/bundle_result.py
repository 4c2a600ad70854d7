"""What became of each chunk of a task that ended, from its results or, if it was lost, from the parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from e2edist.plugins import as_bug, is_bug
from e2edist.pools import TaskOutcome
from e2edist.records.chunk import Chunk
from e2edist.records.receipt import Receipt

from .bundles import TaskBundle

Find = Callable[[Chunk], Receipt | None]


@dataclass(frozen=True, slots=True)
class BundleResult:
    """What became of the chunks of a bundle.

    Attributes
    ----------
    done : list of (Chunk, Receipt)
    failed : list of (Chunk, TaskOutcome)
        Those that raised, or were running when the task was lost.
    not_started : list of Chunk
    run_alone : bool
        Whether those not started must run in tasks of their own, as any of them may have been running.
    """

    done: list[tuple[Chunk, Receipt]] = field(default_factory=list)
    failed: list[tuple[Chunk, TaskOutcome]] = field(default_factory=list)
    not_started: list[Chunk] = field(default_factory=list)
    run_alone: bool = False


def resolve(bundle: TaskBundle, outcome: TaskOutcome, find: Find | None) -> BundleResult:
    """Return what became of the chunks of a bundle whose task ended.

    Parameters
    ----------
    find : callable, optional
        Returns the receipt of a chunk whose part is there; None if the driver does not see what the
        workers publish.
    """
    if outcome.kind == "done":
        return _from_results(bundle, outcome)
    if outcome.kind == "error":  # the task itself: no chunk was started
        error = outcome.error
        shown = replace(outcome, error=as_bug(error)) if error is not None and is_bug(error) else outcome
        return BundleResult(failed=[(chunk, shown) for chunk in bundle.chunks])
    if find is None and len(bundle.chunks) > 1:
        return BundleResult(not_started=list(bundle.chunks), run_alone=True)
    return _from_parts(bundle, outcome, find or (lambda _: None))


def _from_results(bundle: TaskBundle, outcome: TaskOutcome) -> BundleResult:
    result, chunk_results = BundleResult(), outcome.value
    for chunk, one in zip(bundle.chunks, chunk_results, strict=False):
        if isinstance(one, Exception):
            result.failed.append((chunk, TaskOutcome(chunk.id, "error", error=one)))
        else:
            result.done.append((chunk, one))
    result.not_started.extend(bundle.chunks[len(chunk_results) :])
    return result


def _from_parts(bundle: TaskBundle, outcome: TaskOutcome, find: Find) -> BundleResult:
    """Take the chunk after the last part as the one that was running; earlier ones without a part had raised.

    If a network disk does not show a part yet, its chunk counts as running; it is only done again.
    """
    result = BundleResult()
    found = [find(chunk) for chunk in bundle.chunks]
    running = max((i + 1 for i, receipt in enumerate(found) if receipt is not None), default=0)
    for i, (chunk, receipt) in enumerate(zip(bundle.chunks, found, strict=True)):
        if receipt is not None:
            result.done.append((chunk, receipt))
        elif i == running:
            result.failed.append((chunk, outcome))
        else:
            result.not_started.append(chunk)
    return result
