"""From many parts to few sorted files, a row group in memory at a time.

Parts hold disjoint ranges of entries, so laying them in the order of files and entries sorts everything;
only the rows of one part are sorted in memory. Which parts go into which file is decided before anything
is written, so whatever stopped an earlier try, the same call makes what is missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from e2edist.errors import OutputError
from e2edist.records.file_columns import with_file_columns
from e2edist.records.folder import AggregatedFolder
from e2edist.records.part_columns import AGGREGATED_COLUMNS
from e2edist.records.parts import RECEIPT, parquet_file, parquet_writer, read_footer, read_part
from e2edist.records.row_keys import KEY, in_order
from e2edist.records.verify import Part
from e2edist.storage.publish import publish, sweep

from .datasets import Dataset
from .file_names import FileNames
from .finished_campaigns import FinishedCampaign

#: Names of the files of a table.
_NAME = "part-{:05d}.parquet"
#: Rows that are written at a time.
_ROW_GROUP = 500_000
_ORDER = ("uuid", *KEY)
#: Adds columns to rows.
Name = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True, slots=True)
class OutputFile:
    """Parts that go into one file, in order."""

    parts: tuple[Part, ...]

    @property
    def digest(self) -> str:
        """sha256 over names and checksums of the parts: the same parts have the same content."""
        lines = (f"{part.path.stem} {part.checksum}\n" for part in self.parts)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def facts(self) -> dict[str, Any]:
        """Return what its footer says of the parts."""
        return {"parts": len(self.parts), "content": self.digest}


def output_files(parts: Iterable[Part], file_mib: float) -> list[OutputFile]:
    """Return which parts go into which file of about `file_mib`, in the order of uuid, tree and entry."""
    found: list[OutputFile] = []
    some: list[Part] = []
    size = 0.0
    for part in sorted(parts, key=lambda part: (part.uuid, part.tree, part.start, part.stop)):
        some.append(part)
        size += part.data_bytes / 2**20
        if size >= file_mib:
            found.append(OutputFile(tuple(some)))
            some, size = [], 0.0
    return [*found, OutputFile(tuple(some))] if some else found


def compact(
    campaigns: Sequence[FinishedCampaign],
    datasets: Sequence[Dataset],
    names: FileNames,
    folder: Path,
    origin: dict[str, Any],
) -> list[Path]:
    """Write the tables of all campaigns below `folder`, sorted by uuid, entry, kind and object.

    Parameters
    ----------
    datasets : sequence of Dataset
        Which input files make a table of their own; a file that holds what it should is left alone.
    names : FileNames
        Of the rows' datasets and files.
    origin : dict
        Where the rows come from, for the footer of each file.

    Returns
    -------
    list of Path
        The files, in order.

    Raises
    ------
    OutputError
        A part changed since it was verified, or the folder can't be written.
    """
    paths = []
    whole = AggregatedFolder(folder).table
    for dataset in datasets:
        table = whole / dataset.folder
        table.mkdir(parents=True, exist_ok=True)
        sweep(table)
        parts = [p for one in campaigns for p in one.verification.good_parts if p.uuid in dataset.uuids]
        for number, output_file in enumerate(output_files(parts, dataset.file_mib)):
            path = table / _NAME.format(number)
            facts = origin | {"dataset": dataset.name, "datasets": names.metadata} | output_file.facts()
            if _read_facts(path) != facts:
                # Readers make the column of the folder's name.
                wanted = ("file",) if dataset.name else AGGREGATED_COLUMNS
                _write(path, output_file, facts, partial(with_file_columns, files=names.files, wanted=wanted))
            paths.append(path)
    _remove_others(whole, paths)
    return paths


def _remove_others(whole: Path, paths: Sequence[Path]) -> None:
    """Remove the files of earlier aggregations that are not among `paths`, and empty folders."""
    for path in {*whole.rglob("part-*.parquet")} - {*paths}:
        path.unlink()
    for below in whole.glob("dataset=*"):
        if not any(below.iterdir()):
            below.rmdir()


def _read_facts(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(read_footer(path))
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return None
    return found


def _write(path: Path, output_file: OutputFile, facts: dict[str, Any], name: Name) -> None:
    with parquet_file(output_file.parts[0].path) as first:
        schema = name(first.schema_arrow.remove_metadata().empty_table()).schema
    order = [pq.SortingColumn(schema.get_field_index(name)) for name in _ORDER]
    options: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True, "sorting_columns": order}
    with publish(path) as draft, parquet_writer(draft, schema, **options) as writer:
        for rows in _row_groups(output_file.parts, name):
            writer.write_table(rows.cast(schema), row_group_size=len(rows))
        writer.add_key_value_metadata({RECEIPT: json.dumps(facts)})


def _row_groups(parts: Sequence[Part], name: Name) -> Iterator[pa.Table]:
    """Yield tables of half a million rows, the last one of what is left."""
    some: list[pa.Table] = []
    rows = 0
    for part in parts:
        some.append(name(read_sorted(part)))
        rows += some[-1].num_rows
        if rows >= _ROW_GROUP:
            table = pa.concat_tables(some).unify_dictionaries()
            whole = rows - rows % _ROW_GROUP
            for start in range(0, whole, _ROW_GROUP):
                yield table.slice(start, _ROW_GROUP)
            some, rows = [table.slice(whole)], rows - whole
    if rows:
        yield pa.concat_tables(some).unify_dictionaries()


def read_sorted(part: Part) -> pa.Table:
    """Return the rows of a verified part in the order of their key.

    Raises
    ------
    OutputError
        It is not what it was when it was verified.
    """
    content = read_part(part.path)
    if content.receipt.checksum != part.checksum:
        raise OutputError(str(part.path), "changed meanwhile", "Run the same line again.")
    return in_order(content.rows)
