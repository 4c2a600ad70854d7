"""A converted model is validated in a staging folder, and published only when its scores hold."""

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

from .reference_objects import ReferenceObjects
from .reference_scores import Reference, load_reference, reference_path, save_reference
from .report import print_verdict, report
from .validation_record import ENDING as RECORD_ENDING
from .variants import Options
from .verdict import Verdict, examine


@contextmanager
def staging_folder(output: Path) -> Iterator[Path]:
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


def failed_path(output: Path) -> Path:
    """Return what a model is called whose scores did not hold: ``m.failed.onnx`` for ``m.onnx``."""
    return output.with_suffix(f".failed{output.suffix}")


def validate_staged(
    tagger: str, staged: Path, objects: ReferenceObjects, truth: Reference | Path | None
) -> Verdict:
    """Return the verdict on a staged model.

    Parameters
    ----------
    tagger : str
        Its name, or its file.
    truth : Reference, Path or None
        Scores of the model's own framework, which are saved beside the staged model; a file of saved scores;
        or nothing, then the model is compared with itself.
    """
    spec = load_tagger(tagger, str(staged))
    reference = load_reference(truth, spec, objects) if isinstance(truth, Path) else truth
    if isinstance(truth, Reference):
        save_reference(reference_path(str(staged)), spec, truth)
    return examine(spec, objects if reference is None else None, reference, Options())


def publish_model(
    console: Console, staged: Path, output: Path, verdict: Verdict, *, keep_failed: bool
) -> int:
    """Put a staged model, with its reference, in the place of `output` if it passed; return the exit code.

    What is at `output` stays as it is otherwise, and the model goes to `failed_path` if it is wanted.

    Raises
    ------
    OutputError
        It can't be written.
    """
    failed = bool(verdict.faults or verdict.failed_requests)
    path = failed_path(output) if failed else output
    verdict = _moved(verdict, path)
    if failed and not keep_failed:
        print_verdict(console, verdict)
        stays = f"{output} is left as it was" if output.exists() else f"{output} is not written"
        console.print(f"{stays}; --keep-failed writes {path.name}")
        return 1
    old_reference, new_reference = reference_path(str(path)), reference_path(str(staged))
    # A model beside the reference of another would fail, one without any is only less known.
    old_reference.unlink(missing_ok=True)
    for old in path.parent.glob(f"{escape(path.name)}.*{RECORD_ENDING}"):  # of the model that goes
        old.unlink(missing_ok=True)
    _move(staged, path)
    if new_reference.is_file():
        _move(new_reference, old_reference)
    code = report(console, verdict)
    console.print(f"written: {path}")
    return code


def _moved(verdict: Verdict, path: Path) -> Verdict:
    """Return a verdict on a model that is at another path from now on."""
    model = verdict.tagger.model.model_copy(update={"path": str(path.resolve())})
    refused = verdict.refused.replace(verdict.tagger.model.path, model.path)
    return replace(verdict, tagger=verdict.tagger.model_copy(update={"model": model}), refused=refused)


def _move(source: Path, target: Path) -> None:
    with publish(target) as draft:
        os.replace(source, draft)  # noqa: PTH105 - same folder's disk
