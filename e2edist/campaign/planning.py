"""Planning: open all input files, report all errors at once, and make the plan."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from e2edist.config.tagger import TaggerSpec
from e2edist.errors import E2EError, InputError, ProgrammingError, combined
from e2edist.formats import FileInfo, approximation, open_events
from e2edist.plugins import as_bug, is_bug
from e2edist.records.plan import Plan, PlannedDataset
from e2edist.storage.listed_input import ListedInput
from e2edist.storage.read_inputs import InputOptions, is_local, is_refused, read_input
from e2edist.urls import host, public

T = TypeVar("T")
#: Opening files waits for disks and networks, not for cores.
_OPENERS = 16
#: Pauses before servers that did not answer are asked again.
_OUTAGE_PAUSES_S = (1.0, 5.0)
#: A pool thread should get at least this many chunks, so that all end at about the same time.
_CHUNKS_PER_THREAD = 4


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How all files of a campaign are read.

    Attributes
    ----------
    format : str, optional
    tree : str or mapping, optional
        Of all files, or of each by its url. Both are found out where not given.
    lumi_mask : str
        `Plan.lumi_mask`: with one, all files must have run and luminosity block.
    """

    format: str | None = None
    tree: str | Mapping[str, str | None] | None = None
    lumi_mask: str = ""

    def tree_of(self, url: str) -> str | None:
        """Return the tree to read of a file."""
        return self.tree.get(url) if isinstance(self.tree, Mapping) else self.tree


def make_plan(
    tagger: TaggerSpec,
    urls: Sequence[str],
    options: ReadOptions = ReadOptions(),
    *,
    max_bad_fraction: float | None = 0.0,
    inputs: InputOptions = InputOptions(),  # noqa: B008 - frozen
    way_on: str = "",
) -> Plan:
    """Open all files in parallel, check that the tagger's branches are there, and plan a chunk a cluster.

    Parameters
    ----------
    max_bad_fraction : float, optional
        Fraction of the files that may be unusable; they are listed as skipped. None: any, as long as one is
        left.
    inputs : InputOptions
        Where else to look for remote files.
    way_on : str
        What to say of unusable files that can be left out, where others are good: the option for that.

    Raises
    ------
    InputError
        Files can't be used: all of them are named. Or two of them are copies of one.
    ProgrammingError
        A format plug-in has a bug, which is no fault of the files.
    """
    inspected = _inspect_with_retries(urls, partial(_inspect, tagger, options, inputs))
    errors = {url: item for url, item in zip(urls, inspected, strict=True) if isinstance(item, E2EError)}
    allowed = len(urls) - 1 if max_bad_fraction is None else max_bad_fraction * len(urls)
    faults = list(errors.values())
    if len(errors) > allowed or any(isinstance(error, ProgrammingError) for error in faults):
        raise combine_errors(faults, len(urls), way_on if len(errors) < len(urls) else "")
    found = [item for item in inspected if not isinstance(item, E2EError)]
    _refuse_copies([info for info, _ in found])
    files = tuple(info for info, _ in found)
    skipped = tuple((public(url), str(error)) for url, error in errors.items())
    opened = [url for url in urls if url not in errors]
    access = {file.uuid: url for file, url in zip(files, opened, strict=True) if file.url != url}
    most = max((size for _, size in found), default=0.0)
    mask = options.lumi_mask
    return Plan(
        tagger.identity(), files, most, skipped, classes=tagger.classes, lumi_mask=mask, access=access
    )


def planned_datasets(plan: Plan, listed: Mapping[str, ListedInput]) -> tuple[PlannedDataset, ...]:
    """Return the datasets that lists name for the files of a plan, in the order of their names."""
    files: dict[str, list[str]] = {}
    metadata: dict[str, dict[str, Any]] = {}
    for file in plan.files:
        one = _listed(plan, file, listed)
        if one is not None and one.dataset:
            files.setdefault(one.dataset, []).append(file.uuid)
            metadata.setdefault(one.dataset, {}).update(one.metadata)
    return tuple(PlannedDataset(name, metadata[name], tuple(files[name])) for name in sorted(files))


