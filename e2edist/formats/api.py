"""What a format imports, ours and those of other packages: everything in ``__all__``, and nothing else.

A format is a module with two functions, `Format` in types::

    TREES = ("Events",)                                # optional: names that its tree usually has

    def detect(names) -> bool: ...                     # is a tree with branches of these names one of mine?
    def map_branches(request: Request) -> BranchMap: ...  # which branches fill the tables, and how?

It lies in `e2edist.formats`, where its file name is its name, or in another package that announces it as an
entry point of the group ``e2edist.formats``. Opening files, reading ranges of entries, telling damage from
a disk that fails, and memory limits are the same for all formats and not its concern. `map_branches` reads
nothing: it finds and checks branches (`find_columns`, `check_branch`), and gives a `TableReader` for each
table of the request (`table_reader`, or one of its own whose `build` makes the table from arrays).

A format without hits (ready-made images, towers) gives, in place of the tables of hits and tracks, tables
named ``pixel_table(layer)`` for each of ``request.layers`` (`build_pixels` makes them).

What can't be found goes to ``request.errors``, so that all faults of a file are reported at once. A format's
own code raises an `EntriesError` where entries hold impossible values (``EntriesError("", what)``: the file
and range are filled in); any other exception is a bug of the format, and a campaign that meets only such
exceptions stops.
"""

from __future__ import annotations

from e2edist.errors import BranchError, EntriesError, InputError
from e2edist.imaging.event_batch import (
    OBJECT_COLUMNS,
    OBJECT_KINDS,
    TABLES,
    EventBatch,
    Ragged,
    pixel_table,
)
from e2edist.input_file import FileInfo

from ._branch_map import (
    Branch,
    BranchErrors,
    BranchMap,
    EventIds,
    Format,
    JaggedColumn,
    Request,
    TableReader,
)
from ._check_branch import NumberKind, check_branch, raw_bytes
from ._plain_event_ids import plain_event_ids
from ._tables import build_pixels, build_table, find_columns, join_rows, table_reader, to_dtype

__all__ = [
    "OBJECT_COLUMNS",
    "OBJECT_KINDS",
    "TABLES",
    "Branch",
    "BranchError",
    "BranchErrors",
    "BranchMap",
    "EntriesError",
    "EventBatch",
    "EventIds",
    "FileInfo",
    "Format",
    "InputError",
    "JaggedColumn",
    "NumberKind",
    "Ragged",
    "Request",
    "TableReader",
    "build_pixels",
    "build_table",
    "check_branch",
    "find_columns",
    "join_rows",
    "pixel_table",
    "plain_event_ids",
    "raw_bytes",
    "table_reader",
    "to_dtype",
]
