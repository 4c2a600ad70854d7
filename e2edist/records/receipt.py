"""Receipts: what is known of a finished chunk, in the footer of its part and in the ledger.

All code reads and writes receipts here, by the names of their fields, in any order. Receipts of older
versions lack fields, those of newer ones may have more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from ._codec import from_json, to_json
from .chunk import Chunk

#: Stage of a chunk that opens the model and compiles; not work on events.
EVENTSETUP = "eventsetup"
#: Fields that are left out where they are None or empty: those of the file that holds the receipt, which its
#: own footer can't have, and those that older receipts have not.
_OPTIONAL = ("size", "footer_crc", "events_in_mask", "lumis")
#: stage -> (wall ms, cpu ms, items)
StageTimes = dict[str, tuple[float, float, int]]


def add_times(a: StageTimes, b: StageTimes) -> StageTimes:
    """Return the sum of two sets of times, stage by stage; associative."""
    total = dict(a)
    for name, (wall, cpu, items) in b.items():
        before = total.get(name, (0.0, 0.0, 0))
        total[name] = (before[0] + wall, before[1] + cpu, before[2] + items)
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A finished chunk.

    Attributes
    ----------
    id : str
        Of the chunk, and name of its part.
    chunk : Chunk
    fingerprint : str
        Of the plan.
    rows, events : int
        Rows of the part; entries of the chunk.
    status : dict of str to int
        Objects by status.
    stages : dict
        Stage -> (wall ms, cpu ms, items).
    started : float
        Seconds since 1970.
    host, pid
        Of the worker.
    peak_mib : int
        Largest memory of the worker process, whose threads share it.
    pool, validation, image : str
        Pool that did it; result of validating the model; container image of the worker.
    engine, versions : dict of str to str
        What the model ran on; versions of packages.
    quality : dict
        Counts and histograms of scores and inputs (`e2edist.accounting.quality`).
    checksum : str
        Of the rows.
    events_in_mask : int, optional
        Entries whose luminosity block is in the plan's lumi mask; None without one.
    lumis : dict of str to list of (int, int)
        Run -> ranges, both ends included, of the luminosity blocks of these entries (without a mask: of all);
        empty where run and lumi are not known.
    notes : tuple of str
        Remarks for people, as on a column that its file does not have.
    size : int, optional
        Bytes of the part; not known inside of its own footer.
    footer_crc : int, optional
        Checksum of the part's size and footer (`e2edist.records.parts.footer_crc`); older ledgers have none.
    payload : bytes
        The part itself, on its way to a driver that shares no disk with the worker; written nowhere.
    """

    id: str
    chunk: Chunk
    fingerprint: str
    rows: int
    events: int
    status: dict[str, int]
    stages: StageTimes
    started: float = 0.0
    host: str = ""
    pid: int = 0
    peak_mib: int = 0
    pool: str = ""
    validation: str = ""
    image: str = ""
    engine: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    checksum: str = ""
    events_in_mask: int | None = None
    lumis: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    size: Annotated[int | None, Field(alias="bytes")] = None
    footer_crc: int | None = None
    payload: bytes = field(default=b"", repr=False)

    @property
    def wall_s(self) -> float:
        """Wall seconds of all stages together."""
        return sum(times[0] for times in self.stages.values()) / 1e3

    @property
    def setup_s(self) -> float:
        """Wall seconds of setting up, which are no work on events."""
        return self.stages.get(EVENTSETUP, (0.0, 0.0, 0))[0] / 1e3

    @property
    def work_s(self) -> float:
        """Wall seconds of work on events: all stages without setting up."""
        return self.wall_s - self.setup_s


@dataclass(frozen=True, slots=True)
class ReceiptCounts:
    """As much of a receipt as counting takes: read several times faster than all of it."""

    id: str
    rows: int
    events: int


def encode(receipt: Receipt) -> bytes:
    """Return a receipt as JSON in one line, without its payload and what is not known of its file."""
    absent = {name for name in _OPTIONAL if getattr(receipt, name) in (None, {})}
    return to_json(receipt, without=frozenset(absent | {"payload"}))


def decode(text: bytes) -> Receipt:
    """Return the receipt that a JSON text holds.

    Raises
    ------
    ValueError
        It is none: cut, damaged, or without a field that every receipt has.
    """
    return from_json(Receipt, text)
