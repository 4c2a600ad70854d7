"""Parts and models of workers that don't see the disk of the host that submits."""

from pathlib import Path

import pytest

from e2edist.campaign.chunk import Job, job_of, prepare
from e2edist.campaign.delivery import bring_home, check_reach, deliver
from e2edist.campaign.ledger import Ledger
from e2edist.engines import EngineOptions
from e2edist.errors import OutputError, SpecError
from e2edist.spec.site import PoolSpec
from e2edist.spec.tagger import load_tagger

FAR = PoolSpec.model_validate({"kind": "htcondor", "job": {"shared_disk": False}})


def _write(path):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"rows")
    return {"id": path.stem, "rows": 1}


def test_a_worker_that_sees_the_folder_publishes_there(tmp_path):
    receipt = deliver(str(tmp_path), "a", _write)
    assert receipt == {"id": "a", "rows": 1, "bytes": 4}
    assert (tmp_path / "predictions" / "a.parquet").read_bytes() == b"rows"


def test_a_part_that_came_with_its_receipt_is_published_and_not_written_into_the_ledger(tmp_path):
    receipt = deliver("", "0-1", _write)
    assert receipt["part"] == b"rows"
    receipt |= {"id": "u-Events-0-1"}
    Ledger(tmp_path / "ledger.jsonl").record_done(receipt)
    assert [path.name for path in (tmp_path / "predictions").iterdir()] == ["u-Events-0-1.parquet"]
    assert (tmp_path / "predictions" / "u-Events-0-1.parquet").read_bytes() == b"rows"
    assert "part" not in receipt
    assert b"rows\\" not in (tmp_path / "ledger.jsonl").read_bytes()


def test_a_part_that_can_not_be_published_stops_the_campaign(tmp_path):
    (tmp_path / "predictions").touch()
    with pytest.raises(OutputError):
        bring_home({"id": "a", "part": b"rows"}, tmp_path)


def test_a_model_that_came_along_lies_on_the_worker_under_a_path_of_its_own():
    tagger = load_tagger("eg")
    content = Path(tagger.model.path).read_bytes()
    prepare("far", Job(tagger, "f", "", "cpu", EngineOptions(), content=content))
    job = job_of("far")
    assert job.content == b""
    assert job.tagger.model.path != tagger.model.path
    assert Path(job.tagger.model.path).read_bytes() == content
    assert job.tagger.model.sha256 == tagger.model.sha256


@pytest.mark.parametrize(
    "url", ["root://host//store/a.root", "https://host/a", "/cvmfs/x/a.root", "/store/a"]
)
def test_inputs_that_every_node_sees_are_taken(url):
    check_reach({"cpu": FAR}, [url], ("root://host/",))


@pytest.mark.parametrize("url", ["/data/a.root", "a.root", "file:///data/a.root", "/store/a.root"])
def test_inputs_on_our_own_disk_are_refused_where_workers_do_not_see_it(url):
    with pytest.raises(SpecError, match=r"pool far: its workers don't see this host's disk"):
        check_reach({"near": PoolSpec(), "far": FAR}, [url], ())
    check_reach({"near": PoolSpec()}, [url], ())


def test_slurm_carries_no_certificates_to_nodes():
    with pytest.raises(ValueError, match="SLURM's nodes need a disk that submit sees too"):
        PoolSpec.model_validate({"kind": "slurm", "job": {"shared_disk": False}})
