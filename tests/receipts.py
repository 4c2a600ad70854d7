"""Chunks and receipts made by hand."""

from dataclasses import replace

from e2edist.records.chunk import Chunk
from e2edist.records.receipt import Receipt

CHUNK = Chunk("/data/a.root", "hits", "Events", "a" * 32, 100, 100, 0, 100)


def make_receipt(chunk=CHUNK, fingerprint="print", **fields):
    """Return the receipt of a chunk whose three objects took two milliseconds."""
    made = Receipt(
        id=chunk.id,
        chunk=chunk,
        fingerprint=fingerprint,
        rows=3,
        events=chunk.events,
        status={"ok": 2, "pt": 1},
        stages={"source": (1.5, 1.0, chunk.events), "output": (0.25, 0.125, 3)},
        started=1.0,
        host="h",
        pid=1,
        pool="cpu",
        engine={"device": "d", "provider": "p"},
    )
    return replace(made, **fields)
