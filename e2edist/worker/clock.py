"""Where the time of a chunk goes, by stages of the reference (docs/images.md, Reference modules)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from e2edist.records.receipt import StageTimes, add_times

#: Stages with a name of their own; the others are the modules that a tagger stands for.
SOURCE, DET_FRAMES, OUTPUT, OTHER = "source", "DetFrameProducer", "output", "other"


def _now() -> tuple[float, float]:
    # The CPU time of this thread only: its neighbours run chunks of their own.
    return time.perf_counter() * 1e3, time.thread_time() * 1e3


@dataclass(slots=True)
class Clock:
    """Measures the stages of one chunk in one thread."""

    _start: tuple[float, float] = field(default_factory=_now)
    _done: dict[str, list[Any]] = field(default_factory=dict)
    _running: list[Stage] = field(default_factory=list)

    def stage(self, name: str, items: int = 0) -> Stage:
        """Return a context whose time and items are added to stage `name`; stages do not nest."""
        return Stage(self, name, items)

    def times(self) -> StageTimes:
        """Return the times until now, a running stage included; what no stage took is "other"."""
        result: StageTimes = {name: (wall, cpu, items) for name, (wall, cpu, items) in self._done.items()}
        for stage in self._running:
            result = add_times(result, stage.elapsed())
        wall, cpu = _now()
        taken = [sum(entry[i] for entry in result.values()) for i in (0, 1)]
        rest = (wall - self._start[0] - taken[0], cpu - self._start[1] - taken[1], 0)
        return {name: (round(w, 3), round(c, 3), n) for name, (w, c, n) in (result | {OTHER: rest}).items()}

    def _enter(self, stage: Stage) -> None:
        self._running.append(stage)

    def _exit(self, stage: Stage) -> None:
        self._running.remove(stage)
        # In place: a chunk of small images passes here thousands of times.
        for name, taken in stage.elapsed().items():
            total = self._done.setdefault(name, [0.0, 0.0, 0])
            for i in range(3):
                total[i] += taken[i]


class Stage:
    """A context that measures one stage of a `Clock`."""

    def __init__(self, clock: Clock, name: str, items: int) -> None:
        self._clock, self._name, self._items = clock, name, items
        self._start = (0.0, 0.0)

    def __enter__(self) -> Self:
        self._start = _now()
        self._clock._enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clock._exit(self)

    def elapsed(self) -> StageTimes:
        """Return its times until now."""
        wall, cpu = _now()
        return {self._name: (wall - self._start[0], cpu - self._start[1], self._items)}
