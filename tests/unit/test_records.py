"""Records on disk: what is written comes back, whatever the order of keys, the version, or the damage."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from receipts import CHUNK, make_receipt

from e2edist.records.failure import Failure
from e2edist.records.folder import CampaignFolder
from e2edist.records.ledger_lines import count_line, done_line, failed_line, read_line
from e2edist.records.receipt import ReceiptCounts, decode, encode
from e2edist.records.submitted_jobs import SubmittedJob, read_jobs, record_job

quick = settings(deadline=None, max_examples=100, derandomize=True, database=None)
words = st.dictionaries(st.text(), st.text(), max_size=3)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
).filter(lambda value: value not in (float("inf"), float("-inf")))
#: As versions before this one wrote receipts: what every one has, and a key that is long forgotten.
OLDEST = {
    "forgotten": 1,
    "stages": {"source": [1.5, 1, 100]},
    "status": {},
    "events": 100,
    "rows": 3,
    "fingerprint": "print",
    "chunk": {**{name: getattr(CHUNK, name) for name in CHUNK.__dataclass_fields__}, "more": "x"},
    "id": CHUNK.id,
}
FAILURE = Failure.of(CHUNK, "bad basket", 3, [str(i) for i in range(20)])


@quick
@given(
    words,
    st.dictionaries(st.text(), st.integers(0, 9), max_size=3),
    st.dictionaries(st.text(), json_values, max_size=3),
    st.lists(st.text(), max_size=2),
)
def test_any_receipt_comes_back_as_it_was_less_its_payload(engine, status, quality, notes):
    receipt = make_receipt(engine=engine, status=status, notes=tuple(notes), payload=b"\x00\xff", size=7)
    text = encode(replace(receipt, quality={}))
    assert b"\n" not in text
    assert decode(text) == replace(receipt, payload=b"")
    finite = json.loads(json.dumps(quality))
    assert decode(encode(replace(receipt, quality=finite))).quality == finite


@pytest.mark.parametrize("backwards", [False, True])
def test_the_order_of_keys_does_not_matter(backwards):
    receipt = make_receipt(size=9)
    content = json.loads(encode(receipt))
    names = sorted(content, reverse=backwards)
    line = json.dumps({"done": {name: content[name] for name in names}}, indent=None).encode() + b"\n"
    assert read_line(line) == receipt
    assert count_line(line) == ReceiptCounts(receipt.id, 3, 100)


def test_the_oldest_receipts_are_read_and_what_they_lack_is_empty():
    receipt = decode(json.dumps(OLDEST).encode())
    assert (receipt.chunk, receipt.stages) == (CHUNK, {"source": (1.5, 1.0, 100)})
    assert (receipt.pool, receipt.quality, receipt.versions, receipt.size) == ("", {}, {}, None)


def test_the_size_of_a_part_may_stand_beside_its_receipt_as_older_versions_had_it():
    line = json.dumps({"done": OLDEST, "bytes": 77}).encode() + b"\n"
    assert read_line(line).size == 77


@pytest.mark.parametrize("missing", ["id", "chunk", "fingerprint", "rows", "events", "status", "stages"])
def test_a_receipt_without_what_every_one_has_is_none(missing):
    content = {name: value for name, value in OLDEST.items() if name != missing}
    with pytest.raises(ValueError, match=f"^{missing}: Field required"):
        decode(json.dumps(content).encode())
    assert read_line(json.dumps({"done": content}).encode() + b"\n") is None


def test_a_line_that_was_cut_anywhere_says_nothing():
    for line in (done_line(make_receipt()), failed_line(FAILURE)):
        for size in range(len(line)):
            assert read_line(line[:size]) is None
            assert count_line(line[:size]) is None


@pytest.mark.parametrize("text", ["{}", "[]", "3", '"done"', '{"done": 3}', '{"failed": []}', "\0", "{"])
def test_a_line_that_is_no_record_says_nothing(text):
    assert read_line(text.encode() + b"\n") is None
    assert count_line(text.encode() + b"\n") is None


def test_a_failure_comes_back_with_its_last_attempts():
    assert FAILURE.tried == tuple(str(i) for i in range(12, 20))
    assert read_line(failed_line(FAILURE)) == count_line(failed_line(FAILURE)) == FAILURE


def test_jobs_of_all_runs_are_listed_and_a_cut_line_hides_no_other(tmp_path):
    assert list(read_jobs(tmp_path)) == []
    jobs = [SubmittedJob("slurm", "gpu", str(i), f"gpu-{i}") for i in range(3)]
    record_job(tmp_path, jobs[0])
    with CampaignFolder(tmp_path).submitted_jobs.open("ab") as stream:
        stream.write(b'{"kind":"slurm","poo\n')
    for job in jobs[1:]:
        record_job(tmp_path, job)
    assert list(read_jobs(tmp_path)) == jobs


def test_a_job_that_can_not_be_noted_is_no_reason_to_stop(tmp_path, caplog):
    record_job(tmp_path / "gone", SubmittedJob("slurm", "gpu", "7", "gpu-0"))
    assert "cancel will not know of job 7" in caplog.text
