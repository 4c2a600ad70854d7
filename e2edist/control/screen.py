"""What a person sees of a campaign's state."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from shlex import quote
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Column, Table

from .state import State

#: Rows of a table that may be long.
_SHOWN = 10


def show(console: Console, folder: Path, state: State) -> None:
    """Print state, counts, rates, pools and losses, and what can be done next."""
    # Reasons hold long paths, behind which stands what matters.
    rows = Table.grid(Column(), Column(overflow="fold"), padding=(0, 2))
    for name, text in _facts(folder, state):
        rows.add_row(name, text)
    console.print(rows)
    if state.under_way and state.heart:
        _show_pools(console, state)
    _show_failed(console, state)
    for line in _next(folder, state):
        console.print(line)


def _facts(folder: Path, state: State) -> Iterator[tuple[str, str]]:
    counts = state.counts
    yield "campaign", f"{folder} (tagger {counts.tagger}, {counts.files:,} files)"
    yield "state", " ".join(_state(state))
    parts = f" ({counts.parts:,} parts)" if counts.parts != counts.ended - len(counts.failed) else ""
    yield "chunks", f"{counts.ended:,} of {counts.chunks:,} ended{parts}"
    share = f", {counts.events_done / counts.events:.1%}" if counts.events else ""
    yield "events", f"{counts.events_done:,} of {counts.events:,} done{share}; {counts.rows:,} objects"
    if counts.failed or counts.skipped:
        lost = f"{counts.events_failed:,} events in {len(counts.failed):,} ranges"
        yield "lost", f"{lost}, {counts.skipped:,} files skipped"
    if state.state == "running":
        yield "rate", rate_line(state)
    if state.state == "running":
        yield from _dashboard(state)
    if state.controller:
        yield "log", state.controller.log
    for i, line in enumerate(state.warnings[:_SHOWN]):
        yield "" if i else "worth a look", line


def _state(state: State) -> Iterator[str]:
    yield state.state
    if state.controller and state.state in ("queued", "starting", "running", "finishing"):
        yield f"as {state.controller.name}"
    if state.holder:
        own = state.controller is not None and state.controller.id == str(state.holder.pid)
        yield f"on {state.holder.host}" if own else f"on {state.holder.host} (pid {state.holder.pid})"
    if state.state == "running":
        yield f"for {_span(time.time() - state.heart['started'])}"
    if state.why:
        yield f"- {state.why}"
    if state.silent_s:
        yield f"- SILENT for {_span(state.silent_s)}"


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def rate_line(state: State) -> str:
    """Return rates and remaining time of a running campaign, as its driver published them."""
    heart = state.heart
    if heart.get("events_per_s") is None:
        return "waiting for workers" if not heart.get("workers") else "-- events/s, ETA --"
    eta = _span(heart["eta_s"]) if heart.get("eta_s") is not None else "--"
    now = heart.get("events_per_s_now") or 0.0
    return f"{now:,.0f} events/s now, {heart['events_per_s']:,.0f} mean, ETA {eta}"


def _dashboard(state: State) -> Iterator[tuple[str, str]]:
    found = dict.fromkeys(str(pool.get("dashboard", "")) for pool in state.heart.get("pools", {}).values())
    for address in filter(None, found):
        parts = urlsplit(address)
        yield "dashboard", address
        if state.holder and not state.holder.here and parts.hostname == "127.0.0.1":
            yield "", f"by ssh -N -L {parts.port}:127.0.0.1:{parts.port} {state.holder.host}"


def _show_pools(console: Console, state: State) -> None:
    table = Table("pool", "kind", "wanted", "queued", "running", "joined")
    troubles = []
    for name, pool in state.heart.get("pools", {}).items():
        numbers = [str(pool.get(key, "")) for key in ("wanted", "queued", "running", "joined")]
        table.add_row(name, str(pool.get("kind", "")), *numbers)
        if pool.get("trouble"):
            troubles.append(f"pool {name}: {pool['trouble']}")
    console.print(table)
    for line in troubles:
        console.print(line)


def _show_failed(console: Console, state: State) -> None:
    failed = state.counts.failed
    if not failed:
        return
    table = Table("file", "entries", "attempts", "reason", title="lost", title_justify="left")
    for item in sorted(failed, key=lambda f: -f.events)[:_SHOWN]:
        table.add_row(item.url, f"{item.start}-{item.stop}", str(item.attempts), item.reason)
    if len(failed) > _SHOWN:
        table.add_row(f"... and {len(failed) - _SHOWN} more", "", "", "")
    console.print(table)


def _next(folder: Path, state: State) -> Iterator[str]:
    if state.under_way:
        yield f"cancel  python -m e2edist.cancel {quote(str(folder))}"
    elif state.state in ("planned", "stopped", "failed", "died"):
        yield "the same submit does the rest; what is done is kept"
    elif state.counts.failed:
        yield "the same submit tries again what was lost"
