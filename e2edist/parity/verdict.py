"""The verdict on a model: static checks, then every variant against the reference."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from e2edist.config.model_files import model_files
from e2edist.config.tagger import TaggerSpec
from e2edist.counted import counted
from e2edist.engines import EngineOptions, check_stability, make_engine, runtime
from e2edist.errors import DeviceError, InputError, ModelError
from e2edist.imaging.event_batch import Array

from .compare import Difference, auc, compare
from .reference_objects import ReferenceObjects
from .reference_scores import Reference
from .static_checks import FAIL, Check, check_batches, check_file, check_weights
from .variants import NotApplicableError, Options, Variant, baseline, variants


@dataclass(frozen=True, slots=True)
class VariantResult:
    """One variant: how far it is from the reference, and what is wrong with that.

    Attributes
    ----------
    name : str
    difference : Difference, optional
        None where it did not run.
    faults : tuple of str
        What is beyond the tolerance, or why it did not run.
    in_campaigns, requested : bool
        As in `Variant`.
    seconds : float
        To open and run.
    facts : mapping of str to str
        What it ran on.
    applies : bool
        Whether it fits the model and this machine.
    """

    name: str
    difference: Difference | None
    faults: tuple[str, ...]
    in_campaigns: bool
    requested: bool
    seconds: float
    facts: Mapping[str, str] = field(default_factory=dict)
    applies: bool = True

    @property
    def outcome(self) -> str:
        """In a word: pass, FAIL, no (not to be used, and not requested), or not run."""
        if not self.applies and not self.requested:
            return "not run"
        if not self.faults:
            return "pass"
        return "FAIL" if self.in_campaigns or self.requested else "no"

    @property
    def decides(self) -> bool:
        """Whether the model fails if this variant does."""
        return self.in_campaigns and (self.requested or self.applies)

    @property
    def content(self) -> dict[str, Any]:
        """All of it, with the keys of validation records."""
        return {
            "name": self.name,
            "difference": None if self.difference is None else asdict(self.difference),
            "faults": self.faults,
            "counts": self.in_campaigns,
            "asked": self.requested,
            "seconds": self.seconds,
            "facts": dict(self.facts),
            "applies": self.applies,
            "verdict": self.outcome,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a model may be used, and why.

    Attributes
    ----------
    tagger : TaggerSpec
    against : tuple of str
        The references: objects and where their scores come from.
    checks : tuple of Check
    variants : tuple of VariantResult
    refused : str
        Why the model can't be run at all; empty if it can.
    columns : dict of str to (float, float, float or None)
        Column -> smallest score, largest score, AUC where truth is known, of the reference objects.
    independent : bool
        Whether there was a reference besides the model itself.
    """

    tagger: TaggerSpec
    against: tuple[str, ...]
    checks: tuple[Check, ...]
    variants: tuple[VariantResult, ...]
    refused: str
    columns: dict[str, tuple[float, float, float | None]]
    independent: bool = False

    @property
    def faults(self) -> list[str]:
        """Why the model fails; empty if it passes."""
        found = [self.refused] if self.refused else []
        found += [f"{check.name}: {check.why}" for check in self.checks if check.status == FAIL]
        return found + _texts(variant for variant in self.variants if variant.decides)

    @property
    def failed_requests(self) -> list[str]:
        """What else was requested and fails."""
        return _texts(v for v in self.variants if v.requested and not v.decides)

    def content(self) -> dict[str, Any]:
        """Return all of it as plain JSON values."""
        return {
            "passed": not self.faults,
            "faults": self.faults,
            "independent": self.independent,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "tagger": self.tagger.name,
            "model": self.tagger.model.path,
            "model_sha256": self.tagger.model.sha256,
            "against": list(self.against),
            "tolerance": self.tagger.tolerance.model_dump(),
            "checks": [check.content for check in self.checks],
            "variants": [_plain(variant.content) for variant in self.variants],
            "columns": _plain(self.columns),
            "host": platform.node(),
            "onnxruntime": runtime().__version__,
        }


