"""Receipts as workers write them, made by hand."""

import json
from dataclasses import asdict


def make_receipt(chunk, fingerprint="print"):
    """Return the receipt of a chunk, as it comes back from JSON."""
    content = {
        "id": chunk.id,
        "chunk": asdict(chunk),
        "fingerprint": fingerprint,
        "rows": chunk.events,
        "events": chunk.events,
        "status": {"ok": chunk.events},
        "stages": {"source": [1.5, 1.0, chunk.events], "output": [0.25, 0.125, 3]},
        "started": 1.0,
        "host": "h",
        "pid": 1,
        "pool": "cpu",
        "engine": {"device": "d", "provider": "p"},
    }
    return json.loads(json.dumps(content))
