"""Files that appear whole or not at all."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from e2edist.errors import OutputError

#: Readers skip names that begin with a dot; this ending keeps globs for ``*.parquet`` away too.
DRAFT_ENDING = ".draft"


@contextmanager
def publish(path: Path, *, keep_same: bool = False) -> Iterator[Path]:
    """Give a draft to write, and rename it to `path` when the block ends without an error.

    Parameters
    ----------
    keep_same : bool
        Leave a file alone that holds the same bytes already.

    The draft lies in the same folder, is synced to disk before the rename, and is removed on any
    error; what a killed process leaves behind is swept by `sweep`. A name that exists is replaced
    by the same content, so a chunk that runs twice does no harm.

    Raises
    ------
    OutputError
        The folder can't be written, or the disk is full.
    """
    draft = path.with_name(f".{path.name}.{uuid4().hex[:12]}{DRAFT_ENDING}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield draft
            if keep_same and path.exists() and filecmp.cmp(draft, path, shallow=False):
                return
            _sync(draft)
            draft.replace(path)
            _sync(path.parent)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        todo = "Free space or choose another --output; what is done is kept."
        raise OutputError(str(path), f"can't be written ({error.strerror or error})", todo) from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> int:
    """Remove the drafts that killed processes left in `folder`; return how many there were."""
    drafts = list(folder.glob(f".*{DRAFT_ENDING}"))
    for draft in drafts:
        draft.unlink(missing_ok=True)
    return len(drafts)
