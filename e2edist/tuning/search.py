"""The search: batches are climbed until they pay no more, for each way to share cores or a device."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from e2edist.config.site import PoolSpec
from e2edist.engines import EngineOptions, engine_options
from e2edist.errors import DeviceError, E2EError
from e2edist.pools import Pool, PoolEnvironment, Setup, open_pool

from .measure import Sample, Speed, prepare, time_pool, wait_for_workers

#: A setting must be better by so much to count as better ...
GAIN = 0.03
#: ... and a ladder ends when so many steps were not.
_FLAT = 2
#: So many of the fastest are measured again ...
_AGAIN = 3
#: ... until there are so many measurements, of which the median counts.
_TIMES = 3
#: Beyond this difference of them, the machine is busy with something else.
BUSY = 0.15
_KEY = "tune"
_LADDERS = {"cpu": [1, 2, 4, 8, 16, 32, 64, 128], "gpu": [8, 32, 64, 128, 256, 512, 1024, 2048]}
Images = Literal["dense", "sparse"]


@dataclass(frozen=True, slots=True)
class Shape:
    """How cores, or a device, are shared: worker processes, their threads, threads in a call, sessions."""

    workers: int
    threads: int
    intra_op: int = 1
    sessions: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement; `speed` is none where the setting does not run, and `fault` says why."""

    shape: Shape
    options: EngineOptions
    speed: Speed | None
    fault: str = ""

    @property
    def rate(self) -> float:
        """Events per second, 0 where it does not run."""
        return self.speed.events_s if self.speed else 0.0


class Stopwatch:
    """The time that all measurements of a run may take."""

    def __init__(self, budget_s: float) -> None:
        self._budget, self._until = budget_s, float("inf")
        #: seconds of one measurement
        self.slice_s = max(0.2, min(2.0, budget_s / 60))

    def start(self) -> None:
        """Begin to count, once the first workers are there: a batch system may let them wait."""
        self._until = min(self._until, time.monotonic() + self._budget)

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self._until


