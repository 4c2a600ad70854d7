"""Which worker gets the next task: one with a thread that is free.

The scheduler would look at every worker for every task. We know where each of ours runs, so we name one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping


class Desk:
    """Workers, their threads, and where tasks were sent."""

    def __init__(self) -> None:
        self._threads: dict[str, int] = {}
        self._seats: dict[str, str] = {}
        self._free: deque[str] = deque()

    @property
    def threads(self) -> int:
        """Threads of all workers."""
        return sum(self._threads.values())

    def update(self, threads: Mapping[str, int]) -> None:
        """Note which workers are there, by address, and their threads."""
        self._threads = dict(threads)
        taken = Counter(self._seats.values())
        empty = {address: count - taken[address] for address, count in self._threads.items()}
        # Workers in turn, not thread by thread: two tasks share a process only when there is no other.
        most = max(empty.values(), default=0)
        self._free = deque(name for i in range(most) for name, count in empty.items() if count > i)

    def seat(self, tag: str) -> str:
        """Return the address of a worker with a free thread, which is taken from now on; empty if unknown."""
        if not self._free:
            return ""
        self._seats[tag] = self._free.popleft()
        return self._seats[tag]

    def leave(self, tag: str) -> None:
        """Free the thread of a task that ended."""
        address = self._seats.pop(tag, "")
        if address in self._threads:
            self._free.append(address)
