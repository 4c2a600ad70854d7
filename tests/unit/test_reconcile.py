"""Parts that the ledger does not know: which of them count at the end of a run, which go, which stay."""

import logging
import shutil
from dataclasses import replace

import pyarrow as pa
import pytest
from receipts import make_receipt

from e2edist.accounting.folder_counts import count_folder
from e2edist.accounting.progress import Progress
from e2edist.campaign.reconcile import reconcile
from e2edist.input_file import FileInfo
from e2edist.records.failure import Failure
from e2edist.records.folder import CampaignFolder
from e2edist.records.ledger import open_ledger
from e2edist.records.parts import write_part
from e2edist.records.plan import Plan

UUID = "f" * 32


@pytest.fixture
def place(tmp_path):
    """A planned campaign of one file of 100 entries in two chunks."""
    file = FileInfo("a.root", "hits", "Events", UUID, 100, 100, (0, 60, 100))
    plan = Plan({"name": "x", "chunks": [1]}, (file,), 8.0)
    plan.write(tmp_path)
    return tmp_path, plan


def write(folder, plan, start, stop, **changes):
    """Write the part of some entries, as a worker does; return its chunk and its receipt."""
    chunk = plan.chunks()[0].part(start, stop)
    rows = pa.table({"entry": pa.array(range(start, stop), pa.int64())})
    path = CampaignFolder(folder).part(chunk.id)
    return chunk, write_part(path, rows, lambda: replace(make_receipt(chunk, plan.fingerprint), **changes))


def begin(folder, plan, *done):
    """Return the ledger of a run in which some parts are known, and its counts."""
    ledger = open_ledger(folder, plan.fingerprint, plan.chunks())
    progress = Progress(len(ledger.pending), plan.events)
    for start, stop in done:
        _, receipt = write(folder, plan, start, stop)
        ledger.record_done(receipt)
        progress.done += 1
        progress.events_done += stop - start
    return ledger, progress


def places(ledger):
    return sorted((one.chunk.start, one.chunk.stop) for one in ledger.done.values())


def on_disk(folder):
    parts = CampaignFolder(folder).predictions.iterdir()
    return sorted(tuple(map(int, path.stem.split("-")[-2:])) for path in parts)


def settle(folder, plan, ledger, progress):
    """Reconcile, and check that the folder tells the next run and `status` the same."""
    ended = reconcile(ledger, plan.chunks(), progress)
    assert progress.events_done == ledger.events_done == sum(stop - start for start, stop in places(ledger))
    assert (progress.done, progress.failed) == (len(ledger.done), len(ledger.failed))
    seen = count_folder(folder)
    assert (seen.events_done, seen.events_failed) == (ledger.events_done, ledger.events_failed)
    # Opening makes the file anew where parts lie beside: not under the feet of the ledger at hand.
    copy = shutil.copytree(folder, folder / "copy", ignore=shutil.ignore_patterns("copy"))
    assert open_ledger(copy, plan.fingerprint, plan.chunks()).done == dict(ledger.done)
    shutil.rmtree(copy)
    return ended


def test_a_valid_part_of_a_pending_chunk_counts_and_is_in_the_log(place, caplog):
    folder, plan = place
    ledger, progress = begin(folder, plan, (0, 60))
    late, _ = write(folder, plan, 60, 80)
    with caplog.at_level(logging.INFO, logger="e2edist"):
        assert not settle(folder, plan, ledger, progress)
    assert on_disk(folder) == places(ledger) == [(0, 60), (60, 80)]
    assert progress.chunks > progress.done
    assert progress.done_by == {"cpu": 1}
    assert [r.getMessage().split()[:2] for r in caplog.records] == [["done", f"chunk={late.id}"]]


def test_a_part_that_holds_the_last_open_entries_ends_the_campaign(place):
    folder, plan = place
    ledger, progress = begin(folder, plan, (0, 60))
    write(folder, plan, 60, 100)
    assert settle(folder, plan, ledger, progress)
    assert progress.chunks == progress.done == 2


