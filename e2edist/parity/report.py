"""A verdict on the terminal and on disk."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Column

from e2edist.counted import counted
from e2edist.house_table import make_table, number_columns
from e2edist.storage.publish import publish

from .compare import Difference
from .static_checks import OK
from .validation_record import find_record, write_record
from .verdict import Verdict

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
        console.print(
            "no reference: the model was compared with itself only (--reference, --source or --exact)"
        )
    kept = find_record(verdict.tagger)
    if kept is not None and not kept.passed and content["passed"]:
        console.print(f"the failure of {kept.when} against a reference stands; validate against one again")
    if copy is not None:
        with publish(copy) as draft:
            draft.write_text(json.dumps(content, indent=1), encoding="utf-8")
    console.print(f"kept in {path}")
    return 1 if verdict.faults or verdict.failed_requests else 0


def print_verdict(console: Console, verdict: Verdict) -> None:
    """Show static checks, variants, and the verdict with its reasons."""
    _print_checks(console, verdict)
    if verdict.variants:
        _print_variants(console, verdict)
    for name, (low, high, area) in list(verdict.columns.items())[:_SHOWN]:
        known = "" if area is None else f", AUC {area:.4f}"
        console.print(f"{name}: {low:.6g} to {high:.6g}{known}")
    if len(verdict.columns) > _SHOWN:
        console.print(f"... and {counted(len(verdict.columns) - _SHOWN, 'more column')}")
    if all(low == high for low, high, _ in verdict.columns.values()) and verdict.columns:
        console.print("note: every object has the same score")
    for line in (*verdict.faults, *verdict.failed_requests):
        console.print(f"FAIL {line}")
    console.print(outcome_line(verdict))


def _print_checks(console: Console, verdict: Verdict) -> None:
    """Show the static checks, and what each comes to where one of them found something wrong."""
    if not verdict.checks:
        return
    console.print(f"model {verdict.tagger.model.path}")
    faults = any(check.status != OK for check in verdict.checks)
    columns = [Column(name, overflow="fold") for name in ("found", *(["verdict"] if faults else []))]
    table = make_table(Column("check", no_wrap=True), *columns)
    for check in verdict.checks:
        why = "" if check.status == OK else f"{check.status}: {check.why}"
        table.add_row(check.name, check.found, *([why] if faults else []))
    console.print(table)
    console.print()


def outcome_line(verdict: Verdict) -> str:
    """Return what a verdict comes to, and the limits."""
    limits = ", ".join(f"{name} {value:g}" for name, value in verdict.tagger.tolerance.model_dump().items())
    outcome = "failed" if verdict.faults else "passed"
    if verdict.failed_requests and not verdict.faults:
        outcome += ", but not all that was asked for"
    return f"validation of {verdict.tagger.name} {outcome} ({limits})"


def _print_variants(console: Console, verdict: Verdict) -> None:
    for line in verdict.against:
        console.print(f"against {line}")
    columns = number_columns("max|d|", "mean|d|", "rank", "AUC shift", "s")
    table = make_table(Column("variant", overflow="fold"), *columns, Column("verdict", overflow="fold"))
    for one in verdict.variants:
        table.add_row(one.name, *_numbers(one.difference), f"{one.seconds:.1f}", one.outcome)
    console.print(table)
    console.print()
    for one in verdict.variants:
        if on_cpu := one.facts.get("cpu_nodes"):
            console.print(
                f"{one.name}: ONNX Runtime leaves nodes to the CPU: {on_cpu} ({one.facts['nodes']})"
            )
        if device := one.facts.get("uuid") and one.facts.get("device"):
            console.print(f"{one.name}: on {device}, {one.facts['uuid']}, driver {one.facts['driver']}")
    # What hinders one provider hinders all of its variants: one line.
    unused: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for one in verdict.variants:
        if one.faults and one.outcome in ("no", "not run"):
            unused.setdefault((one.outcome, one.faults), []).append(one.name)
    for (outcome, faults), names in unused.items():
        console.print(f"{'; '.join(names)}: {outcome}: {'; '.join(faults)}")


def _numbers(found: Difference | None) -> tuple[str, str, str, str]:
    if found is None:
        return ("", "", "", "")
    rank = "" if found.rank is None else f"{found.rank:.6f}"
    shift = "" if found.auc_shift is None else f"{found.auc_shift:.1e}"
    return (f"{found.max_abs:.1e}", f"{found.mean_abs:.1e}", rank, shift)
