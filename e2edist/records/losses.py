"""What a campaign lost: every skipped file or range of entries, why, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from e2edist.errors import CampaignError, OutputError
from e2edist.urls import public, redact

from .failure import without_place
from .folder import CampaignFolder
from .ledger import Ledger
from .parts import read_columns, write_table
from .plan import Plan

_COLUMNS: dict[str, pa.DataType] = {
    "url": pa.string(),  # without user names, passwords and tokens
    "uuid": pa.string(),  # null for a file that could not be opened
    "tree": pa.string(),  # name of the tree
    "start": pa.int64(),  # entries, half-open; null for a whole file that could not be opened
    "stop": pa.int64(),  # null as start
    "events": pa.int64(),  # estimated from the other files where the file could not be opened
    "fraction": pa.float64(),  # of all events of the campaign
    "reason": pa.string(),  # the last error, with its class
    "attempts": pa.int32(),  # tries, and deaths of workers
    "tried": pa.list_(pa.string()),  # replicas and errors, the last few
}


def skipped_events(plan: Plan) -> int:
    """Return the events of files that could not be planned, taken as large as the others on average."""
    return round(plan.events / len(plan.files) * len(plan.skipped)) if plan.files else len(plan.skipped)


def unwanted_skips(plan: Plan) -> int:
    """Return `skipped_events` unless they were skipped on request."""
    return 0 if plan.skip_bad_files else skipped_events(plan)


def lost_fraction(plan: Plan, ledger: Ledger) -> float:
    """Return the fraction of the campaign's events that are lost, in skipped files too.

    Files that were skipped on request are no loss.
    """
    everything = plan.events + skipped_events(plan)
    return (ledger.events_failed + unwanted_skips(plan)) / everything if everything else 0.0


def skipped_rows(plan: Plan) -> list[dict[str, Any]]:
    """Return one row per skipped file."""
    skipped = skipped_events(plan)
    everything = max(1, plan.events + skipped)
    each = skipped / len(plan.skipped) if plan.skipped else 0
    cost = {"events": round(each), "fraction": each / everything}
    no_entries = {"uuid": None, "tree": None, "start": None, "stop": None}
    attempts = {"attempts": 1, "tried": []}
    return [
        {"url": url} | no_entries | cost | {"reason": without_place(why, url)} | attempts
        for url, why in plan.skipped
    ]


def loss_rows(plan: Plan, ledger: Ledger) -> list[dict[str, Any]]:
    """Return one row per skipped file and per range of entries that was given up."""
    everything = max(1, plan.events + skipped_events(plan))
    rows = skipped_rows(plan)
    for f in ledger.failed.values():
        entries = {"url": f.url, "uuid": f.uuid, "tree": f.tree, "start": f.start, "stop": f.stop}
        cost = {"events": f.events, "fraction": f.events / everything}
        rows.append(entries | cost | {"reason": f.reason, "attempts": f.attempts, "tried": list(f.tried)})
    return rows


def write_losses(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write ``bad.parquet``; it is there, and empty, after a campaign that lost nothing."""
    table = pa.Table.from_pylist(list(rows), schema=pa.schema(_COLUMNS))
    write_table(path, table)


def read_losses(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of ``bad.parquet``; none where there is no such file.

    Raises
    ------
    OutputError
        It can't be read: what was given up would count as missing.
    """
    path = CampaignFolder(folder).losses
    try:
        rows: list[dict[str, Any]] = read_columns(path).to_pylist()
    except FileNotFoundError:
        return []
    except (OSError, pa.ArrowException) as error:
        todo = "Check its permissions; where its content is wrong, remove it and submit again."
        raise OutputError(str(path), f"can't be read ({error})", todo) from error
    # Older tables may hold addresses in full.
    return [row | {"url": public(row["url"]), "reason": redact(row["reason"] or "")} for row in rows]


def check_losses(where: str, fraction: float, limit: float, advice: str) -> None:
    """Refuse a larger fraction of failed events than may be.

    Parameters
    ----------
    fraction, limit : float
        Of all events, skipped files included.

    Raises
    ------
    CampaignError
        More failed.
    """
    if fraction > limit:
        what = f"{100 * fraction:.4g} % of the events failed (limit {100 * limit:.4g} %): see bad.parquet"
        raise CampaignError(where, what, advice)
