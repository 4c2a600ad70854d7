"""Running a chunk: rows, columns, scores, receipts."""

import threading
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_campaign import FATES, rows_of, run_all, write_hits

from e2edist.campaign.planning import make_plan
from e2edist.errors import ChangedFileError
from e2edist.records.folder import CampaignFolder
from e2edist.records.part_columns import PART_COLUMNS


def test_rejected_candidates_keep_their_row_with_the_reason_and_no_score(small, tmp_path):
    tagger, url = small
    receipts = run_all(tagger, make_plan(tagger, [url]).with_chunks(20).chunks(), tmp_path)
    rows = rows_of(tmp_path)
    assert len(rows) == sum(receipt.rows for receipt in receipts) == 250
    assert [row["status"] for row in rows] == list(FATES) * 50
    for row in rows:
        accepted = row["status"] == "ok"
        assert (row["photon"] is not None) == accepted
        assert (row["seed_row"] is not None) == (row["seed_col"] is not None) == accepted
        assert row["label"] == [1, 0, None, 0, 1][row["object"]]
    assert len({row["photon"] for row in rows}) == 51
    first = rows[0]
    assert (first["run"], first["lumi"], first["event"], first["entry"]) == (7, 3, 2**40, 0)
    assert (first["kind"], first["uuid"]) == ("photon", make_plan(tagger, [url]).files[0].uuid)


def test_a_part_has_the_columns_of_all_parts_in_order_then_the_scores(small, tmp_path):
    tagger, url = small
    run_all(tagger, make_plan(tagger, [url]).with_chunks(50).chunks(), tmp_path)
    (path,) = CampaignFolder(tmp_path).predictions.glob("*.parquet")
    schema = pq.read_schema(path)
    assert schema.names == [*PART_COLUMNS, "photon"]
    assert [schema.field(name).type for name in PART_COLUMNS] == [c.type for c in PART_COLUMNS.values()]
    assert schema.field("photon").type == pa.float32()


def test_scores_do_not_depend_on_how_entries_are_cut_into_chunks(small, tmp_path):
    tagger, url = small
    plan = make_plan(tagger, [url])
    (whole,) = plan.with_chunks(50).chunks()
    run_all(tagger, [whole], tmp_path / "one")
    run_all(tagger, plan.chunks(), tmp_path / "clusters")
    pieces = [whole.part(i, min(i + 7, 50)) for i in range(0, 50, 7)]
    run_all(tagger, pieces, tmp_path / "sevens")
    rows = rows_of(tmp_path / "one")
    for name in ("clusters", "sevens"):
        for row, expected in zip(rows_of(tmp_path / name), rows, strict=True):
            assert repr(row) == repr(expected)


def test_a_chunk_run_twice_and_from_two_threads_is_one_part(small, tmp_path):
    tagger, url = small
    chunk = make_plan(tagger, [url]).with_chunks(50).chunks()[0]
    run_all(tagger, [chunk], tmp_path)
    before = rows_of(tmp_path)
    threads = [threading.Thread(target=run_all, args=(tagger, [chunk], tmp_path)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert repr(rows_of(tmp_path)) == repr(before)
    assert len(list(CampaignFolder(tmp_path).predictions.iterdir())) == 1


def test_a_file_that_changed_since_the_plan_is_refused(small, tmp_path):
    tagger, _ = small
    path = write_hits(tmp_path / "a.root", 10, 5)
    chunk = make_plan(tagger, [str(path)]).chunks()[0]
    write_hits(path, 10, 5)
    with pytest.raises(ChangedFileError, match=r"a\.root: changed since it was planned: uuid was"):
        run_all(tagger, [chunk], tmp_path)
    assert not CampaignFolder(tmp_path).predictions.exists()


def test_the_stages_of_a_receipt_count_events_and_objects_and_add_up_to_its_wall_time(small, tmp_path):
    tagger, url = small
    chunks = make_plan(tagger, [url]).with_chunks(50).chunks()
    run_all(tagger, chunks, tmp_path)
    began = time.perf_counter()
    (receipt,) = run_all(tagger, chunks, tmp_path)
    taken = (time.perf_counter() - began) * 1e3
    stages = receipt.stages
    items = {name: stage[2] for name, stage in stages.items()}
    assert items["source"] == items["DetFrameProducer"] == 50
    assert items["EGFrameProducer"] == items["output"] == 250
    assert items["SmallTagger"] == 50
    total = sum(wall for wall, _, _ in stages.values())
    assert 0 < total <= taken + 0.1
    assert all(wall >= -0.01 and cpu >= -0.01 for wall, cpu, _ in stages.values())
