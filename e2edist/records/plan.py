"""Plans: which chunks of which files, frozen before any work starts.

A plan is written once, as ``plan.json``, and never recomputed: the same command on the same folder
resumes it, another tagger, model or list of inputs is refused there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from e2edist.config.lumi_mask import mask_digest
from e2edist.errors import OutputError
from e2edist.input_file import FileInfo
from e2edist.storage.publish import publish
from e2edist.urls import public, redact

from .chunk import Chunk
from .folder import CampaignFolder
from .folder_checks import no_campaign

T = TypeVar("T")
_VERSION = 1


@dataclass(frozen=True, slots=True)
class PlannedDataset:
    """A named dataset among the inputs; decides no number.

    Attributes
    ----------
    name : str
    metadata : dict
        What a fileset says of it, in the form of JSON.
    files : tuple of str
        uuids of its files.
    """

    name: str
    metadata: dict[str, Any]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A campaign's chunks and all that decides its numbers.

    Attributes
    ----------
    tagger : dict
        `TaggerSpec.identity`.
    files : tuple of FileInfo
    event_bytes : float
        Largest uncompressed bytes per event that a chunk reads, of all files.
    skipped : tuple of (str, str)
        Inputs that could not be planned, and why; only where some may be lost.
    validation : str
        Result of validating the model; decides no number.
    group : str
        ``K/N DIGEST`` where these are a group of the input files, DIGEST is of the names of all; or empty.
    classes : tuple of str
        What the truth labels 0, 1 and so on are called (`TaggerSpec.classes`); decides no number.
    lumi_mask : str
        The luminosity blocks whose events count (`config.lumi_mask.canonical_mask`), or empty: all of them.
    access : dict of str to str
        By uuid, the address to open a file at where that is not its url. It may hold secrets: it is of the
        present command line, and no part of the plan as it is written.
    datasets : tuple of PlannedDataset
        Those that the inputs name.
    skip_bad_files : bool
        Whether `skipped` was asked for, and is no loss.
    """

    tagger: dict[str, Any]
    files: tuple[FileInfo, ...]
    event_bytes: float
    skipped: tuple[tuple[str, str], ...] = ()
    validation: str = ""
    group: str = ""
    classes: tuple[str, ...] = ()
    lumi_mask: str = ""
    access: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    datasets: tuple[PlannedDataset, ...] = ()
    skip_bad_files: bool = False

    @property
    def fingerprint(self) -> str:
        """sha256 over all that decides a number: tagger, model, imaging, uuids of the inputs, lumi mask."""
        inputs = sorted((file.uuid, file.tree, file.entries) for file in self.files)
        mask = [mask_digest(self.lumi_mask)] if self.lumi_mask else []
        text = json.dumps([self.tagger, inputs, *mask], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def checksum(self) -> str:
        """sha256 over the whole plan: a chunk edge moved by hand would count events twice."""
        content = self._content()
        for name in ("validation", "group"):  # older plans have none
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
        """Return all chunks, in the order of files and entries; a file without entries has one of none."""
        return [Chunk.of(file, *entries) for file in self.files for entries in file.ranges()]

    def with_chunks(self, chunk_events: int) -> Plan:
        """Return a plan of the same files with chunks of about `chunk_events`, on the edges there are."""
        return replace(self, files=tuple(_merge_edges(file, chunk_events) for file in self.files))

    def _content(self) -> dict[str, Any]:
        content = asdict(replace(self, access={}))
        del content["access"]
        for name in ("classes", "lumi_mask", "datasets", "skip_bad_files"):  # as in plans of before
            if not content[name]:
                del content[name]
        return content

    def write(self, folder: Path) -> None:
        """Freeze the plan as ``plan.json``."""
        content = {"version": _VERSION, "fingerprint": self.fingerprint, "checksum": self.checksum}
        content |= self._content()
        with publish(CampaignFolder(folder).plan) as draft:
            draft.write_text(json.dumps(content, indent=1), encoding="utf-8")


def require_plan(folder: Path) -> Plan:
    """Return the plan of a campaign's folder.

    Raises
    ------
    OutputError
        It has none, or one that `read_plan` refuses.
    """
    plan = read_plan(folder)
    if plan is None:
        raise no_campaign(folder)
    return plan


def read_plan(folder: Path) -> Plan | None:
    """Return the plan of a folder, or None if it has none.

    Raises
    ------
    OutputError
        The plan can't be read, or was changed since it was frozen.
    """
    path = CampaignFolder(folder).plan
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        files = tuple(FileInfo(**{**file, "edges": tuple(file["edges"])}) for file in content["files"])
        skipped = tuple((url, why) for url, why in content["skipped"])
        validation, group = content.get("validation", ""), content.get("group", "")
        later = {"classes": tuple(content.get("classes", ())), "lumi_mask": content.get("lumi_mask", "")}
        plan = Plan(content["tagger"], files, content["event_bytes"], skipped, validation, group, **later)
        datasets = tuple(
            PlannedDataset(one["name"], one["metadata"], tuple(one["files"]))
            for one in content.get("datasets", ())
        )
        plan = replace(plan, datasets=datasets, skip_bad_files=content.get("skip_bad_files", False))
        proofs = (content["version"], content["fingerprint"], content["checksum"])
        intact = proofs == (_VERSION, plan.fingerprint, plan.checksum)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(str(path), f"can't be read ({error})", "Choose another --output.") from error
    if not intact:
        raise OutputError(str(path), "was changed or is of another version", "Choose another --output.")
    # Older plans may hold addresses in full.
    files = tuple(replace(file, url=public(file.url)) for file in plan.files)
    return replace(plan, files=files, skipped=tuple((public(url), redact(why)) for url, why in plan.skipped))


def _merge_edges(file: FileInfo, chunk_events: int) -> FileInfo:
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
