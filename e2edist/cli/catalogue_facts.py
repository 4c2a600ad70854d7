"""What ``show`` says of a tagger, site, layer, seed method or plug-in: facts by name, ready for JSON."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from e2edist import plugins
from e2edist.config._batch_systems import takes_account
from e2edist.config.site import PoolSpec, SiteSpec, load_site
from e2edist.config.site_facts import find_fact_faults
from e2edist.config.site_files import site_path
from e2edist.config.tagger import TaggerSpec, load_tagger, packaged
from e2edist.config.toml_models import read_toml
from e2edist.demo.networks import is_demo_network
from e2edist.imaging.layers import LAYERS
from e2edist.imaging.seed_methods import SEED_METHODS
from e2edist.install_hint import verb_command
from e2edist.pools import is_batch

from .catalogue import PLUGINS, Entry

#: Name -> text, list of texts, or list of rows of a table.
Facts = dict[str, Any]
_GRIDS = {"EB": "170x360", "ECAL": "280x360", "HBHE": "56x72", "EE": "100x100"}


def facts_of(entry: Entry) -> Facts:
    """Return what is known of an entry.

    Raises
    ------
    E2EError
        Its file has faults.
    """
    makers: dict[str, Callable[[str], Facts]] = {
        "tagger": tagger_facts,
        "site": site_facts,
        "layer": _layer,
        "seed method": _seed_method,
    }
    if entry.kind in makers:
        return makers[entry.kind](entry.name)
    (group,) = [group for group, kind in PLUGINS.items() if kind == entry.kind]
    return _plugin(group, entry)


def file_facts(path: str) -> tuple[Entry, Facts]:
    """Return the entry and the facts of a tagger's or a site's TOML file."""
    content = read_toml(Path(path))
    if "channels" in content:
        return Entry("tagger", path, str(content.get("description", ""))), tagger_facts(path)
    return Entry("site", path, str(content.get("description", ""))), site_facts(path)


def tagger_facts(name: str) -> Facts:
    """Return what a tagger is made of, in the order of its work."""
    tagger = load_tagger(name)
    cuts, crop, model = tagger.objects, tagger.crop, tagger.model
    seed = ", ".join(f"{key} {value}" for key, value in tagger.seed.parameters.items())
    demo = " (demo network: no training on CMS data)" if is_demo_network(model.sha256) else ""
    most = "<=" if tagger.seed.definition.closed else "<"
    return {
        "description": tagger.description,
        "file": str(packaged().get(name, Path(name).absolute())),
        "objects": ", ".join(cuts.kinds),
        "cuts": f"pT >= {cuts.pt_min:g} GeV, |eta| {most} {cuts.eta_max:g}",
        "collections": [f"{kind}: {', '.join(names)}" for kind, names in cuts.collections.items()],
        "seed": f"{tagger.seed.method}: {tagger.seed.definition.meaning}" + (f" ({seed})" if seed else ""),
        "crop": f"{crop.size}x{crop.size} pixels of {crop.frame} ({_GRIDS[crop.frame]})",
        "channels": [_channel(tagger, i) for i in range(len(tagger.channels))],
        "model": f"{model.path}{demo}",
        "sha256": model.sha256,
        "input": f"{model.input or 'the only one'}, {model.layout}",
        "columns": _columns(tagger),
        "classes": ", ".join(f"{label} {text}" for label, text in enumerate(tagger.classes)),
        "CMSSW": f"{tagger.module}, frames as of {tagger.frame_module}",
        "defaults": f"{tagger.chunk_events:,} events in a chunk, {tagger.batch} images in a model call",
    }


def _channel(tagger: TaggerSpec, number: int) -> dict[str, str]:
    channel = tagger.channels[number]
    return {
        "channel": str(number),
        "layer": channel.layer,
        "unit": LAYERS[channel.layer].unit,
        "0 if |x| <": f"{channel.threshold:g}",
        "x scale": f"{channel.scale:g}",
        "+ offset": f"{channel.offset:g}",
    }


def _columns(tagger: TaggerSpec) -> str | list[str]:
    if not tagger.outputs:
        return "every output of the model, by its name"
    return [
        f"{', '.join(output.columns)} of {output.name or 'the only output'}"
        + (f", {output.activation}" if output.activation != "none" else "")
        for output in tagger.outputs
    ]


def site_facts(name: str) -> Facts:
    """Return what a site has, and what it needs."""
    site = load_site(name)
    have = {"account": site.account, "image": site.image}
    faults = {
        fault.fact: f"{', '.join(fault.pools)} {'have' if len(fault.pools) > 1 else 'has'} none yet "
        f"(--{fault.fact}, $E2EDIST_{fault.fact.upper()}, or {verb_command('init')})"
        for fault in find_fact_faults(site)
    }
    needs = [f"{key}: {faults.get(key) or have[key] or 'as its pools say'}" for key in site.needs]
    return {
        "description": site.description,
        "file": str(site_path(name)),
        "needs": needs or "nothing of yours",
        "account": "" if "account" in site.needs else _account(site),
        "image": "" if "image" in site.needs else site.image,
        "default pools": ", ".join(site.default_pools) or "all",
        "pools": [_pool(name, pool) for name, pool in site.pools.items()],
        "controller": f"{site.controller.kind} (submit --detach)",
    }


def _pool(name: str, pool: PoolSpec) -> dict[str, str]:
    job = pool.job
    most = f" to {pool.workers_most}" if pool.workers_most else ""
    jobs = is_batch(pool.kind)
    return {
        "pool": name,
        "kind": pool.kind,
        "workers": f"{pool.workers or ('auto' if pool.kind == 'attach' else 1)}{most}",
        "threads": str(pool.threads or (1 if jobs else "auto")),
        "GiB": f"{pool.memory_gib:g}" if pool.memory_gib else "-",
        "runs on": pool.provider,
        "queue": (job.queue or _directed_queue(job.directives) or "default") if jobs else "-",
        "min": f"{job.walltime_min:g}" if jobs else "-",
    }


def _account(site: SiteSpec) -> str:
    """Return who is charged, of a site whose jobs can name somebody."""
    charged = any(takes_account(pool.kind) for pool in site.pools.values())
    return site.account or ("your default one" if charged else "")


def _directed_queue(directives: tuple[str, ...]) -> str:
    """Return the partition, quality of service or queue that a directive names."""
    for line in directives:
        if found := re.match(r"(?:--partition[= ]|-p |--qos[= ]|-q )\s*(\S+)", line):
            return found[1]
    return ""


def _layer(name: str) -> Facts:
    layer = LAYERS[name]
    return {
        "pixels": layer.meaning,
        "unit": layer.unit,
        "grid": f"{layer.grid} ({_GRIDS[layer.grid]})",
        "made from": [f"{table}: {', '.join(sorted(columns))}" for table, columns in layer.columns.items()],
    }


def _seed_method(name: str) -> Facts:
    method = SEED_METHODS[name]
    return {
        "centre": method.meaning,
        "frame": f"{method.frame} ({_GRIDS[method.frame]})",
        "eta_max": f"at most {method.eta_limit:g}",
        "keys": [f"{key}: {one.meaning} (default: {one.default})" for key, one in method.parameters.items()],
        "CMSSW": method.module,
    }


def _plugin(group: str, entry: Entry) -> Facts:
    module = plugins.load(group, entry.name)
    text = inspect.getdoc(module) or ""
    facts: Facts = {
        "description": [" ".join(part.replace("``", "").split()) for part in text.split("\n\n")],
        "module": module.__name__,
        "from": f"plug-in of {entry.origin}" if entry.origin else "e2edist",
    }
    labels = getattr(module, "LABELS", None)
    if isinstance(labels, dict):
        facts["reads"] = _tables_read(labels)
    system = getattr(module, "SYSTEM", None)
    if system is not None:
        facts["batch system"] = str(system.title)
        facts["commands"] = ", ".join(system.commands)
        facts["does not know"] = [f"{key}: {why}" for key, why in system.unsupported.items()]
    return facts


def _tables_read(labels: dict[str, Any]) -> list[str]:
    """Return the tables of a format with their labels; numbered ones, as of tracker layers, together."""
    found: dict[tuple[str, str], list[str]] = {}
    for table, names in labels.items():
        text = ", ".join(names)
        number = table.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        stem = table.removesuffix(number) if number.isdigit() else table
        key = (stem, text.replace(number, "N") if number.isdigit() else text)
        found.setdefault(key, []).append(number if number.isdigit() else "")
    return [
        f"{stem}{numbers[0]}{f'-{numbers[-1]}' if len(numbers) > 1 else ''}: {text}"
        for (stem, text), numbers in found.items()
    ]
