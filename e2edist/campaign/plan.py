"""Plans: which chunks of which files, frozen before any work starts.

A plan is written once, as ``plan.json``, and never recomputed: the same command on the same folder
goes on with it, another tagger, model or list of inputs is refused there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from e2edist.config.tagger import TaggerSpec
from e2edist.errors import E2EError, InputError, OutputError, ProgrammingError
from e2edist.formats import FileInfo, open_events
from e2edist.plugins import as_bug, is_bug
from e2edist.records.chunk import Chunk
from e2edist.storage.publish import publish
from e2edist.storage.staging import InputOptions, is_refused, read_input
from e2edist.urls import host, public, redact

from . import names

T = TypeVar("T")
PLAN = names.PLAN
_VERSION = 1
#: Opening files waits for disks and networks, not for cores.
_OPENERS = 16
#: Pauses before servers that did not answer are asked again.
_OUTAGE_PAUSES_S = (1.0, 5.0)
#: A pool thread should get at least this many chunks, so that all end at about the same time.
_CHUNKS_PER_THREAD = 4
#: Faults of so many files are shown.
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One input file as the plan knows it; chunks are the ranges between neighbouring `edges`."""

    url: str
    format: str
    tree: str
    uuid: str
    size: int
    entries: int
    edges: tuple[int, ...]

    def chunks(self) -> Iterator[Chunk]:
        """Yield the chunks; a file without entries has one, of no entries, so that it is accounted for."""
        stops = self.edges[1:] or (0,)
        starts = (0, *stops[:-1])
        for start, stop in zip(starts, stops, strict=True):
            yield Chunk(self.url, self.format, self.tree, self.uuid, self.size, self.entries, start, stop)


