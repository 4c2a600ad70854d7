"""Many small files: their chunks share tasks, and a worker that dies costs one of them, not all."""

import re

import pyarrow.compute as pc
import pytest
from runs import receipts, table

from e2edist.demo import make_events
from e2edist.records.plan import read_plan
from e2edist.records.verify import verify

FILES, EVENTS = 300, 4


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Folder of many files of a few events, a chunk each."""
    folder = tmp_path_factory.mktemp("many")
    make_events(folder, "eg", FILES * EVENTS, seed=3, files=FILES)
    return folder


@pytest.mark.slow
def test_a_worker_killed_in_the_midst_of_a_load_costs_one_chunk_a_try_and_nothing_else(lab, many):
    lab.source = many
    paths = sorted(many.glob("*.root"))
    victim = paths[FILES // 2]
    code, said = lab.run(
        faults=[{"name": "kill", "at": "infer", "do": "kill", "file": victim.name, "times": 1}], workers=2
    )
    assert code == 0, said
    assert lab.hit("kill")
    log = (lab.out / "submit.log").read_text(encoding="utf-8")
    ((size, done, not_started),) = re.findall(
        r"lost task: (\d+) chunks, (\d+) finished, (\d+) not started", log
    )
    assert int(size) > 2
    assert int(done) + int(not_started) == int(size) - 1
    plan = read_plan(lab.out)
    (uuid,) = [file.uuid for file in plan.files if file.url.endswith(victim.name)]
    failed = re.findall(r"WARNING lost (\S+?):", log)
    assert [name[:32] for name in failed] == [uuid]
    ended = re.findall(r"INFO done chunk=(\S+)", log)
    assert len(ended) == len(set(ended)) == FILES
    assert len({receipt["id"] for receipt in receipts(lab.out)}) == FILES
    assert verify(lab.out, plan).good
    assert len(pc.unique(table(lab.out)["uuid"])) == FILES
    assert lab.bad() == []
    # far fewer tasks than chunks: the chunks of a bundle have one moment in the log
    moments = {line[:23] for line in log.splitlines() if "INFO done" in line}
    assert len(moments) < FILES
