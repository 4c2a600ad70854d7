"""Made-up CMS-like events with truth labels: for a first run, for tests and for training the demo networks.

Nothing here is a simulation of CMS: showers, jets and noise follow simple parametrisations with the right
orders of magnitude, so that images look and networks learn as on real events.
"""

from __future__ import annotations

from importlib import import_module
from itertools import pairwise
from shutil import rmtree
from typing import TYPE_CHECKING, Any

from e2edist.errors import ConfigError, OutputError, guarded, unknown_name

if TYPE_CHECKING:
    from pathlib import Path

#: What ``label`` 1 and 0 mean in each sample; -1 are candidates that are nobody's. ``eg``: one electron or
#: photon of 15-80 GeV in the barrel; ``qg``: one quark or gluon jet of pT 50-200 GeV; ``top``: a boosted top
#: or a QCD jet of 400-600 GeV; ``tau``: a hadronic tau or a QCD jet of 40-150 GeV. ``eg`` and ``qg`` have
#: HCAL detids in the old form, ``top`` and ``tau`` in the new one.
LABELS = {
    "eg": ("electron", "photon"),
    "qg": ("quark jet", "gluon jet"),
    "top": ("boosted top", "QCD jet"),
    "tau": ("hadronic tau", "QCD jet"),
}


def make_events(
    folder: Path, sample: str, events: int, seed: int, files: int = 2, pileup: float | None = None
) -> list[Path]:
    """Write `events` demo events into `files` ROOT files of the hits form and return their paths.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    sample : str
        One of `LABELS`.
    events, seed, files : int
        The same (sample, events, seed, files) give the same events; file uuids differ.
    pileup : float, optional
        Activity of other collisions, 1 = 2012 Open Data; by default the sample's own.

    Returns
    -------
    list of Path
        ``<sample>_<seed>_<number>.root``, each with several clusters of at most 250 events.

    Raises
    ------
    UnknownNameError, ConfigError
        There is no such sample, or `events` or `files` is not positive.
    """
    from dataclasses import replace

    from .writer import SAMPLES, write_events

    if sample not in SAMPLES:
        raise unknown_name("demo sample", sample, SAMPLES)
    if not 1 <= files <= events:
        raise ConfigError("demo", f"{events} events can't fill {files} files", "Use 1 <= files <= events.")
    kind = SAMPLES[sample] if pileup is None else replace(SAMPLES[sample], pileup=pileup)
    folder.mkdir(parents=True, exist_ok=True)
    key = (list(SAMPLES).index(sample), seed)
    edges = enumerate(pairwise(events * i // files for i in range(files + 1)))
    return [write_events(folder / f"{sample}_{seed}_{i:03d}.root", kind, key, *edge) for i, edge in edges]


def ensure_events(folder: Path, sample: str, events: int, seed: int) -> list[Path]:
    """Return the demo events in `folder`, made by `make_events` if it has none; whole or not at all.

    Raises
    ------
    OutputError
        The folder can't be written, or holds other events than these.
    """
    if files := sorted(folder.glob("*.root")):
        if not _are_these(files, f"{sample}_{seed}_", events):
            what = f"holds other events than {events:,} of sample {sample} with seed {seed}"
            raise OutputError(str(folder), what, "Use another folder, or delete this one: it is made anew.")
        return files
    draft = folder.with_name(f".{folder.name}.draft")
    try:
        rmtree(draft, ignore_errors=True)
        make_events(draft, sample, events, seed)
        draft.rename(folder)  # which may be there, and empty
    except OSError as error:
        todo = "Change to a folder that you can write."
        raise OutputError(str(folder), f"can't be written ({error.strerror})", todo) from error
    return sorted(folder.glob("*.root"))


def _are_these(files: list[Path], prefix: str, events: int) -> bool:
    """Return whether the names of files begin with `prefix`, and they hold so many events."""
    uproot: Any = import_module("uproot")
    if not all(file.name.startswith(prefix) for file in files):
        return False
    held = 0
    for file in files:
        with guarded(str(file), "can't be read", f"Delete {file.parent}: it is made anew."):
            held += sum(entries for *_, entries in uproot.num_entries(f"{file}:Events"))
    return held == events