def notes_on_plan(
    plan: Plan, listed: Mapping[str, ListedInput], chunk_events: int | None = None
) -> Iterator[str]:
    """Yield lines on what the plan of some inputs does otherwise than people may think.

    Parameters
    ----------
    chunk_events : int, optional
        Size of a chunk that was asked for.
    """
    if plan.events == 0:
        many = len(plan.files) > 1
        files = f"none of the {len(plan.files):,} files holds" if many else "the file holds no"
        yield f"warning: {files} events, so there will be no rows"
    for name in sorted({file.format for file in plan.files}):
        if text := approximation(name):
            urls = [file.url for file in plan.files if file.format == name]
            more = f" and {len(urls) - 1:,} more" if len(urls) > 1 else ""
            yield f"note: {urls[0]}{more}: {text}"
    odd = [(file, one) for file in plan.files if (one := _listed(plan, file, listed)) and _differs(file, one)]
    if odd:
        file, one = odd[0]
        more = f"; {len(odd) - 1:,} more files differ" if len(odd) > 1 else ""
        counts = f"its list says {one.entries:,} entries, it has {file.entries:,}, and all are read"
        yield f"warning: {file.url}: {counts}{more}"
    largest = max((stop - start for file in plan.files for start, stop in file.ranges()), default=0)
    # A rest of less than half a chunk joins the last one.
    if chunk_events and largest > 1.5 * chunk_events:
        whole = "a chunk is made of whole clusters of its file"
        yield f"note: chunks have up to {largest:,} events, not {chunk_events:,}: {whole}"


def _listed(plan: Plan, file: FileInfo, listed: Mapping[str, ListedInput]) -> ListedInput | None:
    return listed.get(plan.access.get(file.uuid, file.url))


def _differs(file: FileInfo, listed: ListedInput) -> bool:
    """Return whether a list says another number of entries; what is cut was said when it was read."""
    return listed.entries is not None and not listed.cut and listed.entries != file.entries


def _inspect(
    tagger: TaggerSpec, options: ReadOptions, inputs: InputOptions, url: str
) -> tuple[FileInfo, float] | E2EError:
    """Return what an input holds and the bytes of its largest event, or why it can't be used."""

    def read(path: str) -> tuple[FileInfo, float]:
        columns, collections = tagger.columns(), tagger.objects.collections
        kind = {"format": options.format, "tree": options.tree_of(url)}
        with open_events(path, columns, collections, **kind) as reader:
            if options.lumi_mask:
                reader.require_lumis()
            return reader.info, reader.bytes_per_event()

    try:
        info, size = read_input(url, inputs.in_place(), read)
    except E2EError as error:
        return error.advising("A folder of a server ends with a slash.") if _may_be_folder(url) else error
    except Exception as error:
        if not is_bug(error):
            raise
        return as_bug(error)
    return replace(info, url=public(url)), size


def _may_be_folder(url: str) -> bool:
    """Return whether an address without an ending, on a server, is one that people mean a folder by."""
    return not is_local(url) and "." not in public(url).rpartition("/")[2]


def _inspect_with_retries(urls: Sequence[str], look: Callable[[str], T | E2EError]) -> list[T | E2EError]:
    """Return what `look` returns for each input; if a server does not answer, try again later.

    A file that is skipped is left out for good, and a server may be back in a moment.
    """
    found: dict[str, T | E2EError] = {}
    again = list(dict.fromkeys(urls))
    for pause_s in (*_OUTAGE_PAUSES_S, 0.0):
        found |= zip(again, inspect_all(again, look), strict=True)
        again = [url for url in again if _is_transient(url, found[url])]
        if not again:
            break
        time.sleep(pause_s)
    return [found[url] for url in urls]


def _is_transient(url: str, item: object) -> bool:
    """Return whether a server did not answer; one that has no such file, or refuses it, has."""
    if not isinstance(item, E2EError) or not item.retryable or not host(url):
        return False
    return not isinstance(item.__cause__, FileNotFoundError) and not is_refused(item)


def inspect_all(urls: Sequence[str], look: Callable[[str], T]) -> list[T]:
    """Return what `look` returns for each input, many at a time."""
    pool = ThreadPoolExecutor(_OPENERS)
    try:
        return list(pool.map(look, urls))
    finally:  # not waited for: an interrupt must not wait for a server that does not answer
        pool.shutdown(wait=False, cancel_futures=True)


def combine_errors(errors: list[E2EError], files: int, way_on: str = "") -> E2EError:
    """Return one error that names all files that can't be used, or the first bug: no fault of theirs."""
    bugs = [error for error in errors if isinstance(error, ProgrammingError)]
    return bugs[0] if bugs else combined(errors, files, "input files", way_on)


def _refuse_copies(files: list[FileInfo]) -> None:
    first: dict[str, str] = {}
    for info in files:
        if info.uuid in first:
            what = f"is a copy of {first[info.uuid]}: both have uuid {info.uuid}"
            raise InputError(info.url, what, "Name one of them, or its events would count twice.")
        first[info.uuid] = info.url


def default_chunk_events(tagger: TaggerSpec, entries: int, threads: int) -> int:
    """Return the tagger's own chunk size, or less where that would leave threads without work."""
    return max(1, min(tagger.chunk_events, entries // max(1, threads * _CHUNKS_PER_THREAD)))
