"""The ledger: lost, cut, damaged, and in agreement with the parts; tables of times."""

import json
import os
import tracemalloc
from dataclasses import asdict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from receipts import make_receipt as receipt
from small_campaign import edges_only, part, path_of, plan_of

from e2edist.accounting.summary import summarise, write_timing
from e2edist.errors import OutputError
from e2edist.records.chunk import Chunk
from e2edist.records.failure import Failure
from e2edist.records.folder import CampaignFolder
from e2edist.records.ledger import open_ledger
from e2edist.records.ledger_lines import done_line
from e2edist.records.parts import RECEIPT

# ---- ledger


def test_a_ledger_that_is_lost_is_made_again_from_the_parts(tmp_path, three):
    expected = {chunk.id: part(tmp_path, chunk) for chunk in three[:2]}
    for _ in range(2):
        ledger = open_ledger(tmp_path, "print", three)
        assert ledger.done == expected
        assert ledger.pending == three[2:]
        assert len(CampaignFolder(tmp_path).ledger.read_text().splitlines()) == 2
        CampaignFolder(tmp_path).ledger.unlink()


def test_a_ledger_cut_at_any_byte_is_whole_again_and_takes_the_next_line(tmp_path, three):
    expected = {chunk.id: part(tmp_path, chunk) for chunk in three[:2]} | {three[2].id: receipt(three[2])}
    open_ledger(tmp_path, "print", three)
    whole = CampaignFolder(tmp_path).ledger.read_bytes()
    for size in range(len(whole)):
        CampaignFolder(tmp_path).ledger.write_bytes(whole[:size])
        ledger = open_ledger(tmp_path, "print", three)
        assert ledger.pending == three[2:]
        ledger.record_done(receipt(three[2]))
        assert ledger.done == expected
        lines = CampaignFolder(tmp_path).ledger.read_text().splitlines()
        assert [json.loads(line)["done"]["id"] for line in lines] == list(expected)


def test_a_part_that_is_gone_is_pending_though_the_ledger_knows_it(tmp_path, three):
    for chunk in three:
        part(tmp_path, chunk)
    open_ledger(tmp_path, "print", three)
    path_of(tmp_path, three[1]).unlink()
    ledger = open_ledger(tmp_path, "print", three)
    assert ledger.pending == [three[1]]
    assert ledger.done.keys() == {three[0].id, three[2].id}


def test_parts_that_are_damaged_or_of_another_plan_do_not_count(tmp_path, three):
    part(tmp_path, three[0])
    os.truncate(path_of(tmp_path, three[0]), 100)
    part(tmp_path, three[1], fingerprint="other")
    path_of(tmp_path, three[2]).write_text("not a part")
    part(tmp_path, Chunk(**asdict(three[0]) | {"uuid": "e" * 32}))
    ledger = open_ledger(tmp_path, "print", three)
    assert ledger.done == {}
    assert ledger.pending == three


def test_lines_of_another_plan_and_lines_that_are_no_json_do_not_count(tmp_path, three):
    expected = part(tmp_path, three[0])
    other = done_line(receipt(three[0], "other", rows=999, size=9)).decode().strip()
    CampaignFolder(tmp_path).ledger.write_text(
        f'{other}\n[]\n"done"\n{{"done": 3}}\n\x00\n{{"done": {{"id": "x"}}}}\n'
    )
    assert open_ledger(tmp_path, "print", three).done == {three[0].id: expected}


def test_a_ledger_that_is_damaged_while_it_is_in_use_says_so_and_is_made_again(tmp_path, three):
    expected = part(tmp_path, three[0])
    ledger = open_ledger(tmp_path, "print", three)
    CampaignFolder(tmp_path).ledger.write_text("{}\n")
    with pytest.raises(OutputError, match="was changed while it was in use"):
        ledger.done[three[0].id]
    assert open_ledger(tmp_path, "print", three).done == {three[0].id: expected}


def test_a_ledger_in_agreement_with_the_parts_is_left_alone_whatever_its_order(tmp_path, three):
    for chunk in three[:2]:
        part(tmp_path, chunk)
    open_ledger(tmp_path, "print", three)
    lines = CampaignFolder(tmp_path).ledger.read_bytes().splitlines(keepends=True)
    CampaignFolder(tmp_path).ledger.write_bytes(lines[1] + lines[0])
    before = CampaignFolder(tmp_path).ledger.stat()
    ledger = open_ledger(tmp_path, "print", three)
    after = CampaignFolder(tmp_path).ledger.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [ledger.done[chunk.id].id for chunk in three[:2]] == [chunk.id for chunk in three[:2]]


