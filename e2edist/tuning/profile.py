"""Profiles: the fastest settings of one model on one kind of device, kept where ``submit`` finds them.

One TOML file each, in ``$E2EDIST_PROFILES`` or a cache (`e2edist.process.cache_folders`). A profile fills
only what a site or a command line left open, and only for the model (sha256), provider, device and release
of ONNX Runtime that it was measured with.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveInt

from e2edist.config.site import PoolSpec, SiteSpec
from e2edist.config.toml_models import Spec, parse, read_toml
from e2edist.engines import installed_release, processor
from e2edist.errors import ConfigError
from e2edist.process import cache_folders
from e2edist.storage.publish import write_first

from .search import Measurement, Search

#: Variable that names the folder of profiles.
FOLDER = "E2EDIST_PROFILES"


class Settings(Spec):
    """What a profile sets, with the names of the keys of a pool."""

    #: images in one model call
    batch: PositiveInt
    #: worker processes of the pool
    workers: PositiveInt
    #: threads of a worker
    threads: PositiveInt
    #: threads inside one model call
    intra_op: PositiveInt
    #: model sessions of a worker
    sessions: PositiveInt
    #: how images reach the model
    images: Literal["dense", "sparse"]
    #: how cuDNN chooses its convolutions
    conv_search: Literal["heuristic", "exhaustive", "default"]


class Profile(Spec):
    """A profile file."""

    #: when it was measured, UTC
    made: str
    #: name of the site
    site: str
    #: name of the pool
    pool: str
    #: kind of the pool
    kind: str
    #: name of the tagger
    tagger: str
    #: identity of the model; no other model takes this profile
    model_sha256: str
    #: cpu, cuda or tensorrt
    provider: str
    #: processor or GPU that it was measured on
    device: str
    #: release of ONNX Runtime
    runtime: str
    #: rate of the best setting
    events_per_s: float
    #: whether there was time to measure all
    complete: bool = True
    settings: Settings
    #: all that was measured, for people
    measured: tuple[dict[str, Any], ...] = ()


def folders() -> list[Path]:
    """Return the folders of profiles: the one that the user named, or those of caches."""
    chosen = os.environ.get(FOLDER)
    return [Path(chosen)] if chosen else cache_folders("profiles")


def runtime_release() -> str:
    """Return the release of ONNX Runtime that is installed here; empty without one."""
    return installed_release("onnxruntime") or installed_release("onnxruntime-gpu")


def make_profile(
    names: tuple[str, str], kind: str, model: tuple[str, str], best: Measurement, search: Search
) -> Profile:
    """Return the profile of the best measurement.

    Parameters
    ----------
    names : (str, str)
        Of site and pool.
    kind : str
        Of the pool.
    model : (str, str)
        Name of the tagger, sha256 of its model.
    search : Search
        All that was measured.
    """
    if best.speed is None:
        raise ValueError("a setting that does not run has no profile")
    facts = best.speed.facts
    return Profile(
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        site=names[0],
        pool=names[1],
        kind=kind,
        tagger=model[0],
        model_sha256=model[1],
        provider=best.options.provider,
        device=facts.get("device", ""),
        runtime=facts.get("engine", "").removeprefix("onnxruntime "),
        events_per_s=round(best.speed.events_s, 1),
        complete=not search.incomplete,
        settings=Settings(**_settings(best)),
        measured=tuple(_as_toml(measurement) for measurement in search.measurements),
    )


def _settings(measurement: Measurement) -> dict[str, Any]:
    options, shape = measurement.options, measurement.shape
    return {
        "batch": int(measurement.speed.facts["batch"]) if measurement.speed else options.batch,
        "workers": shape.workers,
        "threads": shape.threads,
        "intra_op": shape.intra_op,
        "sessions": shape.sessions,
        "images": options.images,
        "conv_search": options.conv_search,
    }


def _as_toml(measurement: Measurement) -> dict[str, Any]:
    speed = measurement.speed
    if speed is None:
        return _settings(measurement) | {"fault": measurement.fault[:200]}
    return _settings(measurement) | {
        "events_per_s": round(speed.events_s, 1),
        "objects_per_s": round(speed.objects_s, 1),
        "kb_per_object": round(speed.kb_per_object, 1),
    }


def write_profile(profile: Profile) -> Path:
    """Write a profile where `submit` finds it, in place of an older one for the same; return its path.

    One that had time to measure all is left as it is by one that had not.
    """
    slug = re.sub(r"[^A-Za-z0-9]+", "-", f"{profile.device} {profile.provider} {profile.runtime}").strip("-")
    name = f"{profile.tagger}-{profile.model_sha256[:12]}-{profile.pool}-{slug}.toml"
    paths = [folder / name for folder in folders()]
    if not profile.complete:
        for path in paths:
            with suppress(ConfigError):
                if path.exists() and read_profile(path).complete:
                    return path
    content = profile.model_dump()
    settings, measured = content.pop("settings"), content.pop("measured")
    lines = ["# Written by e2edist.tune; submit takes it for what is left open.", *_lines(content)]
    lines += ["", "[settings]", *_lines(settings)]
    for table in measured:
        lines += ["", "[[measured]]", *_lines(table)]
    return write_first(paths, "\n".join(lines) + "\n")


def _lines(table: dict[str, Any]) -> list[str]:
    # Strings and numbers of JSON are strings and numbers of TOML.
    return [f"{key} = {json.dumps(value)}" for key, value in table.items()]


def read_profile(path: Path) -> Profile:
    """Return a profile.

    Raises
    ------
    ConfigError
        No profile, or one with faults.
    """
    return parse(Profile, read_toml(path), str(path))


def apply_profiles(site: SiteSpec, model_sha256: str, batch: int = 0) -> tuple[SiteSpec, list[str]]:
    """Return the site with what its pools left open filled from profiles, and a line about each.

    Parameters
    ----------
    batch : int
        Of the command line or campaign; 0 where it is left open too.

    Raises
    ------
    ConfigError
        A pool names a profile that is none, or is for another model.
    """
    pools, messages = dict(site.pools), []
    for name, pool in site.pools.items():
        found = _find(site.name, name, pool, model_sha256)
        if found is None:
            continue
        path, profile = found
        change = _open_keys(pool, profile.settings, batch)
        # Several workers on one GPU were measured so.
        shared = max(pool.workers_per_gpu, change.get("workers", 1))
        pools[name] = pool.model_copy(update=change | {"profile": str(path), "workers_per_gpu": shared})
        what = ", ".join(f"{key} {value}" for key, value in change.items()) or "nothing that is left open"
        messages.append(f"pool {name}: {what}, as tuned ({path})")
    return site.model_copy(update={"pools": pools}), messages


def _open_keys(pool: PoolSpec, settings: Settings, batch: int) -> dict[str, Any]:
    """Return what a profile sets of a pool: never what a person chose."""
    wanted = settings.model_dump()
    change = {key: wanted[key] for key in ("workers", "sessions") if getattr(pool, key) == 0}
    if not pool.batch and not batch:
        change["batch"] = wanted["batch"]
    if pool.images == "auto":
        change["images"] = wanted["images"]
    # Threads were measured for a number of workers; for another number they mean another load.
    if (pool.workers or wanted["workers"]) == wanted["workers"]:
        change |= {key: wanted[key] for key in ("threads", "intra_op") if getattr(pool, key) == 0}
    if pool.conv_search == "heuristic" != wanted["conv_search"]:
        change["conv_search"] = wanted["conv_search"]
    return change


def _find(site: str, name: str, pool: PoolSpec, model_sha256: str) -> tuple[Path, Profile] | None:
    if pool.profile == "none":
        return None
    if pool.profile != "auto":
        path = Path(pool.profile)
        profile = read_profile(path)
        if profile.model_sha256 != model_sha256:
            raise ConfigError(
                str(path), f"is for another model ({profile.model_sha256[:12]})", "Run tune again."
            )
        return path, profile
    fitting = [(p, x) for p, x in _all() if _fits(x, site, name, pool, model_sha256)]
    return max(fitting, key=lambda item: item[1].made, default=None)


def _all() -> list[tuple[Path, Profile]]:
    found = []
    for path in (path for folder in folders() for path in sorted(folder.glob("*.toml"))):
        try:
            found.append((path, read_profile(path)))
        except ConfigError:  # of another version: as good as none
            continue
    return found


def _fits(profile: Profile, site: str, name: str, pool: PoolSpec, model_sha256: str) -> bool:
    if (profile.model_sha256, profile.provider) != (model_sha256, pool.provider):
        return False
    if (profile.site, profile.pool, profile.kind) != (site, name, pool.kind):
        return False
    if pool.kind != "local":
        return True  # its nodes are those of the site; what they have is not seen from here
    here = profile.provider != "cpu" or profile.device == processor()
    return here and profile.runtime == runtime_release()
