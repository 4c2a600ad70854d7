"""Branches of a tree: checked for their type, every fault collected before any is raised."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from e2edist.errors import BranchError, InputError, UnsplitError, described

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from e2edist.imaging.event_batch import Array, Columns, Ragged

#: Typed as Any: uproot declares neither its exports nor the types of its interpretations.
uproot: Any = import_module("uproot")
Kind = Literal["integer", "number"]
SPLIT_IT = (
    "Write it split (in CMSSW: process.out.splitLevel = cms.untracked.int32(99)), or turn it into a hit "
    "ntuple; uproot can't read unsplit products and may even give wrong numbers for them"
)


class JaggedColumn(NamedTuple):
    """One branch in memory: entry i owns the half-open range ``offsets[i]:offsets[i + 1]`` of `data`."""

    offsets: Array
    data: Array


@dataclass(frozen=True, slots=True)
class Leaf:
    """A branch that will be read.

    Attributes
    ----------
    name : str
        Name of the branch in the tree.
    scalar : bool
        One number an entry instead of a list of numbers.
    interpretation : object, optional
        What to read it as, where uproot's own interpretation does not do.
    branch : object, optional
        The TBranch itself, or what stands for it.
    dtype : dtype, optional
        Of the numbers on disk; None where only uproot knows.
    header : int
        Bytes before the numbers of each entry, as a std::vector has them.
    """

    name: str
    scalar: bool = False
    interpretation: Any = field(default=None, compare=False)
    branch: Any = field(default=None, compare=False, repr=False)
    dtype: np.dtype[Any] | None = field(default=None, compare=False)
    header: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class TableReader:
    """What fills one table: the leaves to read, and the function from them to the table.

    Attributes
    ----------
    table : str
        Name in `TABLES`.
    leaves : tuple of Leaf
        Everything that `build` looks up.
    build : function
        From branch name -> `JaggedColumn` to the table; pure numpy.
    matched : mapping of str to str
        Column -> branches it comes from, for the provenance.
    """

    table: str
    leaves: tuple[Leaf, ...]
    build: Callable[[Mapping[str, JaggedColumn]], Ragged]
    matched: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EventIds:
    """Where run, luminosity block and event are, and how to decode them (None: not readable).

    They are read with the tables: what fails there fails the range. What can't be read of such a file at all
    is not among the leaves, and what `decode` does not understand is None: both are noted.
    """

    leaves: tuple[Leaf, ...]
    decode: Callable[[Mapping[str, JaggedColumn]], dict[str, Array | None]]


@dataclass(frozen=True, slots=True)
class BranchMap:
    """All that a format found in a tree for the columns that were asked for.

    Attributes
    ----------
    notes : tuple of str
        What of run, luminosity block and event this tree does not have in readable form, and why.
    """

    sources: tuple[TableReader, ...]
    numbers: EventIds | None = None
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class BranchErrors:
    """Everything that is wrong with a tree for one request."""

    where: str
    missing: list[str] = field(default_factory=list)
    unsplit: list[str] = field(default_factory=list)
    todo: list[str] = field(default_factory=list)

    def absent(self, column: str, wanted: Sequence[str], known: Iterable[str], todo: str = "") -> None:
        """Note that none of `wanted` gives `column`, and which of `known` are near."""
        self.missing.append(f"no branch for {column} (wanted {' or '.join(wanted)}; {_near(wanted, known)})")
        self.advise(todo)

    def wrong(self, column: str, problem: str, todo: str = "") -> None:
        """Note that the branch of `column` can't be used."""
        self.missing.append(f"{column}: {problem}")
        self.advise(todo)

    def advise(self, todo: str) -> None:
        """Add what the user can do, once."""
        if todo and todo not in self.todo:
            self.todo.append(todo)

    def check(self) -> None:
        """Raise all faults in one error, if there are any."""
        if self.unsplit:
            products = ", ".join(dict.fromkeys(self.unsplit))
            what = "; ".join([f"unsplit EDM product {products}", *self.missing])
            raise UnsplitError(self.where, what, ". ".join([SPLIT_IT, *self.todo]))
        if self.missing:
            default = "Give another file, or change the layers and collections of the tagger file"
            raise BranchError(self.where, "; ".join(self.missing), ". ".join(self.todo or [default]))


