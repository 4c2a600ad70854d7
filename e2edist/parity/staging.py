"""A converted model is validated as a draft, and takes its place only when its scores hold."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from glob import escape
from pathlib import Path

from rich.console import Console

from e2edist.config.tagger import load_tagger
from e2edist.errors import OutputError
from e2edist.storage.publish import publish

from .examine import Verdict, examine
from .reference_objects import ReferenceObjects
from .reference_scores import Reference, beside, load_reference, save_reference
from .report import print_verdict, report
from .validation_record import ENDING as VERDICT
from .variants import Options


@contextmanager
def staged(output: Path) -> Iterator[Path]:
    """Give a hidden folder beside a file to be written, and remove it in the end.

    Raises
    ------
    OutputError
        The folder of `output` can't be written.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        what = f"can't be written ({error.strerror or error})"
        raise OutputError(str(output), what, "Free space, or choose another --output.") from error


def failed_name(output: Path) -> Path:
    """Return what a model is called whose scores did not hold: ``m.failed.onnx`` for ``m.onnx``."""
    return output.with_suffix(f".failed{output.suffix}")


def settle(console: Console, draft: Path, output: Path, judged: Verdict, *, keep_failed: bool) -> int:
    """Put a draft, with its reference, in the place of `output` if its verdict is good; return the exit code.

    What is at `output` stays as it is otherwise, and the draft goes to `failed_name` if it is wanted.

    Raises
    ------
    OutputError
        It can't be written.
    """
    failed = bool(judged.faults or judged.unmet)
    place = failed_name(output) if failed else output
    model = judged.tagger.model.model_copy(update={"path": str(place.resolve())})
    refused = judged.refused.replace(judged.tagger.model.path, model.path)
    judged = replace(judged, tagger=judged.tagger.model_copy(update={"model": model}), refused=refused)
    if failed and not keep_failed:
        print_verdict(console, judged)
        stays = f"{output} is left as it was" if output.exists() else f"{output} is not written"
        said = f"{stays}; --keep-failed writes {place.name}"
        console.print(said)
        return 1
    near, made = beside(str(place)), beside(str(draft))
    # A model beside the reference of another would fail, one without any is only less known.
    near.unlink(missing_ok=True)
    for old in place.parent.glob(f"{escape(place.name)}.*{VERDICT}"):  # of the model that goes
        old.unlink(missing_ok=True)
    _move(draft, place)
    if made.is_file():
        _move(made, near)
    code = report(console, judged)
    console.print(f"written: {place}")
    return code


def _move(source: Path, target: Path) -> None:
    with publish(target) as draft:
        os.replace(source, draft)  # noqa: PTH105 - same folder's disk


def judge(name: str, draft: Path, golden: ReferenceObjects, truth: Reference | Path | None) -> Verdict:
    """Return the verdict on a draft.

    Parameters
    ----------
    name : str
        Of the tagger, or its file.
    truth : Reference, Path or None
        Scores of the model's own framework, which are saved beside the draft; a file of saved scores; or
        nothing, then the model is compared with itself.
    """
    tagger = load_tagger(name, str(draft))
    reference = load_reference(truth, tagger, golden) if isinstance(truth, Path) else truth
    if isinstance(truth, Reference):
        save_reference(beside(str(draft)), tagger, truth)
    return examine(tagger, golden if reference is None else None, reference, Options())
