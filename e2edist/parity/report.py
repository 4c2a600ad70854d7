"""A verdict on the terminal and on disk."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from e2edist.storage.publish import publish

from .examine import Row, Verdict
from .static import OK
from .validation_record import find_record, write_record

#: Score columns that are shown.
_SHOWN = 8


def report(console: Console, verdict: Verdict, copy: Path | None = None) -> int:
    """Show a verdict, keep it where ``submit`` finds it, and return the exit code: 1 if it is a failure.

    Raises
    ------
    OutputError
        It can't be written.
    """
    print_verdict(console, verdict)
    content = verdict.content()
    path = write_record(verdict.tagger, content)
    if not verdict.independent and not verdict.refused:
        note = "no reference: the model was compared with itself only (--reference, --source or --exact)"
        console.print(note)
    kept = find_record(verdict.tagger)
    if kept is not None and not kept.passed and content["passed"]:
        text = f"the failure of {kept.when} against a reference stands; validate against one again"
        console.print(text)
    if copy is not None:
        with publish(copy) as draft:
            draft.write_text(json.dumps(content, indent=1), encoding="utf-8")
    console.print(f"kept in {path}")
    return 1 if verdict.faults or verdict.unmet else 0


def print_verdict(console: Console, verdict: Verdict) -> None:
    """Show static checks, variants, and the verdict with its reasons."""
    checks = Table("check", "found", "", title=verdict.tagger.model.path, title_justify="left")
    for check in verdict.checks:
        checks.add_row(
            check.name, check.found, "" if check.verdict == OK else f"{check.verdict}: {check.why}"
        )
    if verdict.checks:
        console.print(checks)
    if verdict.rows:
        _print_rows(console, verdict)
    for name, (low, high, area) in list(verdict.columns.items())[:_SHOWN]:
        known = "" if area is None else f", AUC {area:.4f}"
        console.print(f"{name}: {low:.6g} to {high:.6g}{known}")
    if len(verdict.columns) > _SHOWN:
        console.print(f"... and {len(verdict.columns) - _SHOWN} columns more")
    if all(low == high for low, high, _ in verdict.columns.values()) and verdict.columns:
        console.print("note: every object has the same score")
    faults = verdict.faults
    for line in (*faults, *verdict.unmet):
        console.print(f"FAIL {line}")
    limits = ", ".join(f"{name} {value:g}" for name, value in verdict.tagger.tolerance.model_dump().items())
    word = "failed" if faults else "passed, but not all that was asked for" if verdict.unmet else "passed"
    console.print(f"validation of {verdict.tagger.name} {word} ({limits})")


def _print_rows(console: Console, verdict: Verdict) -> None:
    for line in verdict.against:
        console.print(f"against {line}")
    table = Table("variant", "max|d|", "mean|d|", "rank", "AUC shift", "s", "verdict")
    for row in verdict.rows:
        table.add_row(row.name, *_numbers(row), f"{row.seconds:.1f}", row.word)
    console.print(table)
    for row in verdict.rows:
        if on_cpu := row.facts.get("cpu_nodes"):
            text = f"{row.name}: ONNX Runtime leaves nodes to the CPU: {on_cpu} ({row.facts['nodes']})"
            console.print(text)
        if device := row.facts.get("uuid") and row.facts.get("device"):
            text = f"{row.name}: on {device}, {row.facts['uuid']}, driver {row.facts['driver']}"
            console.print(text)
    # What hinders one provider hinders all of its variants: said once.
    idle = [row for row in verdict.rows if row.faults and row.word in ("no", "not run")]
    for word, faults in dict.fromkeys((row.word, row.faults) for row in idle):
        names = "; ".join(row.name for row in idle if (row.word, row.faults) == (word, faults))
        text = f"{names}: {word}: {'; '.join(faults)}"
        console.print(text)


def _numbers(row: Row) -> tuple[str, str, str, str]:
    found = row.difference
    if found is None:
        return ("", "", "", "")
    rank = "" if found.rank is None else f"{found.rank:.6f}"
    shift = "" if found.auc_shift is None else f"{found.auc_shift:.1e}"
    return (f"{found.max_abs:.1e}", f"{found.mean_abs:.1e}", rank, shift)