@dataclass(frozen=True, slots=True)
class Plan:
    """A campaign's chunks and all that decides its numbers.

    Attributes
    ----------
    tagger : dict
        `TaggerSpec.identity`.
    files : tuple of PlannedFile
    event_bytes : float
        Largest uncompressed bytes per event that a chunk reads, of all files.
    skipped : tuple of (str, str)
        Inputs that could not be planned, and why; only with leave to lose some.
    validation : str
        What validation had said of the model; decides no number.
    group : str
        ``K/N DIGEST`` where these are a group of the input files, DIGEST is of the names of all; or empty.
    access : dict of str to str
        By uuid, the address to open a file at where that is not its url. It may hold secrets: it is of the
        present command line, and no part of the plan as it is written.
    """

    tagger: dict[str, Any]
    files: tuple[PlannedFile, ...]
    event_bytes: float
    skipped: tuple[tuple[str, str], ...] = ()
    validation: str = ""
    group: str = ""
    access: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """sha256 over all that decides a number: tagger, model, imaging version, uuids of the inputs."""
        inputs = sorted((file.uuid, file.tree, file.entries) for file in self.files)
        text = json.dumps([self.tagger, inputs], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def checksum(self) -> str:
        """sha256 over the whole plan: a chunk edge moved by hand would count events twice."""
        content = self._content()
        for name in ("validation", "group"):  # plans of before had none
            if not content[name]:
                del content[name]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def events(self) -> int:
        """Number of entries of all files."""
        return sum(file.entries for file in self.files)

    def addresses(self) -> list[str]:
        """Return where to open all inputs, those that could not be planned too."""
        found = [self.access.get(file.uuid, file.url) for file in self.files]
        return found + [url for url, _ in self.skipped]

    def chunks(self) -> list[Chunk]:
        """Return all chunks, in the order of files and entries."""
        return [chunk for file in self.files for chunk in file.chunks()]

    def with_chunks(self, chunk_events: int) -> Plan:
        """Return a plan of the same files with chunks of about `chunk_events`, on the edges there are."""
        return replace(self, files=tuple(_merge_edges(file, chunk_events) for file in self.files))

    def _content(self) -> dict[str, Any]:
        content = asdict(replace(self, access={}))
        del content["access"]
        return content

    def write(self, folder: Path) -> None:
        """Freeze the plan as ``plan.json``."""
        content = {"version": _VERSION, "fingerprint": self.fingerprint, "checksum": self.checksum}
        content |= self._content()
        with publish(folder / PLAN) as draft:
            draft.write_text(json.dumps(content, indent=1), encoding="utf-8")


def read_plan(folder: Path) -> Plan | None:
    """Return the plan of a folder, or None if it has none.

    Raises
    ------
    OutputError
        The plan can't be read, or was changed since it was frozen.
    """
    path = folder / PLAN
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        files = tuple(PlannedFile(**{**file, "edges": tuple(file["edges"])}) for file in content["files"])
        skipped = tuple((url, why) for url, why in content["skipped"])
        said, group = content.get("validation", ""), content.get("group", "")
        plan = Plan(content["tagger"], files, content["event_bytes"], skipped, said, group)
        proofs = (content["version"], content["fingerprint"], content["checksum"])
        intact = proofs == (_VERSION, plan.fingerprint, plan.checksum)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(str(path), f"can't be read ({error})", "Choose another --output.") from error
    if not intact:
        raise OutputError(str(path), "was changed or is of another version", "Choose another --output.")
    # Plans of before may hold addresses in full.
    files = tuple(replace(file, url=public(file.url)) for file in plan.files)
    return replace(plan, files=files, skipped=tuple((public(url), redact(why)) for url, why in plan.skipped))


def make_plan(
    tagger: TaggerSpec,
    urls: Sequence[str],
    *,
    format: str | None = None,  # noqa: A002
    tree: str | None = None,
    max_bad_fraction: float = 0.0,
    inputs: InputOptions = InputOptions(),  # noqa: B008 - frozen
) -> Plan:
    """Open all files in parallel, check that the tagger's branches are there, and plan a chunk a cluster.

    Parameters
    ----------
    max_bad_fraction : float
        Fraction of the files that may be unusable; they are noted as skipped.
    inputs : InputOptions
        Where else to look for remote files.

    Raises
    ------
    InputError
        Files can't be used: all of them are named. Or two of them are copies of one.
    ProgrammingError
        A format plug-in has a bug, which is no fault of the files.
    """

    def inspect(path: str) -> tuple[FileInfo, float]:
        columns, collections = tagger.columns(), tagger.objects.collections
        with open_events(path, columns, collections, format=format, tree=tree) as reader:
            return reader.info, reader.bytes_per_event()

    def look(url: str) -> tuple[FileInfo, float] | E2EError:
        try:
            info, size = read_input(url, inputs.in_place(), inspect)
        except E2EError as error:
            return error
        except Exception as error:
            if not is_bug(error):
                raise
            return as_bug(error)
        return replace(info, url=public(url)), size

    looked = _look_patiently(urls, look)
    faults = {url: item for url, item in zip(urls, looked, strict=True) if isinstance(item, E2EError)}
    if len(faults) > max_bad_fraction * len(urls):
        raise all_faults(list(faults.values()), len(urls))
    found = [item for item in looked if not isinstance(item, E2EError)]
    _refuse_copies([info for info, _ in found])
    files = tuple(PlannedFile(**asdict(info)) for info, _ in found)
    skipped = tuple((public(url), str(fault)) for url, fault in faults.items())
    opened = [url for url in urls if url not in faults]
    access = {file.uuid: url for file, url in zip(files, opened, strict=True) if file.url != url}
    most = max((size for _, size in found), default=0.0)
    return Plan(tagger.identity(), files, most, skipped, access=access)


def _look_patiently(urls: Sequence[str], look: Callable[[str], T | E2EError]) -> list[T | E2EError]:
    """Return what `look` says of each input; of servers that do not answer it is asked once more, later.

    A file that is skipped is left out for good, and a server may be back in a moment.
    """
    found: dict[str, T | E2EError] = {}
    again = list(dict.fromkeys(urls))
    for pause_s in (*_OUTAGE_PAUSES_S, 0.0):
        found |= zip(again, look_at_all(again, look), strict=True)
        again = [url for url in again if _may_pass(url, found[url])]
        if not again:
            break
        time.sleep(pause_s)
    return [found[url] for url in urls]


def _may_pass(url: str, item: object) -> bool:
    """Return whether a server did not answer; one that has no such file, or refuses it, has."""
    if not isinstance(item, E2EError) or not item.retryable or not host(url):
        return False
    return not isinstance(item.__cause__, FileNotFoundError) and not is_refused(item)


def look_at_all(urls: Sequence[str], look: Callable[[str], T]) -> list[T]:
    """Return what `look` says of each input, many at a time."""
    pool = ThreadPoolExecutor(_OPENERS)
    try:
        return list(pool.map(look, urls))
    finally:  # not waited for: who interrupts us need not wait for a server that does not answer
        pool.shutdown(wait=False, cancel_futures=True)


def all_faults(faults: list[E2EError], files: int) -> E2EError:
    """Return one error that tells of all inputs that can't be used."""
    bugs = [fault for fault in faults if isinstance(fault, ProgrammingError)]
    if bugs or len(faults) == 1:
        return (bugs or faults)[0]
    lines = [f"\n  {fault}" for fault in faults[:_SHOWN]]
    more = f"\n  ... and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return InputError("", f"{len(faults)} of {files} input files can't be used:{''.join(lines)}{more}")


def _refuse_copies(files: list[FileInfo]) -> None:
    first: dict[str, str] = {}
    for info in files:
        if info.uuid in first:
            what = f"is a copy of {first[info.uuid]}: both have uuid {info.uuid}"
            raise InputError(info.url, what, "Name one of them, or its events would count twice.")
        first[info.uuid] = info.url


def _merge_edges(file: PlannedFile, chunk_events: int) -> PlannedFile:
    edges = [0]
    for edge in file.edges[1:]:
        if edge - edges[-1] >= chunk_events:
            edges.append(edge)
    if edges[-1] != file.entries:
        # A short rest joins the last chunk rather than being one of its own.
        if len(edges) > 1 and file.entries - edges[-1] < chunk_events // 2:
            edges.pop()
        edges.append(file.entries)
    return replace(file, edges=tuple(edges))


def default_chunk_events(tagger: TaggerSpec, entries: int, threads: int) -> int:
    """Return the tagger's own chunk size, or less where that would leave threads without work."""
    return max(1, min(tagger.chunk_events, entries // max(1, threads * _CHUNKS_PER_THREAD)))