def shapes(pool: PoolSpec, cores: int) -> list[Shape]:
    """Return the ways to share a pool's cores or device, the usual one first.

    The workers of batch jobs are what the site file says: only sessions are varied there.
    """
    gpu = pool.provider != "cpu"
    if pool.kind != "local":
        usual = Shape(pool.workers or 1, pool.threads or 1)
        return [usual, replace(usual, sessions=2)] if gpu else [usual]
    if gpu:
        threads = max(1, min(4, cores))
        shared = [Shape(n, max(1, min(2, cores // n))) for n in (2, 4) if n <= cores]
        return [Shape(1, threads), Shape(1, threads, sessions=2), *shared]
    found = [Shape(1, cores), Shape(cores, 1), Shape(1, 1, intra_op=cores)]
    if cores >= 8:
        found.insert(1, Shape(cores // 4, 4))
    return list(dict.fromkeys(found))


def climb(ladder: Iterable[int], measure: Callable[[int], float]) -> None:
    """Measure step by step until two steps in a row are less than 3 % better than the best before them."""
    best, flat = 0.0, 0
    for step in ladder:
        rate = measure(step)
        flat = 0 if rate > best * (1 + GAIN) else flat + 1
        best = max(best, rate)
        if flat >= _FLAT:
            return


def best_of(rows: Iterable[Row]) -> Row | None:
    """Return the fastest row that runs; of rows that are equally fast within 3 %, the first."""
    best: Row | None = None
    for row in rows:
        if row.speed and (best is None or row.rate > best.rate * (1 + GAIN)):
            best = row
    return best


@dataclass(slots=True)
class Search:
    """The measurements of one pool, so far."""

    name: str
    spec: PoolSpec
    sample: Sample
    watch: Stopwatch
    note: Callable[[Row], None]
    rows: list[Row]
    #: largest relative difference of two measurements of one setting
    spread: float = 0.0
    #: whether the time was up before all was measured
    cut: bool = False

    def run(self, cores: int, place: PoolEnvironment, patience_s: float) -> None:
        """Measure shape by shape; what was best before is where the next one begins."""
        for shape in shapes(self.spec, cores):
            if self._over():
                return
            shared = max(self.spec.workers_per_gpu, shape.workers)
            update = {"workers": shape.workers, "threads": shape.threads, "workers_per_gpu": shared}
            spec = self.spec.model_copy(update=update)
            pool = open_pool(self.name, spec, Setup(prepare, (_KEY, self.sample)), place)
            try:
                wait_for_workers(pool, patience_s)
                self.watch.start()
                self._measure_shape(pool, shape)
            except KeyboardInterrupt:
                place.at_once = True
                raise
            finally:
                pool.close()

    def _over(self) -> bool:
        self.cut = self.cut or self.watch.over
        return self.watch.over

    def _measure(self, pool: Pool, shape: Shape, options: EngineOptions) -> float:
        for row in self.rows:
            if (row.shape, row.options) == (shape, options):
                return row.rate
        if self.rows and self._over():
            return 0.0
        try:
            row = Row(shape, options, time_pool(pool, _KEY, options, self.watch.slice_s))
        except DeviceError:  # no setting helps
            raise
        except (E2EError, ConnectionError) as error:
            row = Row(shape, options, None, str(error))
        self.rows.append(row)
        self.note(row)
        return row.rate

    def _measure_batch(self, pool: Pool, shape: Shape, kind: EngineOptions, batch: int) -> float:
        return self._measure(pool, shape, replace(kind, batch=batch))

    def _measure_shape(self, pool: Pool, shape: Shape) -> None:
        """Climb the batches of one shape, dense and sparse; later shapes stay near the best so far."""
        before, spec = best_of(self.rows), self.spec
        ladder = _LADDERS["cpu" if spec.provider == "cpu" else "gpu"]
        kinds: list[Images] = ["dense", "sparse"]
        if before:
            at = bisect_left(ladder, before.options.batch)
            ladder, kinds = ladder[max(0, at - 1) : at + 3], [before.options.images]
        base = replace(engine_options(spec), threads=shape.intra_op, sessions=shape.sessions, profile="")
        if not before:  # what runs without a profile comes first: whenever the time is up, it is not worse
            self._measure(pool, shape, replace(base, images="dense", batch=self.sample.tagger.batch))
        for images in kinds:
            kind = replace(base, images=images)
            climb(ladder, partial(self._measure_batch, pool, shape, kind))
        best = best_of(self.rows)
        if best and before is None and spec.provider == "cuda":
            self._measure(pool, shape, replace(best.options, conv_search="exhaustive"))
        self._confirm(pool, shape)

    def _confirm(self, pool: Pool, shape: Shape) -> None:
        """Measure the fastest of a shape again; the median counts, the largest difference is told.

        Among many settings the one that was lucky once would win else.
        """
        fast = sorted((row for row in self.rows if row.shape == shape and row.speed), key=lambda r: -r.rate)
        for row in fast[:_AGAIN]:
            found = [row]
            while len(found) < _TIMES and not self._over():
                try:
                    speed = time_pool(pool, _KEY, row.options, self.watch.slice_s)
                except (E2EError, ConnectionError) as error:  # as a memory that is full at times: no promise
                    found = [replace(row, speed=None, fault=f"fails when repeated: {error}")]
                    break
                found.append(replace(row, speed=speed))
            found.sort(key=lambda r: r.rate)
            if found[-1].rate:
                self.spread = max(self.spread, 1 - found[0].rate / found[-1].rate)
            # Of two the slower: a promise that is kept. Only the first one opened the model.
            middle = found[(len(found) - 1) // 2]
            if middle.speed and row.speed:
                middle = replace(middle, speed=replace(middle.speed, setup_s=row.speed.setup_s))
            self.rows[self.rows.index(row)] = middle


def crossover(rows: dict[str, Row], specs: dict[str, PoolSpec]) -> str:
    """Return from how many events on a GPU pool is faster than a CPU pool, as a sentence."""
    cpu = best_of(row for name, row in rows.items() if specs[name].provider == "cpu")
    gpu = best_of(row for name, row in rows.items() if specs[name].provider != "cpu")
    if cpu is None or cpu.speed is None:
        return "No CPU pool was measured, so there is nothing to compare a GPU with."
    if gpu is None or gpu.speed is None:
        return (
            f"No GPU pool was measured. One pays where it does more than {cpu.rate:,.0f} events/s, "
            f"with {cpu.speed.setup_s:.2f} s to open the model."
        )
    ratio = gpu.rate / cpu.rate
    if ratio <= 1:
        return f"The GPU pool does {ratio:.2f} times the events/s of the CPU pool: it does not pay."
    events = max(0.0, gpu.speed.setup_s - cpu.speed.setup_s) / (1 / cpu.rate - 1 / gpu.rate)
    times = f"The GPU pool does {ratio:.1f} times the events/s of the CPU pool"
    return f"{times}; it pays from {events:,.0f} events on."
