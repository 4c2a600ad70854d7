"""Plans and ledgers of earlier versions, byte for byte: campaigns go on with them."""

import json
from dataclasses import replace

from e2edist.input_file import FileInfo
from e2edist.records.chunk import Chunk
from e2edist.records.failure import Failure
from e2edist.records.folder import CampaignFolder
from e2edist.records.ledger_lines import done_line, failed_line, read_line
from e2edist.records.plan import read_plan
from e2edist.records.receipt import Receipt

UUID = "a" * 32
PRINT = "b446e4d4bc9d68058b210d2b8be841e4bf78891a787d559daefac2e801666d39"
PLAN = {
    "version": 1,
    "fingerprint": PRINT,
    "checksum": "14cdbad73c880dc157890022723111bcbf38e8a5fe4ad9d7d8837c6ed32cb102",
    "tagger": {"name": "eg", "chunks": [1]},
    "files": [
        {
            "url": "/data/a.root",
            "format": "hits",
            "tree": "Events",
            "uuid": UUID,
            "size": 4096,
            "entries": 25,
            "edges": [0, 10, 25],
        }
    ],
    "event_bytes": 8.0,
    "skipped": [["/data/b.root", "is cut"]],
    "validation": "",
    "group": "",
}
DONE = (
    f'{{"done":{{"id":"{UUID}-Events-0-10","chunk":{{"url":"/data/a.root","format":"hits","tree":"Events",'
    f'"uuid":"{UUID}","size":4096,"entries":25,"start":0,"stop":10}},"fingerprint":"{PRINT}","rows":3,'
    '"events":10,"status":{"ok":2,"pt":1},"stages":{"source":[1.5,1.0,10],"output":[0.25,0.125,3]},'
    '"started":1.0,"host":"h","pid":1,"peak_mib":0,"pool":"cpu","validation":"","image":"",'
    '"engine":{"device":"d","provider":"p"},"versions":{},"quality":{},"checksum":"","notes":[],"bytes":1,'
    '"footer_crc":2}}\n'
).encode()
FAILED = (
    f'{{"failed":{{"id":"{UUID}-Events-10-25","url":"/data/a.root","uuid":"{UUID}","tree":"Events",'
    '"start":10,"stop":25,"reason":"broken","attempts":3,"tried":["once"]}}\n'
).encode()


def test_a_plan_is_read_and_written_as_it_was(tmp_path):
    path, text = CampaignFolder(tmp_path).plan, json.dumps(PLAN, indent=1)
    path.write_text(text)
    plan = read_plan(tmp_path)
    assert plan.files == (FileInfo("/data/a.root", "hits", "Events", UUID, 4096, 25, (0, 10, 25)),)
    assert [(chunk.start, chunk.stop) for chunk in plan.chunks()] == [(0, 10), (10, 25)]
    plan.write(tmp_path)
    assert path.read_text() == text


def test_names_of_classes_are_in_a_plan_and_change_no_fingerprint(tmp_path):
    CampaignFolder(tmp_path).plan.write_text(json.dumps(PLAN))
    old = read_plan(tmp_path)
    named = replace(old, classes=("photon", "electron"))
    named.write(tmp_path)
    assert read_plan(tmp_path) == named
    assert named.fingerprint == old.fingerprint


def test_lines_of_a_ledger_are_read_and_written_as_they_were():
    receipt, failure = read_line(DONE), read_line(FAILED)
    assert isinstance(receipt, Receipt)
    assert receipt.chunk == Chunk("/data/a.root", "hits", "Events", UUID, 4096, 25, 0, 10)
    assert receipt.chunk.id == receipt.id
    assert done_line(receipt) == DONE
    assert isinstance(failure, Failure)
    assert failed_line(failure) == FAILED
