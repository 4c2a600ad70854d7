"""All ways to the same scores, compared on this machine: ``python workflows/benchmark.py --quick``.

Prints a table per tagger and sample. Times are CPU time per event of the whole process tree, which a busy
machine disturbs least; medians of rounds in which every way has its turn. What is not installed is listed.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "benchmarks"))
os.environ["PYTHONPATH"] = os.pathsep.join([sys.path[0], os.environ.get("PYTHONPATH", "")])

import dataset
import measure
import reading
from rich.console import Console
from rich.table import Table

#: Copies of the events in each of two files: (quick, full).
COPIES = {"eg": (40, 300), "qg": (2, 12), "top8": (1, 10)}
#: Events of the small sample with --quick, for those that take each event by itself.
QUICK_SMALL = 150
#: What --quick compares on busy events: the peers that came next to ours on the real ones.
QUICK_BUSY = (*measure.OWN, "processes", "script")
PACKAGES = ("e2edist", "numpy", "numba", "uproot", "onnxruntime", "distributed", "pyarrow", "coffea", "ray")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    p.add_argument("--quick", action="store_true", help="small samples, two rounds: minutes, not an hour")
    p.add_argument("--taggers", nargs="+", choices=dataset.TAGGERS, default=list(dataset.TAGGERS))
    p.add_argument(
        "--ways", nargs="+", choices=[*measure.WAYS[2:], *measure.SLOW_WAYS], help="peers (default: all)"
    )
    p.add_argument("--copies", type=int, help="copies of the events in each of the two files")
    p.add_argument("--repeats", type=int, help="rounds (default: 2 quick, else 5)")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="for every way")
    p.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there too")
    return p


def machine() -> dict[str, Any]:
    """Return what the numbers belong to."""
    names = [
        x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x
    ]
    found = {"date": time.strftime("%Y-%m-%d"), "cpu": names[0] if names else platform.machine()}
    found |= {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def show(console: Console, name: str, result: dict[str, Any]) -> None:
    """Print the table of a result of `measure.compare` and its ratios."""
    title = f"{name}, {result['sample']} = {result['events']:,} events, {result['objects']:,} images"
    table = Table(title=title, title_justify="left")
    for column in ("way", "CPU µs/event", "ratio", "events/s (wall)", "scores"):
        table.add_column(column, justify="left" if column == "way" else "right")
    ways = result["ways"]
    mine = ways["ours"]["cpu"]
    for way in sorted(ways.values(), key=lambda item: item["cpu"]):
        same = "same bits" if way["difference"] == 0 else f"within {way['difference']:.0e}"
        cells = (f"{way['cpu']:.1f}", f"{way['cpu'] / mine:.2f}", f"{1e6 / way['wall']:,.0f}", same)
        table.add_row(way["label"], *cells)
    console.print(table)
    limit = ways["limit"]
    console.print(f"  limit: {limit['decompress']:.1f} decompression + {limit['inference']:.1f} inference")
    for what, value in result["ratios"].items():
        console.print(f"  {what}: {value:.2f}")


def show_reading(console: Console, rows: dict[str, Any], first: dict[str, float]) -> None:
    """Print what `reading.rows` and `reading.first_parts` found."""
    table = Table(title="reading alone: columns of the top8 tagger to arrays in memory", title_justify="left")
    for column in ("file", "CPU µs/event", "kB/event on disk", "first chunk, ms"):
        table.add_column(column, justify="left" if column == "file" else "right")
    for kind, row in rows.items():
        cells = (f"{row['cpu']:.1f}", f"{row['bytes'] / 1e3:.2f}", f"{row['first_chunk'] * 1e3:.0f}")
        table.add_row(kind, *cells)
    console.print(table)
    for name, seconds in first.items():
        console.print(f"  {name}: {seconds:.1f} s from the command to the first part")


def read_all(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure and print reading alone, and how long campaigns take to their first part."""
    many, large = (100, 20_000) if args.quick else (10_000, 1_000_000)
    with tempfile.TemporaryDirectory(prefix="e2edist-benchmark-") as folder:
        rows = reading.rows(Path(folder) / "codecs", "top8", 3 if args.quick else 10, args.repeats)
        first = reading.first_parts(Path(folder) / "first", args.threads, many, large)
    show_reading(console, rows, first)
    return {"rows": rows, "first parts [s]": first}


def run_all(args: argparse.Namespace, ways: list[Any], console: Console) -> dict[str, Any]:
    """Measure and print tagger by tagger, real and busy events; return all results."""
    results = {}
    with tempfile.TemporaryDirectory(prefix="e2edist-benchmark-") as folder:
        for tagger in args.taggers:
            copies = args.copies or COPIES[tagger][not args.quick]
            for busy in (False, True):
                made = Path(folder) / f"{tagger}{busy:d}"
                short = args.quick and busy
                used = [way for way in ways if not short or way.name in QUICK_BUSY]
                # Busy events are larger, and as quick.
                times, small = max(1, copies // (1 + 2 * busy)), QUICK_SMALL if args.quick else 659
                sample = dataset.make(made, tagger, times, busy=busy, small=small)
                repeats = 1 if short else args.repeats
                result = measure.compare(sample, used, args.threads, made, repeats, warm=busy, cold=not short)
                result["ratios"] = measure.ratios(result, args.threads)
                results[f"{tagger}, {sample.name}"] = result
                show(console, tagger, result)
    return results


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit code."""
    args, console = parser().parse_args(argv), Console(width=110)
    args.repeats = args.repeats or (2 if args.quick else 5)
    facts, began = machine(), time.time()
    console.print(", ".join(f"{k} {v}" for k, v in facts.items()))
    names = [*measure.WAYS, *measure.SLOW_WAYS]
    if args.ways is not None:
        names = [name for name in names if name in (*measure.OWN, *args.ways)]
    ways, lacking = measure.start_all(names, args.threads)
    for name, why in lacking.items():
        console.print(f"left out: {measure.child.load(name).LABEL} ({why})")
    try:
        results = run_all(args, ways, console)
    finally:
        for way in ways:
            way.close()
    read = read_all(args, console)
    console.print(f"{time.time() - began:.0f} s, {args.threads} threads, {args.repeats} rounds")
    if args.json:
        content = {
            "machine": facts,
            "missing": lacking,
            "threads": args.threads,
            "results": results,
            "reading": read,
        }
        args.json.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
