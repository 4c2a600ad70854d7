"""The verdict on a model: static checks, then every variant against what is taken for right."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from e2edist.config.model_files import model_files
from e2edist.config.tagger import TaggerSpec
from e2edist.engines import EngineOptions, check_stability, make_engine, runtime
from e2edist.errors import DeviceError, InputError, ModelError
from e2edist.imaging.event_batch import Array

from .compare import Difference, auc, compare
from .reference_objects import ReferenceObjects
from .reference_scores import Reference
from .static import FAIL, Check, check_batches, check_file, check_weights
from .variants import NotApplicableError, Options, Variant, baseline, variants


@dataclass(frozen=True, slots=True)
class Row:
    """One variant: how far it is from the reference, and what is wrong with that.

    Attributes
    ----------
    name : str
    difference : Difference, optional
        None where it did not run.
    faults : tuple of str
        What is beyond the tolerance, or why it did not run.
    counts, asked : bool
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
    counts: bool
    asked: bool
    seconds: float
    facts: Mapping[str, str] = field(default_factory=dict)
    applies: bool = True

    @property
    def word(self) -> str:
        """The verdict in a word: pass, FAIL, no (not to be used, and nobody asked), or not run."""
        if not self.applies and not self.asked:
            return "not run"
        if not self.faults:
            return "pass"
        return "FAIL" if self.counts or self.asked else "no"

    @property
    def must(self) -> bool:
        """Whether the model fails if this one does."""
        return self.counts and (self.asked or self.applies)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found.

    Attributes
    ----------
    tagger : TaggerSpec
    against : tuple of str
        What is taken for right: objects and where their scores come from.
    checks : tuple of Check
    rows : tuple of Row
    refused : str
        Why the model can't be run at all; empty if it can.
    columns : dict of str to (float, float, float or None)
        Column -> smallest score, largest score, AUC where truth is known, of the golden objects.
    independent : bool
        Whether there was a reference besides the model itself.
    """

    tagger: TaggerSpec
    against: tuple[str, ...]
    checks: tuple[Check, ...]
    rows: tuple[Row, ...]
    refused: str
    columns: dict[str, tuple[float, float, float | None]]
    independent: bool = False

    @property
    def faults(self) -> list[str]:
        """Why the model fails; empty if it passes."""
        found = [self.refused] if self.refused else []
        found += [f"{check.name}: {check.why}" for check in self.checks if check.verdict == FAIL]
        return found + [
            f"{row.name}: {'; '.join(row.faults)}" for row in self.rows if row.faults and row.must
        ]

    @property
    def unmet(self) -> list[str]:
        """What else was asked for and fails."""
        rows = [row for row in self.rows if row.faults and row.asked and not row.must]
        return [f"{row.name}: {'; '.join(row.faults)}" for row in rows]

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
            "checks": [asdict(check) for check in self.checks],
            "variants": [_plain(asdict(row)) | {"verdict": row.word} for row in self.rows],
            "columns": _plain(self.columns),
            "host": platform.node(),
            "onnxruntime": runtime().__version__,
        }


def _plain(value: Any) -> Any:
    """Return a value without infinities and NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def examine(
    tagger: TaggerSpec, golden: ReferenceObjects | None, reference: Reference | None, asked: Options
) -> Verdict:
    """Return the verdict on the model of `tagger`.

    Parameters
    ----------
    golden : Golden, optional
        Objects on which all variants must agree with the plainest one.
    reference : Reference, optional
        Objects with scores that are taken for right, whatever any variant says.

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
        options = EngineOptions(batch=asked.batch, accepted=True)
        checks.append(check_batches(check_stability(tagger, options)))
        columns = list(make_engine(tagger, options).columns)
        targets = [] if reference is None else [_known(reference, columns)]
        if golden is not None:
            targets.append((golden, baseline(tagger)(golden)))
        rows = [_row(variant, targets, tagger) for variant in variants(tagger, asked)]
        files.check_unchanged()
    except ModelError as error:
        return Verdict(tagger, (), tuple(checks), (), str(error), {})
    against = [] if reference is None else [_text(reference.golden, _facts(reference))]
    if golden is not None:
        against.append(_text(golden, "ONNX Runtime, CPU, unoptimised, one image a call"))
    ranges, independent = _ranges(columns, targets[-1]), reference is not None
    return Verdict(tagger, tuple(against), tuple(checks), tuple(rows), "", ranges, independent)


def _known(reference: Reference, columns: Sequence[str]) -> tuple[ReferenceObjects, Array]:
    if reference.scores.shape[1] != len(columns):
        named = ", ".join(columns)
        what = f"has {reference.scores.shape[1]} scores an object, the model gives {len(columns)}: {named}"
        raise InputError(reference.golden.origin, what, "Take the reference of this model.")
    return reference.golden, reference.scores


def _facts(reference: Reference) -> str:
    return ", ".join(str(value) for value in reference.facts.values())


def _text(golden: ReferenceObjects, scores: str) -> str:
    return f"{len(golden)} objects ({golden.origin}), scores: {scores}"


def _row(variant: Variant, targets: Sequence[tuple[ReferenceObjects, Array]], tagger: TaggerSpec) -> Row:
    began, worst, applies = time.perf_counter(), None, True
    try:
        worst = _worst([compare(variant.run(golden), scores, golden.label) for golden, scores in targets])
        faults = tuple(worst.faults(tagger.tolerance))
    except ModelError as error:
        applies = not isinstance(error, DeviceError | NotApplicableError)
        faults = (error.what if not error.todo else f"{error.what}. {error.todo}",)
    seconds, kind = time.perf_counter() - began, (variant.counts, variant.asked)
    return Row(variant.name, worst, faults, *kind, seconds, dict(variant.facts), applies)


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


def _ranges(
    columns: Sequence[str], target: tuple[ReferenceObjects, Array]
) -> dict[str, tuple[float, float, float | None]]:
    golden, scores = target
    pairs = zip(columns, scores.T, strict=True)
    return {name: (float(x.min()), float(x.max()), auc(x, golden.label)) for name, x in pairs}
