"""Whether a branch can be read as what a table needs; uproot's own types and errors end here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from e2edist.errors import InputError, described

from ._branch_map import Branch
from ._unsplit import UnsplitLeaf
from ._uproot import uproot

if TYPE_CHECKING:
    from ._branch_map import BranchErrors

NumberKind = Literal["integer", "number"]


def raw_bytes() -> Any:
    """Return the interpretation of a branch as the bytes of each entry."""
    return uproot.AsJagged(uproot.AsDtype("u1"))


def float_rows(source: Any, width: int) -> Branch | None:
    """Return the branch of lists of `width` float32 a row, to be read as one flat list; None if it is not."""
    try:
        interpretation = source.interpretation
    except Exception:  # as below: of a damaged or exotic branch, which then is none
        return None
    content = getattr(interpretation, "content", None)
    if (
        source.num_entries != source.tree.num_entries
        or not isinstance(interpretation, uproot.AsJagged)
        or not isinstance(content, uproot.AsDtype)
        or content.from_dtype != np.dtype((">f4", (width,)))
    ):
        return None
    flat = uproot.AsJagged(uproot.AsDtype(">f4"), interpretation.header_bytes)
    return Branch(source.name, False, flat, source, np.dtype(">f4"), interpretation.header_bytes)


def check_branch(
    source: Any, column: str, kind: NumberKind, errors: BranchErrors, *, scalar: bool = False
) -> Branch | None:
    """Return the branch to read `column` from, or note why it can't be and return None.

    Parameters
    ----------
    source : object
        A TBranch of uproot, or what stands for it.
    column : str
        ``table.column``, for the message.
    kind : "integer" or "number"
        What the values must be.
    errors : BranchErrors
        Takes the reason.
    scalar : bool
        One number an entry is wanted, instead of lists.

    Raises
    ------
    InputError
        The disk or the network fails; it may be tried again.
    """
    if isinstance(source, UnsplitLeaf):
        return _check_leaf(source, column, kind, errors)
    try:
        interpretation = source.interpretation
        dtype, override = _dtype(interpretation, scalar=scalar)
    except Exception as error:  # a damaged or exotic branch may raise anything here
        if _is_transient(error):  # types are read from the file when they are needed
            what = f"branch {source.name!r} can't be inspected ({described(error)})"
            raise InputError(errors.where, what, "Check the disk or the network", retryable=True) from error
        problem, hint = f"can't be interpreted ({type(error).__name__}: {error})", ""
    else:
        problem, hint = _problem(source, dtype, kind, scalar=scalar)
    if problem:
        errors.add_unusable(column, f"branch {source.name!r} {problem}", hint)
        return None
    header = 0 if scalar else int((override or interpretation).header_bytes)
    return Branch(source.name, scalar, override, source, dtype, header)


def _check_leaf(leaf: UnsplitLeaf, column: str, kind: NumberKind, errors: BranchErrors) -> Branch | None:
    """Return the branch whose records have a column, as `check_branch`."""
    problem, hint = _problem(leaf, leaf.dtype, kind, scalar=False)
    if problem:
        errors.add_unusable(column, f"branch {leaf.name!r} {problem}", hint)
        return None
    where = (leaf.records, leaf.path)
    return Branch(leaf.source.name, False, raw_bytes(), leaf.source, np.dtype("u1"), inside=where)


def _problem(source: Any, dtype: np.dtype[Any] | None, kind: NumberKind, *, scalar: bool) -> tuple[str, str]:
    """Return what is wrong with a branch, and what can be done; empty if nothing is."""
    if source.num_entries != source.tree.num_entries:
        counts = f"{source.num_entries} entries in a tree of {source.tree.num_entries}"
        return f"has {counts}", "Make the file again: it was merged wrongly"
    if packed := _packed(source):
        return f"is a {packed} of fewer bits, read wrongly by uproot", "Write it as a plain float"
    if dtype is None or dtype.kind not in ("iu" if kind == "integer" else "iuf"):
        what = "integer" if kind == "integer" else "number"
        shape = f"one {what} an event" if scalar else f"a list of {what}s an event"
        return f"has type {_typename(source)!r}, wanted is {shape}", ""
    return "", ""


def _is_transient(error: Exception) -> bool:
    """Return whether an error is of the system or of a network library, not of the branch."""
    library = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError) or library in ("aiohttp", "fsspec", "fsspec_xrootd", "XRootD")


def _packed(source: Any) -> str:
    """Return the type of a leaf list whose numbers are packed into a range or into few bits, else nothing."""
    found = re.search(r"/([df])\[([^\]]*)\]", str(getattr(source, "title", "")))
    if found is None or (found[1] == "d" and re.fullmatch(r"0, *0(, *32)?", found[2])):
        return ""
    return {"d": "Double32_t", "f": "Float16_t"}[found[1]]


def _typename(source: Any) -> str:
    try:
        return str(source.typename)
    except Exception:  # as above; the name of the type is only for the message
        return "unknown"


def _dtype(interpretation: Any, *, scalar: bool) -> tuple[np.dtype[Any] | None, Any]:
    """Return the element type (None: not numbers in the wanted shape) and an interpretation to force."""
    content = interpretation
    if not scalar:
        if not isinstance(interpretation, uproot.AsJagged):
            return None, None
        content = interpretation.content
    if isinstance(content, uproot.AsDtype):
        dtype = content.from_dtype
        plain = dtype.subdtype is None and dtype.names is None
        return (dtype, None) if plain else (None, None)
    if isinstance(content, uproot.AsDouble32) and content.low == content.high == 0 and not content.to_dims:
        # A Double32_t without a range is a plain float on disk; uproot 5.7 fails on it, or asks for 8 GiB.
        plain32 = uproot.AsDtype(">f4")
        forced = plain32 if scalar else uproot.AsJagged(plain32, interpretation.header_bytes)
        return np.dtype(">f4"), forced
    return None, None
