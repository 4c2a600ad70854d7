"""``python -m e2edist.init SITE``: ask what a site needs to know, check it, and write a site file."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2edist.cli.arguments import add_site_changes, make_parser, site_options, to_path
from e2edist.cli.console import make_console, print_result, run_verb
from e2edist.cli.signals import run_process
from e2edist.errors import ConfigError
from e2edist.install_hint import verb_command

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.checks import Finding
    from e2edist.cli.site_file import SiteFile
    from e2edist.cli.site_questions import Asker
    from e2edist.config.site import SiteSpec

#: Exit code where a check failed.
_FAILED = 2
#: With the demo chunk of each pool, its time in the queue included.
_PATIENCE_S = 600.0


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = make_parser(
        "init",
        "Ask what a site needs to know of you (account, image, pools), check it as doctor does, and write it "
        "into a site file of your own, which extends the one that comes with e2edist. Without SITE, list the "
        "sites.",
        "Exit codes: 0 the file is written and all is well, or there are warnings only; 2 the user must fix "
        "something. Nothing is submitted without --run.",
        "perlmutter",
        "lpc --image /cvmfs/unpacked.cern.ch/... --yes",
        "slurm --set pools.cpu.job.queue=short --file my.toml",
    )
    p.add_argument("site", nargs="?", metavar="SITE", help="site that comes with e2edist, as perlmutter")
    add_site_changes(p)
    p.add_argument(
        "--queue",
        metavar="NAME",
        help="partition or queue of the jobs of these pools, and of the controller's",
    )
    p.add_argument("--yes", action="store_true", help="ask nothing: take options, environment, and defaults")
    p.add_argument(
        "--file",
        type=to_path,
        metavar="PATH",
        help="file to write (default: ~/.config/e2edist/sites/SITE.toml)",
    )
    p.add_argument("--force", action="store_true", help="write it though there is another one")
    p.add_argument(
        "--print",
        "--dry-run",
        dest="show",
        action="store_true",
        help="print the file, check and write nothing",
    )
    p.add_argument("--run", action="store_true", help="run a demo chunk through each default pool, too")
    p.add_argument("--no-check", action="store_true", help="write it unchecked, as for another host")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    return run_verb(parser(), _init, argv)


def _init(args: argparse.Namespace, console: Console) -> int:
    from e2edist.cli.site_file import SiteFile
    from e2edist.cli.site_questions import Asker

    if args.site is None:
        _list_sites(console)
        return 0
    if args.show:  # stdout is for the file alone
        console = make_console(stderr=True)
    file = SiteFile.find(args.site, args.file)
    asker = Asker(console, asks=sys.stdin.isatty() and not args.yes)
    try:
        text, code = _settle(args, file, asker, console)
    except KeyboardInterrupt:
        console.print("\nnothing written")
        raise
    if args.show:
        sys.stdout.write(text)
        return 0
    changed = file.write(text)
    print_result(console, f"{'wrote' if changed else 'nothing changed in'} {file.path}")
    _print_next(console, file.name, code, ran=args.run)
    return _FAILED if code == _FAILED else 0


def _settle(args: argparse.Namespace, file: SiteFile, asker: Asker, console: Console) -> tuple[str, int]:
    """Ask until all is well, or nobody wants to answer again; return the file's text, and the code."""
    old = file.old
    while True:
        content = _answers(args, file, asker, old)
        try:
            site = file.check(content)
        except ConfigError as error:
            if not asker.asks:
                raise
            console.print(f"  {error}")
            old = content
            continue
        text = file.text(content, site)
        if args.show:
            return text, 0
        file.refuse_other(text, show=console.print, agree=lambda: args.force or asker.agree("Replace it"))
        code = 0 if args.no_check else _check(args, site, file, content, console)
        if code != _FAILED or not asker.agree("Answer again"):
            return text, code
        old = content


def _answers(args: argparse.Namespace, file: SiteFile, asker: Asker, old: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of the file: what is there already, answers, and ``--set``."""
    from e2edist.cli.site_questions import Known, ask_site, read_images
    from e2edist.config.site_files import merged
    from e2edist.config.site_options import ALL_POOLS

    options = site_options(args)
    base, given_keys = file.base, file.settings(options.settings)
    image = str(old.get("image") or os.environ.get("E2EDIST_IMAGE", ""))
    inside = {name: pool.get("container", {}).get("image") for name, pool in old.get("pools", {}).items()}
    images = {name: text for name, text in ({"": image} | inside).items() if text}
    images |= read_images(args.images, base)
    named = tuple(base.pools) if options.pools == (ALL_POOLS,) else options.pools
    pools = named or tuple(old.get("default_pools", ()))
    given = {"account": args.account is not None, "images": args.images, "pools": options.pools}
    tables = merged(old, given_keys).get("pools", {})
    queues = {name: str(table.get("job", {}).get("queue", "")) for name, table in tables.items()}
    known = Known(
        args.account or str(old.get("account", "")),
        images,
        pools,
        frozenset(name for name, words in given.items() if words),
        {name: queue for name, queue in queues.items() if queue},
        args.queue or "",
    )
    title = base.description or base.name
    asker.tell(f"{title}: Enter takes what stands in brackets, Ctrl-C writes nothing.\n")
    content = merged(old, ask_site(base, known, asker))
    return merged(content, given_keys)


def _check(
    args: argparse.Namespace, site: SiteSpec, file: SiteFile, content: dict[str, Any], console: Console
) -> int:
    """Check a site as doctor does; return the exit code of what was found."""
    from e2edist.checks.site_checks import Asked, check_site
    from e2edist.checks.smoke_test import Demo, run_smoke_tests
    from e2edist.cli.findings import exit_code, print_findings
    from e2edist.config.site_files import Layer
    from e2edist.config.site_sources import SiteSources

    def findings() -> Iterator[Finding]:
        path = str(file.path)
        sources = SiteSources([*file.layers, Layer(path, content)], path)
        yield from check_site(site, Asked(path, Path(), advise=sources.advise))
        if args.run:
            yield from run_smoke_tests(site, Demo("eg", None, (), Path(), _PATIENCE_S))

    return exit_code(print_findings(console, findings()))


def _print_next(console: Console, name: str, code: int, *, ran: bool) -> None:
    """Say what to do with a file that was written."""
    if code == _FAILED:
        console.print(f"next: mend what failed, then  {verb_command('doctor', '--site', name)}")
    elif not ran:
        console.print(f"next: {verb_command('doctor', '--site', name)}   (runs a demo chunk)")
    else:
        console.print(f"next: {verb_command('submit', '--site', name, '--demo', '--dry-run')}")


def _list_sites(console: Console) -> None:
    """List all sites, those of the user's own with their files."""
    from e2edist.cli.catalogue import KINDS, print_entries

    print_entries(console, KINDS["sites"]())
    console.print(f"\nnext: {verb_command('init', 'SITE')}")


if __name__ == "__main__":
    run_process(main)
