"""From many parts to few sorted files, a row group in memory at a time.

Parts hold disjoint ranges of entries, so laying them in the order of files and entries sorts everything;
only the rows of one part are sorted in memory. Which parts go into which file is decided before anything
is written, so whatever stopped an earlier try, the same call makes what is missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from e2edist import __version__
from e2edist.campaign.verify import Part
from e2edist.errors import OutputError
from e2edist.storage.parts import RECEIPT
from e2edist.storage.publish import publish, sweep

from .union import Campaign

#: Folder of the files, and their names.
TABLE = "table"
_NAME = "part-{:05d}.parquet"
_KEY = ("entry", "kind", "object")
#: Rows that are written at a time.
_ROW_GROUP = 500_000


@dataclass(frozen=True, slots=True)
class Bundle:
    """Parts that go into one file, in order, and what proves that a file holds them."""

    parts: tuple[Part, ...]

    @property
    def digest(self) -> str:
        """sha256 over the parts' names: the same parts have the same content."""
        return hashlib.sha256("\n".join(part.path.stem for part in self.parts).encode()).hexdigest()


def bundles(campaigns: Sequence[Campaign], file_mib: float) -> list[Bundle]:
    """Return which parts go into which file of about `file_mib`, in the order of uuid, tree and entry."""
    parts = [part for one in campaigns for part in one.verdict.good_parts]
    parts.sort(key=lambda part: (part.uuid, part.tree, part.start, part.stop))
    found: list[Bundle] = []
    some: list[Part] = []
    size = 0.0
    for part in parts:
        some.append(part)
        size += part.path.stat().st_size / 2**20
        if size >= file_mib:
            found.append(Bundle(tuple(some)))
            some, size = [], 0.0
    return [*found, Bundle(tuple(some))] if some else found


def compact(campaigns: Sequence[Campaign], folder: Path, file_mib: float) -> list[Path]:
    """Write the table of all campaigns below `folder`, sorted by uuid, entry, kind and object.

    Parameters
    ----------
    file_mib : float
        Size of a file, about: that of the parts in it, which it does not exceed by more than one.

    Returns
    -------
    list of Path
        The files, in order.

    Raises
    ------
    OutputError
        Two rows have one key, a row is of an entry that its part has not, or the folder can't be written.
    """
    table, origin = folder / TABLE, _origin(campaigns)
    table.mkdir(parents=True, exist_ok=True)
    sweep(table)
    paths = []
    for number, bundle in enumerate(bundles(campaigns, file_mib)):
        path = table / _NAME.format(number)
        proof = origin | {"parts": len(bundle.parts), "content": bundle.digest}
        if _proof(path) != proof:
            _write(path, bundle, proof)
        paths.append(path)
    for path in set(table.glob("part-*.parquet")) - set(paths):
        path.unlink()
    return paths


def _origin(campaigns: Sequence[Campaign]) -> dict[str, Any]:
    return {
        "e2edist": __version__,
        "campaigns": [{"fingerprint": c.plan.fingerprint, "plan": c.plan.checksum} for c in campaigns],
        "tagger": campaigns[0].plan.tagger,
    }


def _proof(path: Path) -> dict[str, Any] | None:
    try:
        content = pq.read_metadata(path).metadata or {}
        found: dict[str, Any] = json.loads(content[RECEIPT.encode()])
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return None
    return found


def _write(path: Path, bundle: Bundle, proof: dict[str, Any]) -> None:
    schema = pq.read_schema(bundle.parts[0].path).remove_metadata()
    options: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}
    with publish(path) as draft, pq.ParquetWriter(draft, schema, **options) as writer:
        for rows in _row_groups(bundle.parts):
            writer.write_table(rows.cast(schema), row_group_size=_ROW_GROUP)
        writer.add_key_value_metadata({RECEIPT: json.dumps(proof)})


def _row_groups(parts: Sequence[Part]) -> Iterator[pa.Table]:
    some: list[pa.Table] = []
    rows = 0
    for part in parts:
        some.append(read_sorted(part))
        rows += some[-1].num_rows
        if rows >= _ROW_GROUP:
            yield pa.concat_tables(some).unify_dictionaries()
            some, rows = [], 0
    if some:
        yield pa.concat_tables(some).unify_dictionaries()


def read_sorted(part: Part) -> pa.Table:
    """Return the rows of a part in the order of their key.

    Raises
    ------
    OutputError
        A key occurs twice, or an entry is not of this part.
    """
    rows = pq.read_table(part.path, partitioning=None)
    keys = pa.table({name: _plain(rows[name]) for name in _KEY})
    rows = rows.take(pc.sort_indices(keys, [(name, "ascending") for name in _KEY]))
    if len(rows):
        keys = pa.table({name: _plain(rows[name]) for name in _KEY})
        same = [pc.equal(keys[name][1:], keys[name][:-1]) for name in _KEY]
        if pc.any(pc.and_(pc.and_(*same[:2]), same[2])).as_py():
            raise OutputError(str(part.path), "has two rows of one key", "Remove it: submit makes it again.")
        first, last = pc.min_max(keys["entry"]).values()
        if first.as_py() < part.start or last.as_py() >= part.stop:
            raise OutputError(str(part.path), "has rows of entries that are not its own", "Remove it.")
    return rows


def _plain(column: Any) -> Any:
    kind = column.type
    return column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column.combine_chunks()
