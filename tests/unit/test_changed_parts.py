"""Parts that are gone, cut or changed since they were written, seen at the end of a run and on resume."""

import os
import random
import shutil
from dataclasses import replace

import pyarrow as pa
import pytest
from receipts import make_receipt

from e2edist.accounting.progress import Progress
from e2edist.campaign.reconcile import recheck
from e2edist.input_file import FileInfo
from e2edist.records.changed_parts import changed_parts
from e2edist.records.folder import CampaignFolder
from e2edist.records.ledger import open_ledger
from e2edist.records.ledger_lines import done_line
from e2edist.records.parts import UnreadableError, write_part
from e2edist.records.plan import Plan


@pytest.fixture
def done(tmp_path):
    """Three parts that are done, in a folder; gives its plan, its ledger and the paths of the parts."""
    file = FileInfo("here/a.root", "hits", "Events", "f" * 32, 100, 30, (0, 10, 20, 30))
    plan = Plan({"name": "x", "chunks": [1]}, (file,), 8.0)
    folder = tmp_path / "out"
    folder.mkdir()
    ledger = open_ledger(folder, plan.fingerprint, plan.chunks())
    paths = [CampaignFolder(folder).part(chunk.id) for chunk in plan.chunks()]
    for path, chunk in zip(paths, plan.chunks(), strict=True):
        ledger.record_done(write(path, plan, chunk))
    return plan, ledger, paths


def write(path, plan, chunk, **changes):
    rows = pa.table({"entry": range(chunk.start, chunk.stop)})
    moved = replace(chunk, url="there/a.root")  # where it was when it was read
    return write_part(path, rows, lambda: make_receipt(moved, plan.fingerprint, **changes))


def footer(path):
    """Return where the footer of a part begins, and where it ends."""
    content = path.read_bytes()
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little"), len(content)


def flip(path, at, bit=0):
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)


HARMS = {
    "deleted": lambda path: path.unlink(),
    "cut": lambda path: os.truncate(path, path.stat().st_size - 1),
    "emptied": lambda path: os.truncate(path, 0),
    "extended": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "cut in the middle": lambda path: path.write_bytes(path.read_bytes()[:20] + path.read_bytes()[21:]),
    "flipped in its receipt": lambda path: flip(path, path.read_bytes().index(b'"started"') + 10),
    "flipped in its schema": lambda path: flip(path, footer(path)[0] + 10),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_part_that_is_not_as_it_was_written_is_pending_at_the_end_and_on_resume(done, harm):
    plan, ledger, paths = done
    progress = Progress(3, 30, done=3, events_done=30)
    HARMS[harm](paths[1])
    resumed = open_ledger(copy_of(paths[1]), plan.fingerprint, plan.chunks())
    (again,) = recheck(ledger, plan.chunks(), progress)
    assert resumed.pending == [again] == [plan.chunks()[1]]  # under the address that the plan knows
    assert (progress.done, progress.events_done) == (2, 20)
    assert not paths[1].exists()  # whoever looks meanwhile must not take it for good
    assert sorted(resumed.done) == sorted(ledger.done) == [paths[0].stem, paths[2].stem]
    assert recheck(ledger, plan.chunks(), progress) == []


def copy_of(path):
    """Return a copy of the folder that holds a part, beside which nobody works."""
    folder = path.parents[1]
    return shutil.copytree(folder, folder.with_name("copy"))


def test_no_flipped_bit_of_a_footer_goes_unnoticed(done):
    _, ledger, paths = done
    rng, whole = random.Random(5), paths[1].read_bytes()
    first, last = footer(paths[1])
    for _ in range(200):
        paths[1].write_bytes(whole)
        flip(paths[1], rng.randrange(first, last), rng.randrange(8))
        assert list(changed_parts(paths[1].parents[1], ledger.done)) == [paths[1].stem]


def test_a_part_that_another_attempt_wrote_later_is_good(done):
    plan, _, paths = done
    chunk = plan.chunks()[1]
    written = write(paths[1], plan, chunk, started=99.0, stages={"source": (7.0, 7.0, 1)})
    again = open_ledger(paths[1].parents[1], plan.fingerprint, plan.chunks())
    assert again.pending == []
    assert again.done[chunk.id] == written


def test_a_ledger_without_checksums_is_held_against_the_receipts_in_the_parts(done):
    plan, ledger, paths = done
    lines = [done_line(replace(receipt, footer_crc=None)) for receipt in ledger.done.values()]
    CampaignFolder(paths[0].parents[1]).ledger.write_bytes(b"".join(lines))
    assert open_ledger(paths[0].parents[1], plan.fingerprint, plan.chunks()).pending == []
    size = paths[2].stat().st_size
    paths[2].write_bytes(b"x" * size)
    assert open_ledger(paths[0].parents[1], plan.fingerprint, plan.chunks()).pending == [plan.chunks()[2]]


def test_a_part_that_can_not_be_read_now_is_neither_damaged_nor_removed(done):
    plan, ledger, paths = done
    content = paths[1].read_bytes()
    paths[1].unlink()
    paths[1].mkdir()  # which is not opened, whoever asks
    with pytest.raises(UnreadableError):
        recheck(ledger, plan.chunks(), Progress(3, 30))
    assert len(ledger.done) == 3
    paths[1].rmdir()
    paths[1].write_bytes(content)
    assert recheck(ledger, plan.chunks(), Progress(3, 30)) == []