def test_memory_holds_no_receipts(tmp_path):
    chunks = plan_of(*range(0, 20_001, 10)).chunks()
    ledger = open_ledger(tmp_path, "print", chunks)
    tracemalloc.start()
    for chunk in chunks:
        ledger.record_done(receipt(chunk))
    assert tracemalloc.get_traced_memory()[0] < 600 * len(chunks)
    tracemalloc.stop()
    assert sum(content.events for content in ledger.done.values()) == ledger.events_done == 20_000


def test_what_was_given_up_is_pending_the_next_time(tmp_path, three):
    ledger = open_ledger(tmp_path, "print", three)
    ledger.record_failed(Failure.of(three[0], "no luck", 3, ["a", "b", "c"]))
    assert (ledger.events_failed, ledger.events_done) == (10, 0)
    assert open_ledger(tmp_path, "print", three).pending == three
    ledger.record_done(receipt(three[0]))
    assert (ledger.events_failed, ledger.events_done) == (0, 10)


@edges_only
@given(st.lists(st.tuples(st.integers(0, 29), st.integers(1, 12)), max_size=5))
def test_pieces_of_a_chunk_and_what_is_pending_cover_its_entries_once(tmp_path_factory, pieces):
    folder = tmp_path_factory.mktemp("tiles")
    whole = plan_of(0, 30).chunks()[0]
    lines = []
    for start, length in dict.fromkeys(pieces):
        piece = whole.part(start, min(start + length, 30))
        CampaignFolder(folder).predictions.mkdir(exist_ok=True)
        lines.append(done_line(part(folder, piece)))
    CampaignFolder(folder).ledger.write_bytes(b"".join(lines))
    ledger = open_ledger(folder, "print", [whole])
    assert bool(ledger.done) == bool(pieces)
    ranges = [(r.chunk.start, r.chunk.stop) for r in ledger.done.values()]
    ranges += [(chunk.start, chunk.stop) for chunk in ledger.pending]
    assert sorted(entry for start, stop in ranges for entry in range(start, stop)) == list(range(30))


# ---- tables


def test_the_timing_table_has_a_row_per_chunk_and_stage_and_sums_to_the_summary(tmp_path, three):
    receipts = [receipt(chunk) for chunk in three]
    write_timing(CampaignFolder(tmp_path).timing, {content.id: content for content in receipts})
    table = pq.read_table(CampaignFolder(tmp_path).timing).to_pylist()
    assert [(row["chunk"], row["stage"]) for row in table] == [
        (chunk.id, stage) for chunk in three for stage in ("source", "output")
    ]
    total = summarise(receipts)
    assert (total.chunks, total.events, total.objects) == (3, 30, 9)
    assert total.status == {"ok": 6, "pt": 3}
    assert total.stages.keys() == {"source", "output"}
    for stage, (wall, cpu, items) in total.stages.items():
        rows = [row for row in table if row["stage"] == stage]
        assert (wall, cpu, items) == tuple(
            sum(row[k] for row in rows) for k in ("wall_ms", "cpu_ms", "items")
        )


def test_nothing_done_is_an_empty_timing_table_with_all_columns(tmp_path):
    write_timing(CampaignFolder(tmp_path).timing, {})
    table = pq.read_table(CampaignFolder(tmp_path).timing)
    assert table.num_rows == 0
    assert {"chunk", "stage", "wall_ms", "cpu_ms", "items", "host", "device"} <= set(table.column_names)


def test_a_part_that_was_cut_is_pending_though_the_ledger_knows_it(tmp_path, three):
    part(tmp_path, three[0])
    open_ledger(tmp_path, "print", three)
    os.truncate(path_of(tmp_path, three[0]), 100)
    assert open_ledger(tmp_path, "print", three).pending == three


def test_parts_with_a_receipt_of_other_keys_do_not_count(tmp_path, three):
    table = pa.table({"entry": [1]}, metadata={RECEIPT: json.dumps({"id": three[0].id})})
    path_of(tmp_path, three[0]).parent.mkdir()
    pq.write_table(table, path_of(tmp_path, three[0]))
    assert open_ledger(tmp_path, "print", three).pending == three
