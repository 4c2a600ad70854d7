"""``python -m e2edist.aggregate DIR --verify``: check that a campaign's output is whole and right."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from e2edist.errors import CampaignError, E2EError, OutputError

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.campaign.plan import Plan
    from e2edist.campaign.verify import Verdict

#: Faults of a kind that are shown.
_SHOWN = 20


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m e2edist.aggregate",
        description="Check that every planned entry is in the output exactly once, with the values it was "
        "written with.",
        epilog="Exit codes: 0 whole and right, 1 something is missing, damaged or foreign, 2 no campaign.",
    )
    p.add_argument("folder", type=Path, metavar="DIR", help="output folder of a campaign")
    p.add_argument("--verify", action="store_true", required=True, help="read every part and check it")
    p.add_argument(
        "--max-bad-fraction",
        type=float,
        default=0.0,
        metavar="X",
        help="fraction of events that may be given up (default: 0)",
    )
    p.add_argument(
        "--discard", action="store_true", help="remove damaged and foreign parts; submit makes them again"
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    args = parser().parse_args(argv)
    from rich.console import Console

    try:
        return _verify(args.folder, Console(), args.max_bad_fraction, discard=args.discard)
    except E2EError as error:
        Console(stderr=True).print(f"e2edist: {error}", highlight=False, markup=False, soft_wrap=True)
        return error.exit_code


def _verify(folder: Path, console: Console, may_lose: float, *, discard: bool) -> int:
    from e2edist.campaign.bad import skipped_events
    from e2edist.campaign.lock import locked
    from e2edist.campaign.plan import read_plan
    from e2edist.campaign.verify import verify

    plan = read_plan(folder)
    if plan is None:
        raise OutputError(str(folder), "holds no campaign", "Name the --output folder of a submit.")
    with locked(folder) if discard else nullcontext():
        found = verify(folder, plan)
        if discard:
            for path, _ in (*found.damaged, *found.foreign):
                path.unlink(missing_ok=True)
    skipped = skipped_events(plan)
    lost = (found.given_up + skipped) / max(1, plan.events + skipped)
    _show(found, plan, skipped, console)
    if discard and (found.damaged or found.foreign):
        console.print("removed what is damaged or foreign: submit again", highlight=False)
    if not found.good:
        counts = (len(found.missing), len(found.damaged), len(found.foreign))
        what = "{} ranges missing, {} parts damaged, {} foreign".format(*counts)
        raise CampaignError(str(folder), what, "" if discard else "See above; --discard removes bad parts.")
    if lost > may_lose:
        what = f"{lost:.3%} of the events were given up, {may_lose:.3%} may be"
        raise CampaignError(str(folder), what, "bad.parquet lists them.")
    return 0


def _show(found: Verdict, plan: Plan, skipped: int, console: Console) -> None:
    events = plan.events + skipped
    about = " (estimated)" if skipped else ""
    console.print(
        f"{found.parts:,} good parts, {found.rows:,} rows, {found.events:,} of {events:,} events{about}",
        highlight=False,
    )
    if found.given_up or skipped:
        files = f", and {len(plan.skipped)} files were skipped" if skipped else ""
        console.print(f"{found.given_up:,} events were given up{files}: see bad.parquet", highlight=False)
    lines = [f"missing {chunk.url} entries {chunk.start}-{chunk.stop}" for chunk in found.missing[:_SHOWN]]
    lines += [f"damaged {path}: {why}" for path, why in found.damaged[:_SHOWN]]
    lines += [f"foreign {path}: {why}" for path, why in found.foreign[:_SHOWN]]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