def _texts(variants: Iterable[VariantResult]) -> list[str]:
    return [f"{variant.name}: {'; '.join(variant.faults)}" for variant in variants if variant.faults]


def _plain(value: Any) -> Any:
    """Return a value without infinities and NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


#: Objects, and their reference scores.
Target = tuple[ReferenceObjects, Array]


def examine(
    tagger: TaggerSpec, objects: ReferenceObjects | None, reference: Reference | None, options: Options
) -> Verdict:
    """Return the verdict on the model of `tagger`.

    Parameters
    ----------
    objects : ReferenceObjects, optional
        Objects on which all variants must agree with the plainest one.
    reference : Reference, optional
        Objects with scores that every variant must give.

    Raises
    ------
    InputError
        The reference has other columns than the model.
    ModelError
        onnxruntime is not installed.
    """
    runtime()
    path, checks = tagger.model.path, []
    try:
        files = model_files(path)
        checks = check_file(path, tagger.model.sha256)
        if reference is not None and (found := check_weights(path, reference.weights)):
            checks.append(found)
        plain = EngineOptions(batch=options.batch, accepted=True)
        checks.append(check_batches(check_stability(tagger, plain)))
        columns = list(make_engine(tagger, plain).columns)
        targets = [] if reference is None else [_checked(reference, columns)]
        if objects is not None:
            targets.append((objects, baseline(tagger)(objects)))
        results = [_result(variant, targets, tagger) for variant in variants(tagger, options)]
        files.check_unchanged()
    except ModelError as error:
        return Verdict(tagger, (), tuple(checks), (), str(error), {})
    ranges, independent = _ranges(columns, targets[-1]), reference is not None
    against = _against(objects, reference)
    return Verdict(tagger, against, tuple(checks), tuple(results), "", ranges, independent)


def _checked(reference: Reference, columns: Sequence[str]) -> Target:
    if reference.scores.shape[1] != len(columns):
        named = ", ".join(columns)
        what = f"has {reference.scores.shape[1]} scores an object, the model gives {len(columns)}: {named}"
        raise InputError(reference.objects.origin, what, "Take the reference of this model.")
    return reference.objects, reference.scores


def _against(objects: ReferenceObjects | None, reference: Reference | None) -> tuple[str, ...]:
    targets = []
    if reference is not None:
        targets.append((reference.objects, ", ".join(str(value) for value in reference.facts.values())))
    if objects is not None:
        targets.append((objects, "ONNX Runtime, CPU, unoptimised, one image a call"))
    return tuple(
        f"{counted(len(found), 'object')} ({found.origin}), scores: {scores}" for found, scores in targets
    )


def _result(variant: Variant, targets: Sequence[Target], tagger: TaggerSpec) -> VariantResult:
    began, worst, applies = time.perf_counter(), None, True
    try:
        worst = _worst([compare(variant.run(objects), scores, objects.label) for objects, scores in targets])
        faults = tuple(worst.faults(tagger.tolerance))
    except ModelError as error:
        applies = not isinstance(error, DeviceError | NotApplicableError)
        faults = (error.what if not error.todo else f"{error.what}. {error.todo}",)
    seconds, kind = time.perf_counter() - began, (variant.in_campaigns, variant.requested)
    return VariantResult(variant.name, worst, faults, *kind, seconds, dict(variant.facts), applies)


def _worst(found: Sequence[Difference]) -> Difference:
    ranks = [item.rank for item in found if item.rank is not None]
    shifts = [item.auc_shift for item in found if item.auc_shift is not None]
    return Difference(
        max(item.max_abs for item in found),
        max(item.mean_abs for item in found),
        min(ranks, default=None),
        max(shifts, default=None),
        sum(item.not_finite for item in found),
    )


def _ranges(columns: Sequence[str], target: Target) -> dict[str, tuple[float, float, float | None]]:
    objects, scores = target
    pairs = zip(columns, scores.T, strict=True)
    return {name: (float(x.min()), float(x.max()), auc(x, objects.label)) for name, x in pairs}
