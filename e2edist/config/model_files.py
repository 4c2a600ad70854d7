"""The files of a model and what they hold: an ONNX file may keep its weights in files beside it.

A model's identity is the sha256 of its ONNX file, or, where tensors lie in other files (external data), a
sha256 over that and the sha256 of each of those. It is the same in every folder.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Lock

from e2edist.errors import ModelError

from ._onnx_external_data import MARKER, external_tensors

_BLOCK_BYTES = 1 << 22
#: A file that was written so recently may change again without another time: it is read again.
_RACY_NS = 2_000_000_000
#: A file that changes while it is read is read again so often.
_TRIES = 3
_BESIDE = "Put that file beside the model; better save the model as one file."
_SAVE_AGAIN = "Save the model again, with its weights beside it or in it."

#: What tells that a file was written to or replaced: device, inode, size, times of change.
Stamp = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model's files as they were when they were read.

    Attributes
    ----------
    path : Path
        The ONNX file.
    external : tuple of str
        The files with weights, relative to the folder of `path`, sorted.
    identity : str
        sha256, hex.
    """

    path: Path
    external: tuple[str, ...]
    identity: str
    stamps: tuple[Stamp, ...]

    @property
    def changed(self) -> bool:
        """Whether any of the files was written to or replaced since, or is gone."""
        try:
            return _stamps(self.path, self.external) != self.stamps
        except OSError:
            return True

    def check_unchanged(self) -> None:
        """Raise `ModelError` if `changed`: what was made of the model may be of other files."""
        if self.changed:
            raise ModelError(str(self.path), "changed while it was in use", "Run the same line again.")

    def contents(self) -> dict[str, bytes]:
        """Return name -> content of all files, the ONNX file first; names are relative to its folder."""
        names = (self.path.name, *self.external)
        return {name: (self.path.parent / name).read_bytes() for name in names}


_known: dict[Path, ModelFiles] = {}
_lock = Lock()


def model_files(path: str | Path, todo: str = "") -> ModelFiles:
    """Return the files of a model with their identity; they are read once as long as they don't change.

    Parameters
    ----------
    todo : str
        What to tell the user if the ONNX file can't be read.

    Raises
    ------
    ModelError
        A file is missing, can't be read, is too short for its tensors, or lies outside the model's folder.
    """
    # Links stay: the files with weights are beside the name that was given.
    path = Path(path).absolute()
    with _lock:
        known = _known.get(path)
        if known is not None and not known.changed:
            return known
        found = _read(path, todo)
        newest = max(max(stamp[3:]) for stamp in found.stamps)
        if time.time_ns() - newest > _RACY_NS:
            _known[path] = found
        return found


def check_planned(path: str | Path, identity: str) -> ModelFiles:
    """Return the files of a model that is about to be opened, if they are those that were planned.

    Raises
    ------
    ModelError
        They are not, or `model_files` refuses them.
    """
    files = model_files(path, "Workers must see it there, or set job.shared_disk = false in the site file.")
    if files.identity != identity:
        which = f" (with {', '.join(files.external)})" if files.external else ""
        what = f"changed since it was planned: its sha256{which} is {files.identity}, planned is {identity}"
        todo = "Put the planned model back and run the same line again, or choose another --output."
        raise ModelError(str(path), what, todo)
    return files


def _read(path: Path, todo: str) -> ModelFiles:
    for _ in range(_TRIES):
        try:
            before = _stamp(path)
            own, needs = _inspect(path)
            external = tuple(sorted(needs))
            begun = [_stamp_external(path, name) for name in external]
            lines = [own, *(f"{_hash_external(path, name, needs[name])} {name}" for name in external)]
            stamps = _stamps(path, external)
        except OSError as error:
            what = f"can't be read ({error.strerror})"
            raise ModelError(str(path), what, todo, retryable=True) from error
        if stamps == (before, *begun):
            identity = hashlib.sha256("\n".join(lines).encode()).hexdigest() if external else own
            return ModelFiles(path, external, identity, stamps)
    todo = "Wait until it is there, and run the same line again."
    raise ModelError(str(path), "is being written", todo, retryable=True)


def _inspect(path: Path) -> tuple[str, dict[str, int]]:
    """Return the sha256 of an ONNX file, and file with weights -> bytes that it must have."""
    digest, signed, tail = hashlib.sha256(), False, b""
    with path.open("rb") as stream:
        while piece := stream.read(_BLOCK_BYTES):
            digest.update(piece)
            signed = signed or MARKER in tail + piece
            tail = piece[1 - len(MARKER) :]
        if not signed:
            return digest.hexdigest(), {}
        stream.seek(0)
        content = stream.read()
    try:
        tensors = external_tensors(content)
    except (ValueError, RecursionError):  # no ONNX file: the runtime says so
        return digest.hexdigest(), {}
    needs: dict[str, int] = {}
    for tensor in tensors:
        name, end = _relative_name(path, tensor["location"]), 0
        for key in ("offset", "length"):
            text = tensor.get(key, "")
            end += int(text) if text.isdecimal() else 0
        needs[name] = max(needs.get(name, 0), end)
    return digest.hexdigest(), needs


def _relative_name(path: Path, location: str) -> str:
    """Return the name of a file with weights in its shortest form, if it is in the model's folder."""
    parts = PurePosixPath(location).parts
    if not parts or location.startswith(("/", "*/_ORT_MEM_ADDR_")) or ".." in parts:
        what = f"its weights lie outside its folder, or nowhere: {location!r}"
        raise ModelError(str(path), what, _SAVE_AGAIN)
    return "/".join(parts)


def _stamp_external(path: Path, name: str) -> Stamp:
    try:
        return _stamp(path.parent / name)
    except FileNotFoundError as error:
        what = f"its weights lie in a file that is missing: {path.parent / name}"
        raise ModelError(str(path), what, _BESIDE, retryable=True) from error


def _hash_external(path: Path, name: str, needs: int) -> str:
    file = path.parent / name
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            size = stream.tell()
    except OSError as error:
        what = f"the file with its weights can't be read: {file} ({error.strerror})"
        raise ModelError(str(path), what, _BESIDE, retryable=True) from error
    if size < needs:
        what = (
            f"the file with its weights is too short: {file} has {size:,} bytes, its tensors end at {needs:,}"
        )
        raise ModelError(str(path), what, "Copy or export it again.")
    return digest


def _stamps(path: Path, external: tuple[str, ...]) -> tuple[Stamp, ...]:
    return tuple(_stamp(file) for file in (path, *(path.parent / name for name in external)))


def _stamp(file: Path) -> Stamp:
    found = file.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
