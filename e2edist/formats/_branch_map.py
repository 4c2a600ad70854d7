"""What a format is asked for, and what it answers: which branches of a tree fill which tables, and how."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from os.path import commonprefix
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from e2edist.errors import BranchError, UnsplitError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    import numpy as np

    from e2edist.imaging.event_batch import Array, Columns, Ragged

    Fold = Callable[["JaggedColumn", int], "JaggedColumn"]

#: For a configuration of CMSSW; `process.out` is what most of them call their output module. Without the
#: first line, what is read from a file keeps its split level. No line is wider than a terminal.
_SPLIT_IT = """\
Write it split, in CMSSW:

process.out.overrideInputFileSplitLevels = cms.untracked.bool(True)
process.out.overrideBranchesSplitLevel = cms.untracked.VPSet(*[
    cms.untracked.PSet(
        branch = cms.untracked.string(name),
        splitLevel = cms.untracked.int32(99),
    ) for name in [
{}    ]
])

(process.out is your output module), or turn it into a hit ntuple"""
_OTHER_FILE = "Give another file, or change kinds, layers and collections in a copy of the tagger file"
#: Names less alike than this are not near.
_NEAR = 0.75


class JaggedColumn(NamedTuple):
    """One branch in memory: entry i owns the half-open range ``offsets[i]:offsets[i + 1]`` of `data`."""

    offsets: Array
    data: Array


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch that will be read; `check_branch` makes it.

    Attributes
    ----------
    name : str
        In the tree.
    scalar : bool
        One number an entry instead of a list of numbers.
    interpretation : object, optional
        What to read it as, where uproot's own interpretation does not do.
    source : object, optional
        uproot's TBranch, or what stands for it.
    dtype : dtype, optional
        Of the numbers on disk; None where only uproot knows.
    header_bytes : int
        Bytes before the numbers of each entry, as a std::vector has them.
    fold : function, optional
        ``fold(column, first) -> column``: what is kept of some entries, the first of which has the number
        `first` in the tree. The branch is then read a few entries at a time, so that dense images of a whole
        range are never in memory; `TableReader.build` gets what was kept.
    inside : tuple of Records and str, optional
        What decodes the bytes that are read, and the path of the column in them.
    """

    name: str
    scalar: bool = False
    interpretation: Any = field(default=None, compare=False)
    source: Any = field(default=None, compare=False, repr=False)
    dtype: np.dtype[Any] | None = field(default=None, compare=False)
    header_bytes: int = field(default=0, compare=False)
    fold: Fold | None = field(default=None, compare=False)
    inside: Any = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TableReader:
    """What fills one table: the branches to read, and the function from them to the table.

    Attributes
    ----------
    table : str
        Name in `TABLES`.
    branches : tuple of Branch
        Everything that `build` looks up.
    build : function
        From name of a branch -> `JaggedColumn` to the table; pure numpy.
    """

    table: str
    branches: tuple[Branch, ...]
    build: Callable[[Mapping[str, JaggedColumn]], Ragged]


@dataclass(frozen=True, slots=True)
class EventIds:
    """Where run, luminosity block and event are, and how to decode them (None: not readable).

    They are read with the tables: what fails there fails the range. What can't be read of such a file at all
    is not among the branches, and what `decode` understands nowhere in a range is None: both are noted.
    """

    branches: tuple[Branch, ...]
    decode: Callable[[Mapping[str, JaggedColumn]], dict[str, Array | None]]


