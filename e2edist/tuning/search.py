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
_FLAT_STEPS = 2
#: So many of the fastest are measured again ...
_REPEATED = 3
#: ... until there are so many measurements, of which the median counts.
_REPEATS = 3
#: Beyond this difference of them, the machine is busy with something else.
BUSY_SPREAD = 0.15
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
class Measurement:
    """One measurement; `speed` is none where the setting does not run, and `fault` says why."""

    shape: Shape
    options: EngineOptions
    speed: Speed | None
    fault: str = ""

    @property
    def rate(self) -> float:
        """Events per second, 0 where it does not run."""
        return self.speed.events_s if self.speed else 0.0


class TimeBudget:
    """The time that all measurements of a run may take."""

    def __init__(self, budget_s: float) -> None:
        self._budget, self._until = budget_s, float("inf")
        #: seconds of one measurement
        self.slice_s = max(0.2, min(2.0, budget_s / 60))

    def start(self) -> None:
        """Begin to count, once the first workers are there: a batch system may let them wait."""
        self._until = min(self._until, time.monotonic() + self._budget)

    @property
    def spent(self) -> bool:
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
        if flat >= _FLAT_STEPS:
            return


def best_of(measurements: Iterable[Measurement]) -> Measurement | None:
    """Return the fastest that runs; of measurements that are equal within 3 %, the first."""
    best: Measurement | None = None
    for measurement in measurements:
        if measurement.speed and (best is None or measurement.rate > best.rate * (1 + GAIN)):
            best = measurement
    return best


@dataclass(slots=True)
class Search:
    """The measurements of one pool, so far."""

    name: str
    spec: PoolSpec
    sample: Sample
    budget: TimeBudget
    on_measurement: Callable[[Measurement], None]
    measurements: list[Measurement]
    #: largest relative difference of two measurements of one setting
    spread: float = 0.0
    #: whether the time was up before all was measured
    incomplete: bool = False

    def run(self, cores: int, environment: PoolEnvironment, patience_s: float) -> None:
        """Measure shape by shape; the next shape begins where the best one so far is."""
        for shape in shapes(self.spec, cores):
            if self._out_of_time():
                return
            shared = max(self.spec.workers_per_gpu, shape.workers)
            update = {"workers": shape.workers, "threads": shape.threads, "workers_per_gpu": shared}
            spec = self.spec.model_copy(update=update)
            pool = open_pool(self.name, spec, Setup(prepare, (_KEY, self.sample)), environment)
            try:
                wait_for_workers(pool, patience_s)
                self.budget.start()
                self._measure_shape(pool, shape)
            except KeyboardInterrupt:
                environment.at_once = True
                raise
            finally:
                pool.close()

    def _out_of_time(self) -> bool:
        self.incomplete = self.incomplete or self.budget.spent
        return self.budget.spent

    def _measure(self, pool: Pool, shape: Shape, options: EngineOptions) -> float:
        for measurement in self.measurements:
            if (measurement.shape, measurement.options) == (shape, options):
                return measurement.rate
        if self.measurements and self._out_of_time():
            return 0.0
        try:
            speed = time_pool(pool, _KEY, options, self.budget.slice_s)
            measurement = Measurement(shape, options, speed)
        except DeviceError:  # no setting helps
            raise
        except (E2EError, ConnectionError) as error:
            measurement = Measurement(shape, options, None, str(error))
        self.measurements.append(measurement)
        self.on_measurement(measurement)
        return measurement.rate

    def _measure_batch(self, pool: Pool, shape: Shape, kind: EngineOptions, batch: int) -> float:
        return self._measure(pool, shape, replace(kind, batch=batch))

    def _measure_shape(self, pool: Pool, shape: Shape) -> None:
        """Climb the batches of one shape, dense and sparse; later shapes stay near the best so far."""
        before, spec = best_of(self.measurements), self.spec
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
        best = best_of(self.measurements)
        if best and before is None and spec.provider == "cuda":
            self._measure(pool, shape, replace(best.options, conv_search="exhaustive"))
        self._confirm(pool, shape)

    def _confirm(self, pool: Pool, shape: Shape) -> None:
        """Measure the fastest of a shape again: else the one that was lucky once would win among many."""
        ran = [i for i, one in enumerate(self.measurements) if one.shape == shape and one.speed]
        for i in sorted(ran, key=lambda i: -self.measurements[i].rate)[:_REPEATED]:
            self.measurements[i] = self._repeated(pool, self.measurements[i])

    def _repeated(self, pool: Pool, first: Measurement) -> Measurement:
        """Measure a setting some more times; return the median, and keep the largest difference."""
        found = [first]
        while len(found) < _REPEATS and not self._out_of_time():
            try:
                speed = time_pool(pool, _KEY, first.options, self.budget.slice_s)
            except (E2EError, ConnectionError) as error:  # as of memory that is full at times
                return replace(first, speed=None, fault=f"fails when repeated: {error}")
            found.append(replace(first, speed=speed))
        found.sort(key=lambda measurement: measurement.rate)
        if found[-1].rate:
            self.spread = max(self.spread, 1 - found[0].rate / found[-1].rate)
        # Of two the slower, which a campaign will reach. Only the first one opened the model.
        middle = found[(len(found) - 1) // 2]
        if middle.speed and first.speed:
            return replace(middle, speed=replace(middle.speed, setup_s=first.speed.setup_s))
        return middle


def crossover(measurements: dict[str, Measurement], specs: dict[str, PoolSpec]) -> str:
    """Return from how many events on a GPU pool is faster than a CPU pool, as a sentence."""
    cpu = best_of(measurement for name, measurement in measurements.items() if specs[name].provider == "cpu")
    gpu = best_of(measurement for name, measurement in measurements.items() if specs[name].provider != "cpu")
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
