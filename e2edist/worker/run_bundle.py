"""Running the chunks of one task, one after the other."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterable

from e2edist.errors import E2EError, ModelError, OutputError, described
from e2edist.plugins import as_bug, is_bug, mark_plugin
from e2edist.pools import is_draining
from e2edist.records.chunk import Chunk
from e2edist.records.receipt import Receipt
from e2edist.worker.run_chunk import run_chunk

#: What became of a chunk of a bundle.
ChunkResult = Receipt | Exception
#: Bytes of parts that travel in one message, where workers do not see the folder of the campaign.
_PAYLOAD_BYTES = 4 << 20


def run_chunks(key: str, chunks: Iterable[Chunk], budget_s: float) -> list[ChunkResult]:
    """Run chunks with the context `key`, one after the other; one that raises does not stop the others.

    Parameters
    ----------
    budget_s : float
        No further chunk is begun after so many seconds.

    Returns
    -------
    list
        Receipt or error of each, in order. It ends early where the worker is draining, the time is over, or
        an error would be that of all: the others were not begun.
    """
    results: list[ChunkResult] = []
    deadline, payload_bytes = time.monotonic() + budget_s, 0
    for chunk in chunks:
        if is_draining() or (results and time.monotonic() > deadline):
            break
        try:
            receipt = run_chunk(key, chunk)
            results.append(receipt)
            payload_bytes += len(receipt.payload)
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # signals go to the main thread
            results.append(_portable(error))
        if isinstance(results[-1], ModelError | OutputError) or payload_bytes > _PAYLOAD_BYTES:
            break
    return results


def _portable(error: BaseException) -> Exception:
    """Return an error that can be pickled, without the memory that its traceback holds.

    Of a bug the text of the traceback goes along.
    """
    if is_bug(error):
        return as_bug(error)
    mark_plugin(error)
    # Dask lets errors pickle their whole past, which may be too deep.
    error.__traceback__ = error.__cause__ = error.__context__ = None
    try:
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:  # whatever its class makes of it
        copy = None
    if isinstance(copy, Exception):
        return copy
    if isinstance(error, OSError):
        plain = OSError(described(error))
        vars(plain).update({name: value for name, value in vars(error).items() if name.startswith("plugin_")})
        return plain
    return E2EError("", described(error), retryable=getattr(error, "retryable", False))