def test_a_whole_chunk_beside_all_of_its_pieces_is_removed_and_the_log_says_so(place, caplog):
    folder, plan = place
    ledger, progress = begin(folder, plan, (0, 30), (30, 60))
    late, _ = write(folder, plan, 0, 60)
    settle(folder, plan, ledger, progress)
    assert on_disk(folder) == places(ledger) == [(0, 30), (30, 60)]
    (line,) = [r.getMessage() for r in caplog.records]
    assert line == f"removed {late.id}.parquet: its entries are in other parts"


def test_a_whole_chunk_beside_some_of_its_pieces_takes_their_place(place):
    folder, plan = place
    ledger, progress = begin(folder, plan, (0, 30))
    write(folder, plan, 0, 60)
    settle(folder, plan, ledger, progress)
    assert on_disk(folder) == places(ledger) == [(0, 60)]


def test_parts_that_overlap_in_part_count_where_they_hold_most_and_none_with_entries_of_its_own_goes(place):
    folder, plan = place
    ledger, progress = begin(folder, plan, (30, 50))
    write(folder, plan, 0, 40)
    settle(folder, plan, ledger, progress)
    assert places(ledger) == [(0, 40)]
    assert on_disk(folder) == [(0, 40), (30, 50)]
    write(folder, plan, 40, 60)
    settle(folder, plan, ledger, progress)
    assert on_disk(folder) == places(ledger) == [(0, 40), (40, 60)]


def test_what_was_given_up_and_is_in_a_part_after_all_is_not_lost(place):
    folder, plan = place
    ledger, progress = begin(folder, plan, (0, 10), (12, 60), (60, 100))
    chunk = plan.chunks()[0]
    ledger.record_failed(Failure.of(chunk.part(10, 12), "no luck", 3, []))
    progress.failed = 1
    write(folder, plan, 0, 60)
    assert settle(folder, plan, ledger, progress)
    assert not ledger.failed
    assert on_disk(folder) == places(ledger) == [(0, 60), (60, 100)]


def test_of_what_was_given_up_only_entries_that_no_part_holds_stay_lost(place):
    folder, plan = place
    ledger, progress = begin(folder, plan, (20, 60), (60, 100))
    ledger.record_failed(Failure.of(plan.chunks()[0].part(0, 20), "no luck", 3, []))
    progress.failed = 1
    write(folder, plan, 0, 15)
    assert settle(folder, plan, ledger, progress)
    assert [(f.start, f.stop) for f in ledger.failed.values()] == [(15, 20)]


def test_parts_of_another_plan_damaged_ones_of_open_entries_and_foreign_files_stay(place, caplog):
    folder, plan = place
    ledger, progress = begin(folder, plan, (0, 60))
    write(folder, plan, 10, 20, fingerprint="another")
    damaged, _ = write(folder, plan, 60, 100)
    path = CampaignFolder(folder).part(damaged.id)
    path.write_bytes(path.read_bytes()[:-9])
    (CampaignFolder(folder).predictions / "notes-1-2").touch()
    assert not reconcile(ledger, plan.chunks(), progress)
    assert on_disk(folder) == [(0, 60), (1, 2), (10, 20), (60, 100)]
    assert sum("does not count, and stays" in r.getMessage() for r in caplog.records) == 2


def test_a_damaged_part_goes_once_other_parts_hold_its_entries(place):
    folder, plan = place
    ledger, progress = begin(folder, plan, (0, 30), (30, 60))
    damaged, _ = write(folder, plan, 20, 40)
    CampaignFolder(folder).part(damaged.id).write_bytes(b"PAR1")
    settle(folder, plan, ledger, progress)
    assert on_disk(folder) == [(0, 30), (30, 60)]


def test_the_part_of_a_file_without_entries_counts(tmp_path):
    file = FileInfo("a.root", "hits", "Events", UUID, 100, 0, (0,))
    plan = Plan({"name": "x"}, (file,), 8.0)
    plan.write(tmp_path)
    ledger, progress = begin(tmp_path, plan)
    write(tmp_path, plan, 0, 0)
    assert settle(tmp_path, plan, ledger, progress)
    assert on_disk(tmp_path) == places(ledger) == [(0, 0)]
