"""Giving out chunks: bundles of pending ones to pools with free threads, and chunks to be run alone."""

from __future__ import annotations

from collections.abc import Sequence

from e2edist.accounting.progress import Progress

from .bundles import bundle_chunks
from .cross_pool_check import CrossPoolCheck
from .limits import Limits
from .pool_state import PoolState, count_in_flight
from .result_recorder import ResultRecorder
from .throughput import portion
from .work_queue import WorkQueue

#: Tasks that driver and scheduler together can start in a second: with many threads, bundles are larger.
_TASKS_PER_S = 250.0


class Dispatcher:
    """Gives out the chunks of a run to its pools."""

    def __init__(
        self,
        pools: Sequence[PoolState],
        work: WorkQueue,
        results: ResultRecorder,
        progress: Progress,
        check: CrossPoolCheck,
        limits: Limits,
    ) -> None:
        self._pools, self._work, self._results = pools, work, results
        self._progress, self._check, self._limits = progress, check, limits

    def fill(self) -> None:
        """Give each pool as much as it takes; once nothing else is left, chunks that must run alone."""
        for state in self._pools:
            if state.free_slots() > 0 and self._check.submit(state.key, state.pool):
                state.comparing = True
            self._submit_pending(state)
        if self._work.isolation_queue and not (self._work.pending or self._work.backoff):
            self._submit_alone()

    def _submit_pending(self, state: PoolState) -> None:
        pending, seconds = self._work.pending, self._bundle_s()
        while pending and state.free_slots() > 0:
            if self._results.is_done_late(pending.next):
                pending.pop()
                continue
            self._cut_portion(state)
            threads, run_alone = self._progress.threads, self._results.was_tried
            bundle = bundle_chunks(pending, state.throughput, seconds, threads, run_alone)
            state.submit(bundle, seconds, self._limits.chunk_s)

    def _submit_alone(self) -> None:
        for state in self._pools:
            if state.slots and self._work.isolation_queue and not count_in_flight(self._pools):
                chunk = self._work.isolation_queue.popleft()
                if not self._results.is_done_late(chunk):
                    state.submit([chunk], self._bundle_s(), self._limits.chunk_s, alone=True)

    def _bundle_s(self) -> float:
        return max(self._limits.bundle_s, self._progress.threads / _TASKS_PER_S)

    def _cut_portion(self, state: PoolState) -> None:
        """Leave of the first pending chunk as much as this pool should get now; the rest is next."""
        pending = self._work.pending
        chunk, share = pending.next, pending.events / max(1, self._progress.threads)
        limits = (max(self._limits.portion_s[0], self._bundle_s()), self._limits.portion_s[1])
        events = portion(chunk.events, state.throughput.rate, share, limits) if chunk.events else 0
        if events == chunk.events or self._results.was_tried(chunk):
            return
        chunk = pending.pop()
        pending.put_back(chunk.part(chunk.start + events, chunk.stop))
        pending.put_back(chunk.part(chunk.start, chunk.start + events))
        self._progress.chunks += 1
