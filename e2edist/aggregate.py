"""``python -m e2edist.aggregate DIR --verify``: check that a campaign's output is whole and right."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
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
        "--discard", action="store_true", help="remove damaged and foreign parts; submit makes them again"
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    args = parser().parse_args(argv)
    from rich.console import Console

    try:
        return _verify(args.folder, Console(), discard=args.discard)
    except E2EError as error:
        Console(stderr=True).print(f"e2edist: {error}", highlight=False, markup=False, soft_wrap=True)
        return error.exit_code


def _verify(folder: Path, console: Console, *, discard: bool) -> int:
    from e2edist.campaign.lock import locked
    from e2edist.campaign.plan import read_plan
    from e2edist.campaign.verify import verify

    plan = read_plan(folder)
    if plan is None:
        raise OutputError(str(folder), "holds no campaign", "Name the --output folder of a submit.")
    found = verify(folder, plan)
    _show(found, plan, console)
    if discard and (found.damaged or found.foreign):
        with locked(folder):
            for path, _ in (*found.damaged, *found.foreign):
                path.unlink(missing_ok=True)
        console.print("removed what is damaged or foreign: submit again", highlight=False)
    if not found.good:
        counts = (len(found.missing), len(found.damaged), len(found.foreign))
        what = "{} ranges missing, {} parts damaged, {} foreign".format(*counts)
        raise CampaignError(str(folder), what, "" if discard else "See above; --discard removes bad parts.")
    return 0


def _show(found: Verdict, plan: Plan, console: Console) -> None:
    console.print(
        f"{found.parts:,} good parts, {found.rows:,} rows, {found.events:,} of {plan.events:,} events",
        highlight=False,
    )
    if found.given_up or plan.skipped:
        skipped = f", {len(plan.skipped)} files were skipped" if plan.skipped else ""
        console.print(f"{found.given_up:,} events were given up{skipped}: see bad.parquet", highlight=False)
    lines = [f"missing {chunk.url} entries {chunk.start}-{chunk.stop}" for chunk in found.missing[:_SHOWN]]
    lines += [f"damaged {path}: {why}" for path, why in found.damaged[:_SHOWN]]
    lines += [f"foreign {path}: {why}" for path, why in found.foreign[:_SHOWN]]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