@dataclass(frozen=True, slots=True)
class Request:
    """What a format is asked to find.

    Attributes
    ----------
    tree : object
        The TTree of uproot.
    columns : mapping of str to frozenset of str
        Table -> columns, all of them known names.
    collections : mapping of str to tuple of str
        Table (or "vertices") -> labels in order of preference; what is not there has the format's default.
    faults : Faults
        Takes what is not found; `bind` goes on after a fault.
    """

    tree: Any
    columns: Columns
    collections: Mapping[str, tuple[str, ...]]
    faults: BranchErrors


def _near(wanted: Sequence[str], known: Iterable[str]) -> str:
    """Return the known names nearest to any of `wanted`; all of them when they are few."""
    names = sorted(known)
    if len(names) <= 6:
        return f"there are {', '.join(names)}" if names else "there is none of that kind"
    close = [match for name in wanted for match in get_close_matches(name, names, n=3, cutoff=0.5)]
    shown = ", ".join(list(dict.fromkeys(close))[:4])
    return f"nearest: {shown}" if shown else f"there are {', '.join(names[:6])}, ... ({len(names)} in all)"


def raw_bytes() -> Any:
    """Return the interpretation of a branch as the bytes of each entry."""
    return uproot.AsJagged(uproot.AsDtype("u1"))


def leaf(branch: Any, column: str, kind: Kind, faults: BranchErrors, *, scalar: bool = False) -> Leaf | None:
    """Return the leaf for `branch`, or note why it can't be `column` and return None.

    Parameters
    ----------
    branch : object
        A TBranch of uproot.
    column : str
        ``table.column``, for the message.
    kind : "integer" or "number"
        What the values must be.
    faults : Faults
        Where a fault goes.
    scalar : bool
        One number an entry is wanted, instead of lists.
    """
    try:
        interpretation = branch.interpretation
        dtype, override = _dtype(interpretation, scalar=scalar)
    except Exception as error:  # a damaged or exotic branch may raise anything here
        if _may_pass(error):  # types are read from the file when they are needed
            what = f"branch {branch.name!r} can't be looked at ({described(error)})"
            raise InputError(faults.where, what, "Check the disk or the network", retryable=True) from error
        faults.wrong(column, f"branch {branch.name!r} can't be interpreted ({type(error).__name__}: {error})")
        return None
    if branch.num_entries != branch.tree.num_entries:
        counts = f"{branch.num_entries} entries in a tree of {branch.tree.num_entries}"
        faults.wrong(
            column, f"branch {branch.name!r} has {counts}", "Make the file again: it was merged wrongly"
        )
        return None
    if packed := _packed(branch):
        todo = "Write it as a plain float"
        faults.wrong(
            column, f"branch {branch.name!r} is a {packed} of fewer bits, read wrongly by uproot", todo
        )
        return None
    shape = "one number an event" if scalar else "a list of numbers an event"
    if dtype is None or dtype.kind not in ("iu" if kind == "integer" else "iuf"):
        wanted = shape.replace("number", "integer") if kind == "integer" else shape
        faults.wrong(column, f"branch {branch.name!r} has type {_typename(branch)!r}, wanted is {wanted}")
        return None
    header = 0 if scalar else int((override or interpretation).header_bytes)
    return Leaf(branch.name, scalar, override, branch, dtype, header)


def _may_pass(error: Exception) -> bool:
    """Return whether an error is of the system or of a network library, which tells nothing of a branch."""
    library = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError) or library in ("aiohttp", "fsspec", "fsspec_xrootd", "XRootD")


def _packed(branch: Any) -> str:
    """Return the type of a leaf list whose numbers are packed into a range or into few bits, else nothing."""
    found = re.search(r"/([df])\[([^\]]*)\]", str(getattr(branch, "title", "")))
    if found is None or (found[1] == "d" and re.fullmatch(r"0, *0(, *32)?", found[2])):
        return ""
    return {"d": "Double32_t", "f": "Float16_t"}[found[1]]


def _typename(branch: Any) -> str:
    try:
        return str(branch.typename)
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
