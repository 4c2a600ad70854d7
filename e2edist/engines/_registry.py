"""The engines of this process: made by their plug-in, tested once, and shared by its threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from threading import Lock
from typing import Any

from e2edist.config.model_files import ModelFiles, check_planned
from e2edist.config.site import PoolSpec
from e2edist.config.tagger import TaggerSpec
from e2edist.errors import ConfigError, ModelError, unknown_name
from e2edist.plugins import find, load

from ._batch_dependence import TODO, instability, instability_in_any_batch
from .api import Engine, EngineOptions

_engines: dict[tuple[str, EngineOptions], tuple[Engine, ModelFiles]] = {}
_lock = Lock()


def engine_options(pool: PoolSpec, batch: int = 0) -> EngineOptions:
    """Return the options of a pool; `batch` 0: as the pool says."""
    return EngineOptions(
        name=pool.engine,
        provider=pool.provider,
        batch=batch or pool.batch,
        threads=pool.intra_op or 1,
        images="sparse" if pool.images == "sparse" else "dense",
        sessions=pool.sessions or 1,
        conv_search=pool.conv_search,
        profile="" if pool.profile in {"auto", "none"} else pool.profile,
        plugin_options=pool.engine_options,
    )


def make_engine(tagger: TaggerSpec, options: EngineOptions) -> Engine:
    """Return a new engine.

    Raises
    ------
    ModelError
        The model does not load or does not fit the tagger, or the provider is not to be had.
    UnknownNameError
        There is no such engine.
    ConfigError
        Options of its own are unknown or missing.
    """
    module = load("engines", options.name)
    _check_options(module, tagger, options)
    engine: Engine = module.make(tagger, options)
    return engine


def _check_options(module: Any, tagger: TaggerSpec, options: EngineOptions) -> None:
    """Refuse keys that the engine does not know."""
    if hasattr(module, "Options"):
        options.own(module.Options)
    elif options.plugin_options:
        raise _no_options(f"engine_options of a pool with engine {options.name}", options.plugin_options)
    given = tagger.model.options.get(options.name)
    if hasattr(module, "ModelOptions"):
        options.of_model(tagger, module.ModelOptions)
    elif given:
        raise _no_options(f"model.options.{options.name} of tagger {tagger.name}", given)


def _no_options(where: str, given: Mapping[str, Any]) -> ConfigError:
    return ConfigError(where, f"the engine has no such options: {', '.join(given)}", "Take them out.")


def check_stability(tagger: TaggerSpec, options: EngineOptions) -> str:
    """Open a model with these options and return how its scores depend on the batch or on chance.

    Returns
    -------
    str
        Empty if they don't; only with ``options.accepted`` may they.

    Raises
    ------
    ModelError, ConfigError
        As `make_engine`, or they do; or the tagger has options for an engine that there is not.
    """
    known = find("engines") if tagger.model.options else {}
    for name in tagger.model.options:
        if name not in known:
            raise unknown_name("engine", name, known)

    def open_at(batch: int) -> Engine:
        return make_engine(tagger, replace(options, batch=batch or options.batch))

    why = instability_in_any_batch(tagger, open_at, sparse=options.images == "sparse")
    if why and not options.accepted:
        raise ModelError(tagger.model.path, why, TODO)
    return why


def open_engine(tagger: TaggerSpec, options: EngineOptions) -> Engine:
    """Return the process's one engine for this tagger and these options, made at the first call.

    It is made anew where files with weights beside the model changed since: runtimes map such files, so
    that what is written to them changes the scores of an engine that is open.

    Raises
    ------
    ModelError
        As `make_engine`; and if the model is not the one that the tagger was read with, or its scores depend
        on the batch or on chance.
    """
    key = (tagger.fingerprint(), options)
    with _lock:
        engine, files = _engines.get(key, (None, None))
        if engine is None or files is None or (files.external and files.changed):
            _engines.pop(key, None)
            files = check_planned(tagger.model.path, tagger.model.sha256)
            engine = make_engine(tagger, options)
            if not options.accepted and (
                why := instability(tagger, engine, sparse=options.images == "sparse")
            ):
                raise ModelError(tagger.model.path, why, TODO)
            files.check_unchanged()
            _engines[key] = (engine, files)
        return engine


def close_engines(but: EngineOptions) -> None:
    """Close this process's engines with other options, so that they hold no memory of a device."""
    with _lock:
        for key in [key for key in _engines if key[1] != but]:
            del _engines[key]
