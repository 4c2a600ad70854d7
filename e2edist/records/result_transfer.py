"""Parts and models for workers that don't see the disk of the host that submits.

Most sites have a disk that all hosts see: workers read the model and publish their parts there. Where there
is none (``job.shared_disk = false``) the model travels with the job, a part comes back with its receipt,
over the campaign's own encrypted connections, and the driver publishes it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from e2edist.config.site import PoolSpec
from e2edist.config.tagger import TaggerSpec
from e2edist.errors import ConfigError
from e2edist.storage.publish import publish
from e2edist.urls import local_path

from .folder import CampaignFolder
from .receipt import Receipt

#: The same path on the nodes as here.
_EVERYWHERE = "/cvmfs/"
#: Keeps unpacked models until the process ends.
_unpacked = ExitStack()
#: Identity of a model -> its ONNX file: a worker that stays for another campaign unpacks it only once.
_models: dict[str, Path] = {}


def check_visible(pools: Mapping[str, PoolSpec], urls: list[str], redirectors: tuple[str, ...]) -> None:
    """Refuse inputs on a disk that the workers of a pool don't see.

    Raises
    ------
    ConfigError
        Names the pool and the first such input.
    """
    for name, pool in pools.items():
        if pool.job.shared_disk:
            continue
        for url in urls:
            path, logical = local_path(url), url.startswith("/store/") and redirectors
            if path is not None and not logical and not str(path.absolute()).startswith(_EVERYWHERE):
                what = f"its workers don't see this host's disk (job.shared_disk = false), and {url} is there"
                todo = "Give inputs as root:// or https:// addresses, or below /cvmfs."
                raise ConfigError(f"pool {name}", what, todo)


def unpack_model(tagger: TaggerSpec, files: Mapping[str, bytes]) -> TaggerSpec:
    """Return the tagger with its model, whose `files` came along, on this machine's disk."""
    identity = tagger.model.sha256
    if identity not in _models:
        # Of the whole process: its sessions read the files whenever they are opened.
        folder = Path(_unpacked.enter_context(tempfile.TemporaryDirectory(prefix="e2edist-model-")))
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        _models[identity] = folder / next(iter(files))
    model = tagger.model.model_copy(update={"path": str(_models[identity])})
    return tagger.model_copy(update={"model": model})


def deliver(folder: str, chunk: str, write: Callable[[Path], Receipt]) -> Receipt:
    """Write the part of a chunk into the campaign's folder, or into its receipt where `folder` is empty.

    Parameters
    ----------
    write : callable
        Publishes the part under a path and returns its receipt.
    """
    if folder:
        return write(CampaignFolder(Path(folder)).part(chunk))
    with tempfile.TemporaryDirectory(prefix="e2edist-part-") as folder_name:
        path = Path(folder_name) / f"{chunk}.parquet"
        receipt = write(path)
        content = path.read_bytes()
    return replace(receipt, payload=content)


def import_part(receipt: Receipt, folder: Path) -> Receipt:
    """Publish the part that came with a receipt, if one did, and return the receipt without it.

    Raises
    ------
    OutputError
        The campaign's folder can't be written.
    """
    if not receipt.payload:
        return receipt
    with publish(CampaignFolder(folder).part(receipt.id)) as draft:
        draft.write_bytes(receipt.payload)
    return replace(receipt, payload=b"")
