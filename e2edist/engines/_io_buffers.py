"""Input buffers that are bound to a session once, and filled again and again.

On a GPU each buffer is a pair: pinned memory of the host, and memory of the device to which it is
copied before a run (staged). On the CPU the runtime reads the host's buffer where it lies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

from e2edist.imaging.crops import Crops, Normalisation, paint
from e2edist.imaging.event_batch import Array

from ._cuda import page_aligned, pin
from ._sparse_graph import PIXEL, VALUE, entries, fill_up, length, pack

#: Name -> (shape, dtype) of the inputs of a session.
Inputs = Mapping[str, tuple[tuple[int, ...], str]]


class IOBuffers:
    """The input buffers of one run of one session.

    Attributes
    ----------
    host : dict of str to array
        To be filled before `upload`; zeros at first.
    dirty : (Crops, int, int), optional
        What the buffers hold, for who wants them blank again.
    """

    def __init__(self, ort: Any, session: Any, inputs: Inputs, device: str, *, staged: bool) -> None:
        self._session, self._binding = session, session.io_binding()
        self.host = {name: page_aligned(shape, dtype) for name, (shape, dtype) in inputs.items()}
        self.dirty: tuple[Crops, int, int] | None = None
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
        """Copy what was filled in to the device, while it may run what another slot holds."""
        for value, array in self._copies:
            value.update_inplace(array)

    def run(self) -> list[Array]:
        """Run on what was uploaded, and return all outputs of the session."""
        self._session.run_with_iobinding(self._binding)
        return list(self._binding.copy_outputs_to_cpu())


class BufferPool:
    """The slots of an engine: one for each run that goes on at a time, kept for the next chunk.

    `device` is where the sessions have their inputs; `staged` whether these are copies of the host's.
    """

    def __init__(self, ort: Any, sessions: Sequence[Any], device: str, *, staged: bool) -> None:
        self._ort, self._sessions = ort, sessions
        self._device, self._staged = device, staged
        self._free: dict[Any, list[IOBuffers]] = {}
        self._made, self._lock = 0, Lock()

    def take(self, inputs: Inputs) -> IOBuffers:
        """Return a slot with such inputs that nobody else has."""
        key = tuple(inputs.items())
        with self._lock:
            if waiting := self._free.get(key):
                return waiting.pop()
            session = self._sessions[self._made % len(self._sessions)]
            self._made += 1
        return IOBuffers(self._ort, session, inputs, self._device, staged=self._staged)

    def give(self, slot: IOBuffers) -> None:
        """Take a slot back."""
        key = tuple((name, (array.shape, array.dtype.name)) for name, array in slot.host.items())
        with self._lock:
            self._free.setdefault(key, []).append(slot)


class Loader(Protocol):
    """Turns crops into the inputs of a session."""

    def inputs(self, start: int, stop: int) -> Inputs:
        """Return the shapes of the inputs for the crops start:stop."""

    def fill(self, slot: IOBuffers, start: int, stop: int) -> int:
        """Write the crops start:stop into a slot; return the bytes that go to the device."""


@dataclass(frozen=True, slots=True)
class ListLoader:
    """Crops as lists of pixels, for a session with the graph of `_sparse` in front."""

    crops: Crops
    rule: Normalisation
    adds: bool
    few: bool = False

    def inputs(self, start: int, stop: int) -> Inputs:
        size = length(entries(self.crops, start, stop), few=self.few)
        return {PIXEL: ((size,), "int32"), VALUE: ((size,), "float32")}

    def fill(self, slot: IOBuffers, start: int, stop: int) -> int:
        pixel, value = slot.host[PIXEL], slot.host[VALUE]
        pack(self.crops, (start, stop), self.rule, pixel, value)
        if not self.adds:
            fill_up(pixel, value, entries(self.crops, start, stop))
        return int(pixel.nbytes + value.nbytes)


@dataclass(frozen=True, slots=True)
class ImageLoader:
    """Crops as dense images; a model that takes other floats than float32 gets them converted here."""

    crops: Crops
    rule: Normalisation
    name: str
    shape: tuple[int, ...]

    def inputs(self, start: int, stop: int) -> Inputs:  # noqa: ARG002
        return {self.name: (self.shape, "float32")}

    def fill(self, slot: IOBuffers, start: int, stop: int) -> int:
        image = slot.host[self.name]
        if slot.dirty is None:
            image[...] = self.rule.offset if self.rule.channels_last else self.rule.offset[:, None, None]
        else:
            paint(*slot.dirty, self.rule, image, clear=True)
        paint(self.crops, start, stop, self.rule, image)
        slot.dirty = (self.crops, start, stop)
        return int(image.nbytes)


class BufferedStream:
    """A `InferenceStream` over slots; with a depth of two the next batch is made while one runs."""

    def __init__(self, rack: BufferPool, loader: Loader, answer: Any, depth: int) -> None:
        self.depth, self.sent = depth, 0
        self._rack, self._loader, self._answer = rack, loader, answer
        self._runner = ThreadPoolExecutor(1) if depth > 1 else None
        self._loaded: deque[tuple[IOBuffers, Future[list[Array]] | None]] = deque()

    def load(self, start: int, stop: int) -> None:
        """Make the inputs of the crops start:stop, and begin with them if there is a second slot."""
        slot = self._rack.take(self._loader.inputs(start, stop))
        self.sent += self._loader.fill(slot, start, stop)
        slot.upload()
        self._loaded.append((slot, self._runner.submit(slot.run) if self._runner else None))

    def result(self) -> dict[str, Array]:
        """Return the score columns of the batch that was loaded first."""
        slot, running = self._loaded.popleft()
        scores: dict[str, Array] = self._answer(running.result if running else slot.run)
        self._rack.give(slot)
        return scores

    def close(self) -> None:
        """End the helper thread."""
        if self._runner:
            self._runner.shutdown()
