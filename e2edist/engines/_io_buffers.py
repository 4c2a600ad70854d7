"""Input buffers that are bound to a session once, and filled again and again.

On a GPU each buffer is a pair: pinned memory of the host, and memory of the device to which it is
copied before a run (staged). On the CPU the runtime reads the host's buffer where it lies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

from e2edist.imaging.crops import Crops, Normalisation, paint
from e2edist.imaging.event_batch import Array

from ._cuda import page_aligned, pin
from ._sparse_graph import PIXEL, VALUE, entry_count, padded_length, write_lists

#: Name -> (shape, dtype) of the inputs of a session.
Inputs = Mapping[str, tuple[tuple[int, ...], str]]


class IOBuffers:
    """The input buffers of one run of one session.

    Attributes
    ----------
    host : dict of str to array
        To be filled before `upload`; zeros at first.
    painted : (Crops, int, int), optional
        The crops that the buffers hold, for who wants them blank again.
    """

    def __init__(self, ort: Any, session: Any, inputs: Inputs, device: str, *, staged: bool) -> None:
        self._session, self._binding = session, session.io_binding()
        self.host = {name: page_aligned(shape, dtype) for name, (shape, dtype) in inputs.items()}
        self.painted: tuple[Crops, int, int] | None = None
        self._copies = []
        for name, array in self.host.items():
            if staged:
                if device != "cpu":
                    pin(array)
                value = ort.OrtValue.ortvalue_from_shape_and_type(array.shape, array.dtype, device, 0)
                self._copies.append((value, array))
            else:
                value = ort.OrtValue.ortvalue_from_numpy(array)  # the same memory
            self._binding.bind_ortvalue_input(name, value)
        for item in session.get_outputs():
            self._binding.bind_output(item.name, "cpu")

    def upload(self) -> None:
        """Copy what was filled in to the device, which may run other buffers meanwhile."""
        for value, array in self._copies:
            value.update_inplace(array)

    def run(self) -> list[Array]:
        """Run on what was uploaded, and return all outputs of the session."""
        self._session.run_with_iobinding(self._binding)
        return list(self._binding.copy_outputs_to_cpu())


class BufferPool:
    """The buffers of an engine: as many as are in use at a time, kept for the next chunk.

    `device` is where the sessions have their inputs; `staged` whether these are copies of the host's.
    """

    def __init__(self, ort: Any, sessions: Sequence[Any], device: str, *, staged: bool) -> None:
        self._ort, self._sessions = ort, sessions
        self._device, self._staged = device, staged
        self._free: dict[Any, list[IOBuffers]] = {}
        self._made, self._lock = 0, Lock()

    def acquire(self, inputs: Inputs) -> IOBuffers:
        """Return buffers for such inputs that nobody else has."""
        key = tuple(inputs.items())
        with self._lock:
            if free := self._free.get(key):
                return free.pop()
            session = self._sessions[self._made % len(self._sessions)]
            self._made += 1
        return IOBuffers(self._ort, session, inputs, self._device, staged=self._staged)

    def release(self, buffers: IOBuffers) -> None:
        """Take buffers back."""
        key = tuple((name, (array.shape, array.dtype.name)) for name, array in buffers.host.items())
        with self._lock:
            self._free.setdefault(key, []).append(buffers)


class Loader(Protocol):
    """Turns crops into the inputs of a session."""

    def inputs(self, start: int, stop: int) -> Inputs:
        """Return the shapes of the inputs for the crops start:stop."""

    def fill(self, buffers: IOBuffers, start: int, stop: int) -> int:
        """Write the crops start:stop into buffers; return the bytes that go to the device."""


@dataclass(frozen=True, slots=True)
class ListLoader:
    """Crops as lists of pixels, for a session with the graph of `_sparse_graph` in front."""

    crops: Crops
    normalisation: Normalisation
    few: bool = False

    def inputs(self, start: int, stop: int) -> Inputs:
        size = padded_length(entry_count(self.crops, start, stop), few=self.few)
        return {PIXEL: ((size,), "int32"), VALUE: ((size,), "float32")}

    def fill(self, buffers: IOBuffers, start: int, stop: int) -> int:
        pixel, value = buffers.host[PIXEL], buffers.host[VALUE]
        write_lists(self.crops, (start, stop), self.normalisation, pixel, value)
        return int(pixel.nbytes + value.nbytes)


@dataclass(frozen=True, slots=True)
class ImageLoader:
    """Crops as dense images, for a session whose input `name` has this shape and takes float32."""

    crops: Crops
    normalisation: Normalisation
    name: str
    shape: tuple[int, ...]

    def inputs(self, start: int, stop: int) -> Inputs:  # noqa: ARG002
        return {self.name: (self.shape, "float32")}

    def fill(self, buffers: IOBuffers, start: int, stop: int) -> int:
        images, normalisation = buffers.host[self.name], self.normalisation
        if buffers.painted is None:
            offset = normalisation.offset
            images[...] = offset if normalisation.channels_last else offset[:, None, None]
        else:
            paint(*buffers.painted, normalisation, images, clear=True)
        paint(self.crops, start, stop, normalisation, images)
        buffers.painted = (self.crops, start, stop)
        return int(images.nbytes)


#: Turns a call that runs a session into score columns.
ScoresOf = Callable[[Callable[[], list[Array]]], dict[str, Array]]


class BufferedStream:
    """An `InferenceStream` over buffers; with a depth of two the next batch is made while one runs."""

    def __init__(self, pool: BufferPool, loader: Loader, scores_of: ScoresOf, depth: int) -> None:
        self.depth, self.bytes_sent = depth, 0
        self._pool, self._loader, self._scores_of = pool, loader, scores_of
        self._runner = ThreadPoolExecutor(1) if depth > 1 else None
        self._loaded: deque[tuple[IOBuffers, Future[list[Array]] | None]] = deque()

    def load(self, start: int, stop: int) -> None:
        """Make the inputs of the crops start:stop, and run them at once if there are second buffers."""
        buffers = self._pool.acquire(self._loader.inputs(start, stop))
        self.bytes_sent += self._loader.fill(buffers, start, stop)
        buffers.upload()
        self._loaded.append((buffers, self._runner.submit(buffers.run) if self._runner else None))

    def result(self) -> dict[str, Array]:
        """Return the score columns of the batch that was loaded first."""
        buffers, running = self._loaded.popleft()
        scores = self._scores_of(running.result if running else buffers.run)
        self._pool.release(buffers)
        return scores

    def close(self) -> None:
        """End the helper thread."""
        if self._runner:
            self._runner.shutdown()
