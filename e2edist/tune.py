"""``python -m e2edist.tune``: find the fastest settings of a site's pools for a tagger, and keep them."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from e2edist.cli.arguments import add_shared, add_site_options, make_parser, site_options
from e2edist.cli.console import print_result, run_verb
from e2edist.cli.signals import run_process
from e2edist.counted import counted
from e2edist.errors import CampaignError, ConfigError
from e2edist.process import usable_cores

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.config.site import SiteSpec
    from e2edist.config.tagger import TaggerSpec
    from e2edist.tuning.measure import Sample
    from e2edist.tuning.search import Measurement, Search

_BUDGET_S = 120.0
#: A batch system may let a job wait; that is not counted as measuring.
_PATIENCE_S = 3600.0
#: Fewer batches are too small a sample.
_FEW = 3


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = make_parser(
        "tune",
        "Measure batch, threads, workers, sessions, dense and sparse images on the workers of a "
        "site, and write a profile that submit takes for what is left open.",
        "Profiles lie in $E2EDIST_PROFILES, or in the user's cache (~/.cache/e2edist/profiles). No "
        "setting changes a score. Exit codes: 0 tuned, 1 nothing could be measured, "
        "2 the user must fix something.",
        "--site local --tagger eg",
        "--site mysite.toml --pools gpu --input file.root",
    )
    add_site_options(p)
    p.add_argument(
        "--tagger",
        metavar="NAME",
        default="eg",
        help="name of a tagger, or a tagger's TOML file (default: eg)",
    )
    add_shared(p, "model", "format", "tree")
    p.add_argument("--input", metavar="FILE", help="ROOT file to measure with (default: demo events)")
    p.add_argument("--events", type=int, default=0, metavar="N", help="events in memory (default: by tagger)")
    p.add_argument(
        "--budget-s", type=float, default=_BUDGET_S, metavar="S", help="seconds for each pool (default: 120)"
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    return run_verb(parser(), _tune, argv)


def _tune(args: argparse.Namespace, console: Console) -> int:
    from e2edist.config.site_facts import require_facts
    from e2edist.config.site_options import make_site
    from e2edist.config.tagger import load_tagger
    from e2edist.engines import EngineOptions, check_stability
    from e2edist.tuning.search import best_of, crossover

    if not 0 < args.budget_s < inf:
        raise ConfigError("--budget-s", f"{args.budget_s} is no time to measure in", "Give seconds, as 120.")
    if args.events < 0:
        raise ConfigError(
            "--events", f"{args.events} is no number of events", "Give 1 or more, or 0: by tagger."
        )
    options = site_options(args)
    site, tagger = make_site(options), load_tagger(args.tagger, args.model)
    require_facts(site, options.site)
    _refuse_unseen(site)
    check_stability(tagger, EngineOptions())  # a fault of the model is reported once
    best: dict[str, Measurement] = {}
    # Beside us, not in /tmp: workers on other nodes must see it too.
    with tempfile.TemporaryDirectory(prefix=".e2edist-tune-", dir=Path.cwd()) as folder:
        for name in site.pools:
            sample = _sample(args, tagger, Path(folder), gpu=site.pools[name].provider != "cpu")
            sample.read()  # a fault of the file is reported here, not by a worker
            search = _search(name, site, sample, args.budget_s, console)
            _run(search, site, Path(folder))
            found = best_of(search.measurements)
            if found is None:
                faults = [one.fault for one in search.measurements]
                raise CampaignError(f"pool {name}", f"no setting runs: {faults[-1] if faults else 'no time'}")
            best[name] = found
            _report(search, found, site, tagger, console)
    console.print(crossover(best, site.pools))
    return 0


def _refuse_unseen(site: SiteSpec) -> None:
    for name, pool in site.pools.items():
        if not pool.job.shared_disk:
            what = "its workers see neither model nor events of this host (job.shared_disk = false)"
            raise ConfigError(f"pool {name}", what, "Set threads, batch and images in the site file.")


def _sample(args: argparse.Namespace, tagger: TaggerSpec, folder: Path, *, gpu: bool) -> Sample:
    """Return the events to measure with: a whole chunk for a GPU, whose batches are large, else less."""
    from e2edist.demo import LABELS, make_events
    from e2edist.tuning.measure import Sample

    events = args.events or (tagger.chunk_events if gpu else max(1, tagger.chunk_events // 8))
    if args.input:
        return Sample(tagger, str(args.input), args.format, args.tree, events)
    kind = tagger.name if tagger.name in LABELS else ("eg" if tagger.crop.frame == "EB" else "qg")
    (file,) = make_events(folder / f"{kind}-{events}", kind, events, seed=2, files=1)
    return Sample(tagger, str(file), None, None, events)


def _search(name: str, site: SiteSpec, sample: Sample, budget_s: float, console: Console) -> Search:
    from e2edist.tuning.search import Search, TimeBudget

    def on_measurement(measurement: Measurement) -> None:
        shape, options = measurement.shape, measurement.options
        setting = f"{shape.workers} x {shape.threads}, {shape.intra_op} in a call"
        result = f"{measurement.rate:,.0f} events/s" if measurement.speed else measurement.fault
        what = f"pool {name}: {setting}, {options.images}, batch {options.batch}: {result}"
        console.print(what)

    return Search(name, site.pools[name], sample, TimeBudget(budget_s), on_measurement, [])


def _run(search: Search, site: SiteSpec, folder: Path) -> None:
    from e2edist.pools import PoolEnvironment, check_host, configured

    check_host(search.name, search.spec)
    environment = PoolEnvironment(folder.absolute())
    try:
        with configured(site.dask):
            search.run(usable_cores(), environment, _PATIENCE_S)
    finally:
        environment.close()


def _report(search: Search, best: Measurement, site: SiteSpec, tagger: TaggerSpec, console: Console) -> None:
    from e2edist.cli.tables import print_tuning
    from e2edist.tuning.profile import make_profile, read_profile, write_profile
    from e2edist.tuning.search import BUSY_SPREAD

    kind, model = search.spec.kind, (tagger.name, tagger.model.sha256)
    profile = make_profile((site.name, search.name), kind, model, best, search)
    print_tuning(
        console, f"pool {search.name}: {profile.device}", profile.measured, profile.settings.model_dump()
    )
    path = write_profile(profile)
    if search.spread > BUSY_SPREAD:
        console.print(
            f"measurements of one setting differed by {100 * search.spread:.0f} %: "
            "the machine is busy, tune again"
        )
    if best.speed and best.speed.objects < _FEW * profile.settings.batch:
        console.print(
            f"only {counted(best.speed.objects, 'object')} to measure with: "
            "name --input files with more of them"
        )
    kept = read_profile(path)
    if not profile.complete:
        stays = "" if kept.made == profile.made else f"; the complete profile of {kept.made} stays"
        console.print(f"the time was up before all was measured: --budget-s gives more{stays}")
    print_result(console, f"profile {path}, which submit takes for what is left open")


if __name__ == "__main__":
    run_process(main)
