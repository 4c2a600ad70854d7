"""Data quality: what scores and inputs look like, part by part, and whether they drift from a reference.

A part's receipt holds counts only (NaN, infinities, fixed bins) and extremes, so that parts add up exactly
in any order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from e2edist.config.tagger import TaggerSpec
from e2edist.counted import counted
from e2edist.errors import CampaignError, InputError, OutputError
from e2edist.imaging.crops import Crops
from e2edist.imaging.event_batch import Array
from e2edist.records.folder import CampaignFolder
from e2edist.records.parts import read_receipt
from e2edist.storage.publish import publish

#: {"scores": {column: Histogram}, "inputs": {layer: {"pixels": Histogram, "sum": Histogram}}}
Quality = dict[str, Any]
#: {"n", "nan", "inf": int, "min", "max": float or None, "bins": {number of the bin: int}}
Histogram = dict[str, Any]

_LARGE = [1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0, 30.0, 50.0, 100.0, 1e3]
#: Fixed edges, for probabilities, logits and masses alike; bin i is edges[i - 1] <= x < edges[i].
SCORE_EDGES = np.array([*(-x for x in reversed(_LARGE)), *np.arange(0, 1, 0.03125), *_LARGE])
#: Non-zero pixels of a crop in one channel: half powers of two.
PIXEL_EDGES = np.unique(np.round(2 ** (np.arange(35) / 2)))
_SIZES = 10.0 ** (np.arange(-4, 17) / 4)
#: Sum of a crop's pixels in one channel, before normalisation: four bins a decade on either side of zero.
SUM_EDGES = np.concatenate([-_SIZES[::-1], [0.0], _SIZES])
#: A score that is the same for at least so many objects is called constant.
_FEW = 20
#: Groups of bins that a population stability index compares.
_GROUPS = 10
#: A population stability index above this is reported: the usual threshold.
DRIFT = 0.1


def histogram_of(values: Array, edges: Array) -> Histogram:
    """Return counts and extremes of some values of any numeric type."""
    x = np.asarray(values, np.float64)
    finite = x[np.isfinite(x)]
    nan = int(np.isnan(x).sum())
    number, count = np.unique(np.searchsorted(edges, finite, side="right"), return_counts=True)
    return {
        "n": len(x),
        "nan": nan,
        "inf": len(x) - len(finite) - nan,
        "min": float(finite.min()) if len(finite) else None,
        "max": float(finite.max()) if len(finite) else None,
        "bins": {str(i): int(n) for i, n in zip(number, count, strict=True)},
    }


def measure_quality(scores: Mapping[str, Array], crops: Crops, tagger: TaggerSpec) -> Quality:
    """Return the quality of one chunk.

    Parameters
    ----------
    scores : mapping of str to array, shape (crops,)
    """
    inputs = {}
    pixels = np.diff(crops.offsets).reshape(-1, crops.channels)
    # Each crop by itself: an infinity, or a huge pixel, is no other crop's.
    crop = np.repeat(np.arange(pixels.size), pixels.ravel())
    sums = np.bincount(crop, crops.value.astype(np.float64), pixels.size).reshape(-1, crops.channels)
    for c, name in enumerate(_channel_names(tagger)):
        sizes = histogram_of(pixels[:, c], PIXEL_EDGES)
        inputs[name] = {"pixels": sizes, "sum": histogram_of(_rounded(sums[:, c]), SUM_EDGES)}
    return {"scores": {name: histogram_of(x, SCORE_EDGES) for name, x in scores.items()}, "inputs": inputs}


def _rounded(sums: Array) -> Array:
    """Round, so that the histogram does not depend on the last bits of a sum."""
    return np.asarray(np.round(sums, 6))


def _channel_names(tagger: TaggerSpec) -> list[str]:
    layers = [channel.layer for channel in tagger.channels]
    return [name if layers.count(name) == 1 else f"{name}#{i}" for i, name in enumerate(layers)]


def add_histograms(a: Histogram, b: Histogram) -> Histogram:
    """Return the histogram of both together; exact, associative and commutative."""
    bins = dict(a["bins"])
    for number, count in b["bins"].items():
        bins[number] = bins.get(number, 0) + count
    low = [t["min"] for t in (a, b) if t["min"] is not None]
    high = [t["max"] for t in (a, b) if t["max"] is not None]
    sums = {key: a[key] + b[key] for key in ("n", "nan", "inf")}
    ordered = dict(sorted(bins.items(), key=lambda item: int(item[0])))
    return sums | {"min": min(low, default=None), "max": max(high, default=None), "bins": ordered}


def add_quality(a: Quality, b: Quality) -> Quality:
    """Return the quality of both together; exact, associative and commutative. {} is neutral."""
    if "bins" in a and "bins" in b:
        return add_histograms(a, b)
    names = dict.fromkeys([*a, *b])
    return {n: add_quality(a[n], b[n]) if n in a and n in b else a.get(n, b.get(n)) for n in names}


def read_quality(folder: Path) -> Quality:
    """Return the quality of a campaign, from the receipts of its parts.

    Raises
    ------
    InputError
        The folder has no parts with data quality in their receipts.
    """
    total: Quality = {}
    for path in sorted(CampaignFolder(folder).predictions.glob("*.parquet")):
        try:
            total = add_quality(total, read_receipt(path).quality)
        except OutputError as error:
            raise InputError(str(path), error.what, "Name a campaign that verify finds whole.") from error
    if not total:
        todo = "A reference is the --output folder of an earlier run of this version or a newer one."
        raise InputError(str(folder), "has no parts with their data quality", todo)
    return total


def histograms(quality: Quality) -> dict[str, Histogram]:
    """Return all histograms by a readable name, scores first."""
    found = {f"score {name}": histogram for name, histogram in quality.get("scores", {}).items()}
    for layer, both in quality.get("inputs", {}).items():
        found |= {f"input {layer}, {kind}": histogram for kind, histogram in both.items()}
    return found


def drift(quality: Quality, reference: Quality) -> dict[str, float]:
    """Return the population stability index of each histogram that both have.

    A score that only one of them has, or has values of, can't be compared: infinity.
    """
    ours, theirs = histograms(quality), histograms(reference)
    found = {name: stability_index(ours[name], theirs[name]) for name in ours if name in theirs}
    drifts = {name: value for name, value in found.items() if value is not None}
    filled = {name for side in (ours, theirs) for name, histogram in side.items() if histogram["bins"]}
    lost = sorted(name for name in filled if name.startswith("score ") and name not in drifts)
    return drifts | dict.fromkeys(lost, inf)


def stability_index(histogram: Histogram, reference: Histogram) -> float | None:
    """Return the PSI: sum of (p - q) ln(p / q) over groups of bins that each hold a tenth of the reference.

    What two samples of one distribution are expected to give, (groups - 1)(1/n + 1/m), is taken off, so that
    small samples are no false alarm. None where one of them is empty.
    """
    names = sorted({*histogram["bins"], *reference["bins"]}, key=int)
    q = np.array([reference["bins"].get(name, 0) for name in names], np.float64)
    p = np.array([histogram["bins"].get(name, 0) for name in names], np.float64)
    if not q.sum() or not p.sum():
        return None
    group = np.minimum((np.cumsum(q) - q) * _GROUPS // q.sum(), _GROUPS - 1)
    # Where the reference has nothing at all, below and above, groups of their own.
    group[np.cumsum(q) == 0] = -1
    group[np.cumsum(q[::-1])[::-1] == 0] = _GROUPS
    group = np.unique(group, return_inverse=True)[1]
    count = int(group.max()) + 1
    parts = [np.bincount(group, weights=x, minlength=count) + 0.5 for x in (p, q)]
    a, b = (part / part.sum() for part in parts)
    expected = (count - 1) * (1 / p.sum() + 1 / q.sum())
    return float(max(0.0, ((a - b) * np.log(a / b)).sum() - expected))


def warnings(
    quality: Quality, constant: Mapping[str, int] | None = None, drifts: Mapping[str, float] | None = None
) -> list[str]:
    """Return what looks wrong, a clause each.

    Parameters
    ----------
    constant : mapping of str to int
        Name of a histogram (`constant_names`) -> parts in which it is always the same.
    drifts : mapping of str to float
        As `drift` returns them.
    """
    messages = []
    for name, histogram in histograms(quality).items():
        if histogram["nan"] or histogram["inf"]:
            messages.append(
                f"{name}: {histogram['nan']:,} NaN and {histogram['inf']:,} infinite of {histogram['n']:,}"
            )
        if _constant(histogram):
            messages.append(f"{name}: always {histogram['min']:g}, in {counted(histogram['n'], 'object')}")
    always = constant_names(quality)
    odd = [name for name in constant or () if name.startswith("score ") and name not in always]
    messages += [f"{name}: constant in {counted(constant[name], 'part')}" for name in odd if constant]
    worst = sorted((drifts or {}).items(), key=lambda item: -item[1])
    return messages + [f"{name}: {_drifted(x)}" for name, x in worst if x > DRIFT]


def _drifted(value: float) -> str:
    if value == inf:
        return "can't be compared with the reference: only one of the two has it"
    return f"drifted from the reference, PSI {value:.2f}"


def constant_names(quality: Quality) -> list[str]:
    """Return the names of the histograms in which every value is the same."""
    return [name for name, histogram in histograms(quality).items() if _constant(histogram)]


def _constant(histogram: Histogram) -> bool:
    return bool(histogram["n"] >= _FEW and histogram["min"] == histogram["max"] is not None)


def write_quality(folder: Path, quality: Quality, messages: list[str], drifts: Mapping[str, float]) -> None:
    """Write ``quality.json``: histograms with their edges, warnings, drift."""
    edges = {"scores": SCORE_EDGES, "pixels": PIXEL_EDGES, "sum": SUM_EDGES}
    content = {
        "warnings": messages,
        "drift": {name: round(value, 6) if value < inf else None for name, value in drifts.items()},
        "edges": {name: values.tolist() for name, values in edges.items()},
        **quality,
    }
    with publish(CampaignFolder(folder).quality) as draft:
        draft.write_text(json.dumps(content, indent=1), encoding="utf-8")


def compare_with_reference(
    folder: Path, quality: Quality, messages: list[str], reference: str | None
) -> dict[str, float]:
    """Compare a campaign with its reference, add to its `messages`, write ``quality.json``.

    Returns
    -------
    dict of str to float
        Drift of each score and input that both have; empty without a reference.
    """
    drifts = drift(quality, read_quality(Path(reference))) if reference else {}
    messages += [line for line in warnings({}, {}, drifts) if line not in messages]
    try:
        write_quality(folder, quality, messages, drifts)
    except OutputError as error:  # results are on disk: these are sums of what they hold
        messages.append(str(error))
    return drifts


def check_limits(
    folder: Path, quality: Quality, drifts: Mapping[str, float], limits: tuple[float | None, float | None]
) -> None:
    """Fail a campaign whose scores are beyond a limit; its results stay.

    Parameters
    ----------
    limits : (float or None, float or None)
        Fraction of the scores that may be NaN or infinite, and drift from the reference; none: any.

    Raises
    ------
    CampaignError
        Names all that is beyond.
    """
    most, furthest = limits
    counts = {name: (t["nan"] + t["inf"], t["n"]) for name, t in quality.get("scores", {}).items()}
    broken = [
        f"{name} {bad:,} of {n:,}" for name, (bad, n) in counts.items() if most is not None and bad > most * n
    ]
    if broken:
        what = f"more than {most:.3%} of the scores are NaN or infinite: {', '.join(broken)}"
        raise CampaignError(str(folder), what, "All results are written; see quality.json.")
    _refuse_drift(folder, drifts, furthest)


def _refuse_drift(folder: Path, drifts: Mapping[str, float], most: float | None) -> None:
    far = {name: value for name, value in drifts.items() if most is not None and value > most}
    if far:
        named = ", ".join(
            f"{name} by {value:.2f}" if value < inf else f"{name}, which only one of the two has"
            for name, value in sorted(far.items())
        )
        what = f"drifted further from the reference than {most:g}: {named}"
        raise CampaignError(str(folder), what, "All results are written; see quality.json.")
