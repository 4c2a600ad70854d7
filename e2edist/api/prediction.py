"""Scores of the objects of ROOT files in this process: no cluster, no folder, the same bits as a campaign."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Literal

import pyarrow as pa

from e2edist.accounting.progress import Progress, ProgressTracker
from e2edist.engines import EngineOptions, open_engine
from e2edist.errors import ConfigError
from e2edist.parity.validation_record import require_validation
from e2edist.process import usable_cores
from e2edist.records.chunk import Chunk
from e2edist.records.file_columns import names_of_files, with_file_columns
from e2edist.worker.clock import Clock
from e2edist.worker.run_chunk import TaskContext, score_chunk

from .in_process import Files, InputRange, Tagger, make_context, open_tagger
from .progress_display import OnProgress, show_progress
from .python_errors import python_errors

Work = Callable[[Chunk], pa.Table]


def predict(  # noqa: PLR0913 - the keywords are what people choose from
    files: Files,
    tagger: Tagger = "eg",
    *,
    model: str | os.PathLike[str] | None = None,
    start: int = 0,
    stop: int | None = None,
    threads: int | None = None,
    progress: bool | OnProgress = False,
    batch: int = 0,
    provider: Literal["cpu", "cuda", "tensorrt"] = "cpu",
    chunk_events: int = 1000,
    format: str | None = None,  # noqa: A002
    tree: str | None = None,
    lumi_mask: str | os.PathLike[str] | None = None,
    accept_failed_validation: bool = False,
) -> pa.Table:
    """Return the scores of all objects of some files, computed in this process.

    The rows are those of a campaign over the same files, bit for bit. The table is in memory as a whole,
    some 100 bytes an object; `predict_batches` gives it in pieces.

    Parameters
    ----------
    files : path, or list of paths
        Files, globs, folders, ``.txt`` lists, addresses as ``root://server//store/a.root``.
    tagger : str, path or TaggerSpec
        Name of a tagger that comes with the package, or a tagger's TOML file.
    model : path, optional
        ONNX file in place of the tagger's own.
    start, stop : int, optional
        Entries, half-open, counted through all files in their order; default: all.
    threads : int, optional
        Threads that read, make images and run the network; default: one a core.
    progress : bool or callable
        True: show a bar. A callable gets a `Progress` after each piece.
    batch : int
        Images in one model call; 0: as the tagger says. Changes no number.
    provider : str
        What runs the network; there is no falling back to another.
    chunk_events : int
        Events of a piece, about: memory holds twice as many pieces as there are threads.
    format, tree : str, optional
        Of the input files; found out where not given.
    lumi_mask : path, optional
        Golden JSON of CMS: only events of its luminosity blocks get rows.
    accept_failed_validation : bool
        Run a model that failed ``validate``, or mixes the images of a batch.

    Returns
    -------
    pyarrow.Table
        One row per candidate, in the order of files and entries, rejected ones too: the columns of the
        aggregated results (``dataset``, ``file``, ``uuid``, ``entry``, ``run``, ``lumi``, ``event``,
        ``kind``, ``object``, ``pt``, ``eta``, ``phi``, ``label``, ``seed_row``, ``seed_col``, ``status``),
        then the scores.
        Scores are null where ``status`` is not ``ok``.

    Raises
    ------
    E2EError
        What the user can mend: InputError, ConfigError, ModelError, in one line each.

    Examples
    --------
    >>> scores = e2edist.predict("events.root", "eg", stop=1000)      # doctest: +SKIP
    >>> scores.to_pandas().query("status == 'ok'").electron.hist()      # doctest: +SKIP
    """
    pieces = predict_batches(
        files,
        tagger,
        model=model,
        start=start,
        stop=stop,
        threads=threads,
        progress=progress,
        batch=batch,
        provider=provider,
        chunk_events=chunk_events,
        format=format,
        tree=tree,
        lumi_mask=lumi_mask,
        accept_failed_validation=accept_failed_validation,
    )
    return pa.concat_tables(pieces).unify_dictionaries()


def predict_batches(  # noqa: PLR0913 - those of `predict`
    files: Files,
    tagger: Tagger = "eg",
    *,
    model: str | os.PathLike[str] | None = None,
    start: int = 0,
    stop: int | None = None,
    threads: int | None = None,
    progress: bool | OnProgress = False,
    batch: int = 0,
    provider: Literal["cpu", "cuda", "tensorrt"] = "cpu",
    chunk_events: int = 1000,
    format: str | None = None,  # noqa: A002
    tree: str | None = None,
    lumi_mask: str | os.PathLike[str] | None = None,
    accept_failed_validation: bool = False,
) -> Iterator[pa.Table]:
    """Yield what `predict` returns, in its order, a table for each piece of about `chunk_events` events.

    Files are opened at once, and what is wrong with them is raised by the call itself. Whoever leaves the
    loop early stops the work.
    """
    with python_errors():
        for name, value in (("chunk_events", chunk_events), ("threads", 1 if threads is None else threads)):
            if value < 1:
                raise ConfigError(name, f"{value} is not a positive number", "Name 1 or more.")
        wanted = InputRange(files, start, stop, format, tree, lumi_mask)
        spec = open_tagger(tagger, model)
        require_validation(spec, accept=accept_failed_validation)
        options = EngineOptions(provider=provider, batch=batch, accepted=accept_failed_validation)
        open_engine(spec, options)
        plan = wanted.plan(spec)
        context, chunks = make_context(spec, plan, options), wanted.chunks(plan, chunk_events)
    work = partial(_predict_chunk, context, files=names_of_files(plan))
    return _run(work, chunks, threads or usable_cores(), (progress, spec.name))


def _run(
    work: Work, chunks: list[Chunk], threads: int, show: tuple[bool | OnProgress, str]
) -> Iterator[pa.Table]:
    """Yield the tables of chunks; `show` is how and under what title progress is shown."""
    counts = Progress(len(chunks), sum(chunk.events for chunk in chunks), threads=threads)
    with python_errors(), show_progress(*show) as on_progress:
        tracker = ProgressTracker(counts, on_progress)
        tracker.publish()
        for chunk, table in zip(chunks, _in_order(work, chunks, threads), strict=True):
            counts.add_done("", chunk.events)
            tracker.publish()
            yield table


def _in_order(work: Work, chunks: list[Chunk], threads: int) -> Iterator[pa.Table]:
    """Yield the tables of chunks; only so many are made ahead of whoever takes them."""
    pool, running = ThreadPoolExecutor(threads, "e2edist-predict"), deque[Future[pa.Table]]()
    try:
        for chunk in chunks:
            running.append(pool.submit(work, chunk))
            if len(running) > 2 * threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:  # not waited for: an interrupt must not wait for a server that does not answer
        pool.shutdown(wait=False, cancel_futures=True)


def _predict_chunk(context: TaskContext, chunk: Chunk, files: Mapping[str, tuple[str, str]]) -> pa.Table:
    return with_file_columns(score_chunk(chunk, context, Clock()).table(), files)
