"""Entries of input files in this process: which ones, cut into pieces that memory can hold."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from e2edist.campaign.campaign import read_mask
from e2edist.campaign.planning import ReadOptions, make_plan, planned_datasets
from e2edist.config.tagger import TaggerSpec, load_tagger
from e2edist.engines import EngineOptions
from e2edist.errors import ConfigError
from e2edist.records.chunk import Chunk
from e2edist.records.plan import Plan
from e2edist.storage.input_lists import expand_inputs
from e2edist.storage.read_inputs import InputOptions
from e2edist.urls import named_path
from e2edist.worker.run_chunk import TaskContext

#: One file, or several: paths, globs, folders, .txt lists and addresses.
Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
#: Name of a tagger, path of a tagger file, or a tagger.
Tagger = str | os.PathLike[str] | TaggerSpec


@dataclass(frozen=True, slots=True)
class InputRange:
    """Entries of input files, counted through all of them in their order.

    Attributes
    ----------
    start, stop : int
        Half-open; stop None: to the end, and beyond it is the end too.
    format, tree : str or None
        Found out where not given.
    lumi_mask : path, optional
        Golden JSON.
    """

    files: Files
    start: int = 0
    stop: int | None = None
    format: str | None = None
    tree: str | None = None
    lumi_mask: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        for name in ("start", "stop"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ConfigError(name, f"{value} is negative", "Entries count from 0.")

    def plan(self, tagger: TaggerSpec) -> Plan:
        """Open all files and return what they hold.

        Raises
        ------
        InputError
            Files can't be used: all of them are named.
        """
        listed = expand_inputs(to_texts(self.files))
        trees = self.tree or {one.url: one.tree for one in listed}
        mask = read_mask(None if self.lumi_mask is None else os.fspath(self.lumi_mask), InputOptions())
        plan = make_plan(tagger, [one.url for one in listed], ReadOptions(self.format, trees, mask))
        return replace(plan, datasets=planned_datasets(plan, {one.url: one for one in listed}))

    def chunks(self, plan: Plan, chunk_events: int) -> list[Chunk]:
        """Return the entries in pieces of about `chunk_events`; at least one, which may be empty."""
        found, before = [], 0
        chunks = plan.with_chunks(chunk_events).chunks()
        for chunk in chunks:
            start, stop = self._within(before, chunk)
            if start < stop:
                found.append(chunk.part(start, stop))
            before += chunk.events
        return found or [chunk.part(chunk.start, chunk.start) for chunk in chunks[:1]]

    def _within(self, before: int, chunk: Chunk) -> tuple[int, int]:
        """Return the entries of a chunk's file that are wanted of it, with `before` entries before it."""
        shift = chunk.start - before
        stop = chunk.stop if self.stop is None else min(chunk.stop, self.stop + shift)
        return max(chunk.start, self.start + shift), stop


def to_texts(files: Files) -> Iterator[str]:
    """Yield files as the command line takes them.

    Raises
    ------
    ConfigError
        There are none, or they are no names.
    """
    several = [files] if isinstance(files, str | os.PathLike) else files
    try:
        found = [os.fspath(one) for one in several]
    except TypeError as error:
        raise ConfigError("files", f"can't be used ({error})", "Name paths, globs or addresses.") from error
    if not found:
        raise ConfigError("files", "is empty", "Name ROOT files, folders, globs or lists.")
    yield from found


def open_tagger(tagger: Tagger, model: str | os.PathLike[str] | None = None) -> TaggerSpec:
    """Return a tagger by its name or file, with `model` in place of its own."""
    if isinstance(tagger, TaggerSpec):
        if model is not None:
            raise ConfigError("model", "goes with the name of a tagger", "Load the tagger with its model.")
        return tagger
    path = None if model is None else str(named_path(os.fspath(model), "model"))
    return load_tagger(os.fspath(tagger), path)


def make_context(
    tagger: TaggerSpec,
    plan: Plan,
    engine: EngineOptions = EngineOptions(),  # noqa: B008 - frozen
) -> TaskContext:
    """Return what a worker would know of a plan, for work in this process."""
    return TaskContext(
        tagger, plan.fingerprint, "", "python", engine, lumi_mask=plan.lumi_mask, access=plan.access
    )
