"""What a person sees of a campaign's state."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from e2edist.accounting.progress import Progress
from e2edist.campaign.heartbeat_record import HeartbeatRecord
from e2edist.counted import counted
from e2edist.house_table import make_table, number_columns
from e2edist.install_hint import verb_command

from .lost_files import lost_files
from .resume_line import last_resume_line
from .state import State
from .tunnel import tunnel_command

#: Rows of a table that may be long.
_SHOWN = 10


def show(console: Console, folder: Path, state: State) -> None:
    """Print state, counts, rates, pools and losses, and what can be done next."""
    console.print(screen(folder, state))
    for line in _next_steps(folder, state):  # never wrapped, so that it can be copied
        console.print(line)


def screen(folder: Path, state: State) -> Group:
    """Return state, counts, rates, pools and losses."""
    # Reasons hold long paths, behind which stands what matters.
    rows = Table.grid(Column(), Column(overflow="fold"), padding=(0, 2))
    for name, text in _facts(folder, state):
        rows.add_row(name, text)
    parts: list[RenderableType] = [rows]
    if state.under_way and state.heartbeat:
        parts += _pools(state.heartbeat)
    return Group(*parts, *_failed(state))


def one_line(state: State) -> str:
    """Return state, counts and rates in one line."""
    counts = state.counts
    share = f" ({100 * counts.events_done / counts.events:.1f} %)" if counts.events else ""
    events = f"{counts.events_done:,} of {counted(counts.events, 'event')}{share}"
    lost = f", {counts.events_failed:,} lost" if counts.failed else ""
    rate = f", {rate_line(state.heartbeat.progress)}" if state.state == "running" and state.heartbeat else ""
    return f"{state.state}: {counts.ended:,} of {counted(counts.chunks, 'chunk')}, {events}{lost}{rate}"


def _facts(folder: Path, state: State) -> Iterator[tuple[str, str]]:
    counts = state.counts
    yield "campaign", f"{folder} (tagger {counts.tagger}, {counted(counts.files, 'file')})"
    yield "state", " ".join(_state(state))
    # What failed was cut out of its chunk: submit counts the pieces, as one done and one failed.
    pieces = counts.parts + len(counts.failed)
    cut = f", in {pieces:,} pieces: {counts.parts:,} done, {len(counts.failed):,} failed"
    yield "chunks", f"{counts.ended:,} of {counts.chunks:,} ended{cut if pieces != counts.ended else ''}"
    share = f", {100 * counts.events_done / counts.events:.1f} %" if counts.events else ""
    yield (
        "events",
        f"{counts.events_done:,} of {counts.events:,} done{share}; {counted(counts.rows, 'object')}",
    )
    if counts.failed or counts.skipped:
        lost = f"{counted(counts.events_failed, 'event')} in {counted(len(counts.failed), 'range')}"
        asked = " as asked" if counts.skip_bad_files else ""
        yield "lost", f"{lost}, {counted(counts.skipped, 'file')} skipped{asked}"
    if state.state == "running" and state.heartbeat:
        yield "rate", rate_line(state.heartbeat.progress)
        for address in _addresses(state.heartbeat):
            yield "dashboard", address
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
    if state.state == "running" and state.heartbeat:
        yield f"for {_span(time.time() - state.heartbeat.started)}"
    if state.why:
        yield f"- {state.why}"
    if state.silent_s:
        yield f"- SILENT for {_span(state.silent_s)}"


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def rate_line(progress: Progress) -> str:
    """Return rates and remaining time of a running campaign, as its driver published them."""
    if progress.waiting or not progress.rate:
        return progress.waiting or "no events yet"
    eta = f", ETA {_span(progress.eta_s)}" if progress.eta_s is not None else ""
    return f"{progress.rate_now or 0.0:,.0f} events/s now, {progress.rate:,.0f} mean{eta}"


def _addresses(beat: HeartbeatRecord) -> list[str]:
    return list(dict.fromkeys(pool.dashboard for pool in beat.pools.values() if pool.dashboard))


def _pools(beat: HeartbeatRecord) -> Iterator[RenderableType]:
    table = make_table("pool", "kind", *number_columns("wanted", "queued", "running", "joined"))
    for name, pool in beat.pools.items():
        table.add_row(name, pool.kind, *(f"{number:,}" for number in pool.workers))
    yield table
    for name, pool in beat.pools.items():
        if pool.trouble:
            yield Text(f"pool {name}: {pool.trouble}")
        elif pool.waits_for and pool.joined:  # else the rate says it
            yield Text(f"pool {name}: {pool.queued:,} queued ({pool.waits_for})")


def _failed(state: State) -> Iterator[RenderableType]:
    failed = state.counts.failed
    yield from lost_files((asdict(item) | {"events": item.events} for item in failed), "lost")


def _next_steps(folder: Path, state: State) -> Iterator[str]:
    if state.state == "running" and state.heartbeat:
        host = state.holder.host if state.holder and not state.holder.here else ""
        for command in filter(None, (tunnel_command(one, host) for one in _addresses(state.heartbeat))):
            yield f"from your own machine: {command}"
    if state.under_way:
        yield f"to stop it: {verb_command('cancel', str(folder))}"
        return
    if state.state in ("planned", "stopped", "failed", "died"):
        yield "the same submit does the rest; what is done is kept"
    elif state.counts.failed:
        yield "the same submit tries again what was lost"
    else:
        return
    if line := last_resume_line(folder, detached=state.controller is not None):
        yield f"next: {line}"
