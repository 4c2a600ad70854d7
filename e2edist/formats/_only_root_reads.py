"""Files that are as they should be, and that ROOT alone reads: what they are called, and what to do."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from e2edist.errors import InputError, guarded

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What uproot says of a block that begins with CS; there is no class of its own for it.
_OLD_BLOCK = "unsupported compression algorithm: b'CS'"
_OLD_COMPRESSION = (
    "is compressed with ROOT's old algorithm (CS, compression setting 301), which only ROOT reads",
    "Write it again with another one: hadd -f404 new.root old.root",
)
#: RNTuples were of this class until their format became final.
OLD_CLASS = "ROOT::Experimental::RNTuple"


@contextmanager
def reading(where: str, what: str, todo: str, kind: type[InputError] = InputError) -> Iterator[None]:
    """Do what `guarded` does, and name the compression that uproot can't undo."""
    try:
        with guarded(where, what, todo, kind):
            yield
    except kind as error:
        if _OLD_BLOCK not in str(error.__cause__):
            raise
        raise kind(where, *_OLD_COMPRESSION) from error.__cause__


def old_ntuple(url: str, name: str) -> InputError:
    """Return the error for an RNTuple that was written before its format was final."""
    what = f"RNTuple {name!r} has a format before 1.0, which only the ROOT that wrote it (before 6.34) reads"
    return InputError(url, what, "Make the file again with ROOT 6.34 or newer, or as a TTree")