@dataclass(frozen=True, slots=True)
class BranchMap:
    """All that a format found in a tree for the columns that were asked for.

    Attributes
    ----------
    tables : tuple of TableReader
        One for each table of the request, of hits and tracks or of pixels.
    event_ids : EventIds, optional
        None where no number of an event can be read.
    notes : tuple of str
        What receipts have to say of this tree: what of run, luminosity block and event it does not have in
        readable form, and why; what its tables approximate.
    """

    tables: tuple[TableReader, ...]
    event_ids: EventIds | None = None
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class BranchErrors:
    """Everything that is wrong with a tree for one request: collected first, raised as one error.

    Attributes
    ----------
    where : str
        File and tree.
    causes : list of str
        What explains the rest, as which kind of file it is: said in place of most of it.
    messages : list of str
        One for each column that can't be read.
    unsplit : dict of str to str
        EDM products that are not split and can't be decoded either, and why.
    hints : list of str
        What the user can do, as sentences without a full stop.
    """

    where: str
    causes: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    unsplit: dict[str, str] = field(default_factory=dict)
    hints: list[str] = field(default_factory=list)

    def add_missing(self, column: str, wanted: Sequence[str], known: Iterable[str], hint: str = "") -> None:
        """Note that no branch of the names `wanted` gives `column`, and which of `known` are near."""
        self.add_all_missing({column: wanted}, known)
        self.add_hint(hint)

    def add_all_missing(self, wanted: Mapping[str, Sequence[str]], known: Iterable[str]) -> None:
        """Note as one fault that there is no branch for some columns, each with the names it may have."""
        names = [name for some in wanted.values() for name in some]
        # What all names begin with, as that of a product, is said once.
        begin = commonprefix(names).rpartition(".")[0]  # noqa: RUF071 - these are no paths
        below = f" below {begin}" if begin else ""
        said = ", ".join(" or ".join(some) for some in wanted.values()) + _near_names(names, known)
        text = re.sub(rf"(?<!\w){re.escape(begin)}\.", "", said) if begin else said
        self.messages.append(f"no branch for {', '.join(wanted)}{below} (wanted {text})")

    def add_cause(self, cause: str, hint: str) -> None:
        """Note what explains the other faults, once."""
        if cause not in self.causes:
            self.causes.append(cause)
            self.add_hint(hint)

    def add_unusable(self, column: str, problem: str, hint: str = "") -> None:
        """Note that the branch of `column` can't be used."""
        self.messages.append(f"{column}: {problem}")
        self.add_hint(hint)

    def add_hint(self, hint: str) -> None:
        """Add what the user can do, once."""
        if hint and hint not in self.hints:
            self.hints.append(hint)

    def raise_if_any(self) -> None:
        """Raise all of it as one BranchError or UnsplitError, if there is anything."""
        faults = [*self.causes, *self.messages[:1]] if self.causes else self.messages
        if self.unsplit:
            products = [f"unsplit EDM product {name}: {why}" for name, why in self.unsplit.items()]
            # All processes: a file that is written again may have another.
            again = "".join(f"        '{name.rstrip('.').rpartition('_')[0]}_*',\n" for name in self.unsplit)
            hints = self.hints if self.causes else [_SPLIT_IT.format(again), *self.hints]
            raise UnsplitError.of_faults(self.where, [*products, *faults], ". ".join(hints))
        if faults:
            raise BranchError.of_faults(self.where, faults, ". ".join(self.hints or [_OTHER_FILE]))


@dataclass(frozen=True, slots=True)
class Request:
    """What a format is asked to find.

    Attributes
    ----------
    tree : object
        uproot's TTree, or an RNTuple that looks like one.
    columns : mapping of str to frozenset of str
        Table -> columns, all of them names in `TABLES`.
    collections : mapping of str to tuple of str
        Table (or "vertices") -> labels in order of preference, as the tagger file has them; for what is not
        there, the format's own.
    errors : BranchErrors
        Takes what is not found; a format continues after an error, so that all are reported at once.
    layers : frozenset of str
        Layers whose pixels are asked for in case that a format has them as they are, or coarse ones: it then
        gives tables named `pixel_table` of them in place of tables of hits and tracks.
    """

    tree: Any
    columns: Columns
    collections: Mapping[str, tuple[str, ...]]
    errors: BranchErrors
    layers: frozenset[str] = frozenset()

    @property
    def branches(self) -> dict[str, Any]:
        """Name -> branch of the top level; of two branches with one name the first, as in ROOT."""
        return {branch.name: branch for branch in reversed(list(self.tree.branches))}


class Format(Protocol):
    """What a module in `e2edist.formats`, or behind an entry point ``e2edist.formats``, must have.

    Optional are ``TREES``, a tuple with the names that its tree usually has, which are looked at first, and
    ``APPROXIMATE``, a clause on how its images differ from those of rechits, which `submit` prints.
    """

    def detect(self, names: Collection[str]) -> bool:
        """Return whether a tree with branches of these names is of this format."""

    def map_branches(self, request: Request) -> BranchMap:
        """Find and check the branches for all columns of `request`, without reading them."""


def _near_names(wanted: Sequence[str], known: Iterable[str]) -> str:
    """Return what to say of known names: all of them if they are few, else those near to any of `wanted`."""
    names = sorted(known)
    if len(names) <= 6:
        return f"; there are {', '.join(names)}" if names else "; there is none of that kind"
    begin = commonprefix([*wanted, *names])  # noqa: RUF071 - these are no paths
    near = dict.fromkeys(one for name in wanted for one in _near(name, names, begin))
    return f"; nearest: {', '.join(list(near)[:4])}" if near else ""


def _near(wanted: str, names: Sequence[str], begin: str) -> list[str]:
    """Return what may be `wanted` under another name; all of them start with `begin`, which says nothing."""
    # The same thing elsewhere: obj.pt_ is ...p4Polar_.fCoordinates.fPt, whatever the letters in common are.
    same = [name for name in names if _plain(name) == _plain(wanted)]
    if same:
        return [min(same, key=lambda name: (name.count("."), len(name)))]
    ends = [name.removeprefix(begin) for name in names]
    return [begin + end for end in get_close_matches(wanted.removeprefix(begin), ends, n=3, cutoff=_NEAR)]


def _plain(name: str) -> str:
    """Return what a member of a class is about: pt of pt_, fPt and m_pt."""
    last = name.rpartition(".")[2].strip("_").removeprefix("m_")
    return (last[1:] if last[:1] == "f" and last[1:2].isupper() else last).lower()
