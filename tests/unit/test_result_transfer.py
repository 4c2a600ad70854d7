"""Parts and models of workers that don't see the disk of the host that submits."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from models import write_external, write_model, write_tagger
from receipts import CHUNK, make_receipt

from e2edist.config.model_files import model_files
from e2edist.config.site import PoolSpec
from e2edist.config.tagger import load_tagger
from e2edist.engines import EngineOptions, open_engine
from e2edist.errors import ConfigError, OutputError
from e2edist.records.ledger import Ledger
from e2edist.records.parts import footer_crc, read_receipt, write_part
from e2edist.records.result_transfer import check_visible, deliver, import_part
from e2edist.worker.run_chunk import TaskContext, context_of, prepare

FAR = PoolSpec.model_validate({"kind": "htcondor", "job": {"shared_disk": False}})


def _write(path):
    return write_part(path, pa.table({"entry": [1, 2]}), make_receipt)


def test_a_worker_that_sees_the_folder_publishes_there(tmp_path):
    receipt, path = deliver(str(tmp_path), "a", _write), tmp_path / "predictions" / "a.parquet"
    known = (path.stat().st_size, footer_crc(path))
    assert (receipt.size, receipt.footer_crc, receipt.payload) == (*known, b"")
    assert replace(receipt, size=None, footer_crc=None) == read_receipt(path)


def test_a_part_that_came_with_its_receipt_is_published_and_not_written_into_the_ledger(tmp_path):
    receipt = deliver("", CHUNK.id, _write)
    assert len(receipt.payload) == receipt.size > 0
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.record_done(receipt)
    assert [path.name for path in (tmp_path / "predictions").iterdir()] == [f"{CHUNK.id}.parquet"]
    path = tmp_path / "predictions" / f"{CHUNK.id}.parquet"
    assert (path.read_bytes(), footer_crc(path)) == (receipt.payload, receipt.footer_crc)
    assert ledger.done[CHUNK.id] == replace(receipt, payload=b"")
    assert b"payload" not in (tmp_path / "ledger.jsonl").read_bytes()


def test_a_part_that_can_not_be_published_stops_the_campaign(tmp_path):
    (tmp_path / "predictions").touch()
    with pytest.raises(OutputError):
        import_part(make_receipt(payload=b"rows"), tmp_path)


def test_a_model_that_came_along_lies_on_the_worker_under_a_path_of_its_own():
    tagger = load_tagger("eg")
    files = model_files(tagger.model.path).contents()
    prepare("far", TaskContext(tagger, "f", "", "cpu", EngineOptions(), files=files))
    job = context_of("far")
    assert job.files == {}
    assert job.tagger.model.path != tagger.model.path
    assert Path(job.tagger.model.path).read_bytes() == Path(tagger.model.path).read_bytes()
    assert job.tagger.model.sha256 == tagger.model.sha256


def test_files_with_weights_come_along_and_the_model_opens_there(tmp_path):
    path = write_external(write_model(tmp_path / "net.onnx"), {"filters": "sub/w.bin"}, rest="net.onnx.data")
    tagger = load_tagger(str(write_tagger(tmp_path / "small.toml", path)))
    files = model_files(path).contents()
    assert list(files) == ["net.onnx", "net.onnx.data", "sub/w.bin"]
    prepare("far", TaskContext(tagger, "f", "", "cpu", EngineOptions(), files=files))
    there = context_of("far").tagger
    shutil.rmtree(tmp_path)
    images = np.ones((8, 1, 32, 32), np.float32)
    assert open_engine(there, EngineOptions()).predict(images)["modelOutput"].std() == 0
    prepare("again", TaskContext(tagger, "f", "", "cpu", EngineOptions(), files=files))
    assert context_of("again").tagger.model.path == there.model.path  # unpacked once in a process


@pytest.mark.parametrize(
    "url", ["root://host//store/a.root", "https://host/a", "/cvmfs/x/a.root", "/store/a"]
)
def test_inputs_that_every_node_sees_are_taken(url):
    check_visible({"cpu": FAR}, [url], ("root://host/",))


@pytest.mark.parametrize("url", ["/data/a.root", "a.root", "file:///data/a.root", "/store/a.root"])
def test_inputs_on_our_own_disk_are_refused_where_workers_do_not_see_it(url):
    with pytest.raises(ConfigError, match=r"pool far: its workers don't see this host's disk"):
        check_visible({"near": PoolSpec(), "far": FAR}, [url], ())
    check_visible({"near": PoolSpec()}, [url], ())


def test_slurm_carries_no_certificates_to_nodes():
    with pytest.raises(ValueError, match="SLURM's nodes need a disk that submit sees too"):
        PoolSpec.model_validate({"kind": "slurm", "job": {"shared_disk": False}})
