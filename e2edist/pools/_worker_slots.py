"""Which worker gets the next task: one with a thread that is free.

The scheduler would look at every worker for every task. We know where each of ours runs, so we name one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping


class WorkerSlots:
    """Workers, their threads, and where tasks were sent."""

    def __init__(self) -> None:
        self._threads: dict[str, int] = {}
        #: of all workers
        self.threads = 0
        self._taken: Counter[str] = Counter()
        self._worker_of: dict[str, str] = {}
        self._free: deque[str] = deque()

    def update(self, threads: Mapping[str, int]) -> None:
        """Note which workers are there, by address, and their threads."""
        self._threads = dict(threads)
        self.threads = sum(threads.values())
        empty = {address: count - self._taken[address] for address, count in self._threads.items()}
        # Workers in turn, not thread by thread: two tasks share a process only when there is no other.
        most = max(empty.values(), default=0)
        self._free = deque(name for i in range(most) for name, count in empty.items() if count > i)

    def acquire(self, tag: str) -> str:
        """Return the address of a worker with a free thread, which is taken from now on; empty if unknown."""
        while self._free:
            address = self._free.popleft()
            # A worker may have come back with fewer threads than tasks.
            if self._taken[address] < self._threads[address]:
                self._worker_of[tag] = address
                self._taken[address] += 1
                return address
        return ""

    def release(self, tag: str) -> None:
        """Free the thread of a task that ended."""
        address = self._worker_of.pop(tag, "")
        if self._taken[address] > 1:
            self._taken[address] -= 1
        else:
            del self._taken[address]
        if address in self._threads:
            self._free.append(address)
