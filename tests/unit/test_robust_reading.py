"""Files that are unfinished, damaged or old: read where ROOT reads them, named where it does not."""

from pathlib import Path

import numpy as np
import pytest
import uproot
import zstandard
from damaged_files import append, leave_open
from ntuples import write_hits

from e2edist import formats, predict
from e2edist.errors import E2EError, EntriesError, InputError, combined
from e2edist.formats._compressed import DamagedBytesError, decompressed, decompressed_into
from e2edist.formats._only_root_reads import OLD_CLASS
from e2edist.storage._remote_files import check_header

#: Written by real ROOT: tests/robust/write.py.
FILES = Path(__file__).parents[1] / "robust"
COLUMNS = {"EB": frozenset({"detid", "energy"}), "photon": frozenset({"pt", "eta", "phi"})}
EVENTS = 40  # as those files have, too


@pytest.fixture
def file(tmp_path):
    return write_hits(tmp_path / "a.root", EVENTS)


def cells_of(path):
    """Return every cell of the tables of a file, as bytes."""
    with formats.open_events(str(path), COLUMNS) as reader:
        batch = reader.read(0, reader.info.entries)
    columns = {
        f"{name}.{column}": values.tobytes()
        for name, table in batch.tables.items()
        for column, values in (*table.columns.items(), ("", table.offsets))
    }
    return columns | {name: getattr(batch, name).tobytes() for name in ("run", "lumi", "event")}


@pytest.mark.parametrize("more", [1, 100_000])
def test_bytes_behind_the_end_of_a_file_do_no_harm(file, more):
    before = cells_of(file)
    append(file, more)
    assert cells_of(file) == before
    assert formats.inspect(str(file)).size == file.stat().st_size
    check_header(str(file), file.read_bytes()[:20], file.stat().st_size)


def test_a_file_that_was_not_closed_is_named_with_what_root_can_do(file):
    leave_open(append(file, 1000))
    with pytest.raises(InputError, match="was not closed") as caught:
        formats.inspect(str(file))
    assert "hadd" in caught.value.todo
    assert not caught.value.retryable


def test_a_closed_file_without_a_tree_is_not_called_unclosed(tmp_path):
    with uproot.recreate(tmp_path / "a.root"):
        pass
    with pytest.raises(InputError, match="it holds nothing"):
        formats.inspect(str(tmp_path / "a.root"))


def test_a_file_in_roots_old_compression_is_named():
    with pytest.raises(InputError, match=r"old algorithm \(CS, compression setting 301\)") as caught:
        formats.inspect(str(FILES / "cs.root"))
    assert "hadd -f404 new.root old.root" in caught.value.todo
    assert not caught.value.retryable


def test_what_a_killed_job_had_saved_is_read_as_far_as_it_is_listed():
    assert cells_of(FILES / "listed.root") == cells_of(FILES / "zstd.root")
    with pytest.raises(InputError, match="was not closed") as caught:
        formats.inspect(str(FILES / "saved.root"))
    assert "hadd" in caught.value.todo


def test_baskets_in_roots_old_compression_are_named(file):
    with uproot.open(file) as opened:
        key = opened.key("Events")
        tree = slice(key.fSeekKey, key.fSeekKey + key.fNbytes)
    content = file.read_bytes()
    old = bytearray(content.replace(b"ZL\x08", b"CS\x08"))
    old[tree] = content[tree]
    file.write_bytes(old)
    with formats.open_events(str(file), COLUMNS) as reader, pytest.raises(EntriesError) as caught:
        reader.read(0, reader.info.entries)
    assert "old algorithm (CS" in caught.value.what
    assert "hadd -f404" in caught.value.todo
    assert caught.value.ranges == ((0, EVENTS),)


@pytest.mark.parametrize("name", ["an old class", "an old version"])
def test_an_ntuple_of_a_format_before_1_0_is_named(tmp_path, monkeypatch, name):
    path = tmp_path / "old.root"
    with uproot.recreate(path) as target:
        target.mkrntuple("Events", {"EBRecHit_energy": np.zeros(3, "f4")})
    if name == "an old class":
        monkeypatch.setattr(uproot.ReadOnlyDirectory, "classname_of", lambda *_: OLD_CLASS)
    else:
        monkeypatch.setattr(uproot.models.RNTuple.Model_ROOT_3a3a_RNTuple, "member", lambda *_: 0)
    with pytest.raises(InputError, match=r"RNTuple 'Events' has a format before 1\.0") as caught:
        formats.inspect(str(path))
    assert "ROOT 6.34" in caught.value.todo


def flipped(path, places, tmp_path):
    """Return what reading gives with one byte wrong, place by place: seen, same, or what differs."""
    good, content = cells_of(path), path.read_bytes()
    found = {}
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        (tmp_path / "flipped.root").write_bytes(damaged)
        try:
            cells = cells_of(tmp_path / "flipped.root")
        except E2EError:
            found[place] = "seen"
        else:
            found[place] = ", ".join(name for name in good if cells[name] != good[name]) or "same"
    return found


def unseen(found):
    return {place: cells for place, cells in found.items() if cells not in ("seen", "same")}


def bodies(path):
    """Return the places of what is in the baskets of the branches that are read, without their keys."""
    with uproot.open(path) as opened:
        tree = opened["Events"]
        keys = [(int(one.member("fBasketSeek")[0]), one.basket(0)) for one in tree.branches]
    return [
        place
        for first, basket in keys
        for place in range(first + basket.member("fKeylen"), first + basket.member("fNbytes"))
    ]


@pytest.mark.parametrize("name", ["zlib", "lzma", "lz4"])
def test_one_wrong_byte_in_a_compressed_basket_with_a_checksum_is_seen(name, tmp_path):
    places = bodies(FILES / f"{name}.root")
    # The second byte of a block is its version, which nothing depends on.
    found = flipped(FILES / f"{name}.root", places[:: len(places) // 60], tmp_path)
    assert unseen(found) == {}
    assert sum(one == "seen" for one in found.values()) > 50


@pytest.mark.parametrize(("name", "most"), [("zstd", 0.4), ("none", 0.5)])
def test_one_wrong_byte_without_a_checksum_may_change_values_but_no_offsets(name, most, tmp_path):
    places = bodies(FILES / f"{name}.root")
    found = flipped(FILES / f"{name}.root", places[:: len(places) // 120], tmp_path)
    missed = unseen(found)
    assert 0 < len(missed) <= most * len(found), len(missed) / len(found)
    changed = {cell for cells in missed.values() for cell in cells.split(", ")}
    assert changed.isdisjoint({"EB.", "photon."})  # how many rows each event has


def test_one_wrong_byte_of_an_ntuple_is_seen(tmp_path):
    path = FILES / "ntuple.root"
    found = flipped(path, range(3, path.stat().st_size, 17), tmp_path)
    assert unseen(found) == {}
    assert sum(one == "seen" for one in found.values()) > 50


def test_a_damaged_file_does_not_spoil_those_that_are_read_after_it(tmp_path):
    path = FILES / "zstd.root"
    good, model = cells_of(path), uproot.classes["TBranch"].known_versions[13]
    with uproot.open(path) as opened:
        first = opened.key("Events").fSeekKey
    # uproot takes the description of TBranch in the file for a version that there is not.
    found = flipped(path, range(first + 286, first + 289), tmp_path)
    assert set(found.values()) == {"seen"}
    assert uproot.classes["TBranch"].known_versions[13] is model
    assert cells_of(path) == good


@pytest.mark.parametrize("more", [b"", b"x"])
@pytest.mark.parametrize("kinds", [(uproot.ZSTD(5),), (uproot.ZLIB(1), uproot.LZ4(1)), (uproot.LZMA(1),) * 3])
def test_blocks_must_be_as_long_as_what_they_are_part_of(kinds, more):
    parts = [bytes(1000 + number) for number in range(len(kinds))]
    content = b"".join(parts)
    body = b"".join(uproot.compression.compress(*pair) for pair in zip(parts, kinds, strict=True)) + more
    blocks = np.frombuffer(body, np.uint8)
    if more:
        with pytest.raises(DamagedBytesError, match="blocks"):
            decompressed(blocks, len(content))
    else:
        assert decompressed(blocks, len(content)).tobytes() == content
        for size in (len(content) - 1, len(content) + 1):
            with pytest.raises(DamagedBytesError, match="blocks"):
                decompressed(blocks, size)
        with pytest.raises(DamagedBytesError, match="blocks"):
            decompressed(blocks[:-1], len(content))


def test_a_checksum_of_zstd_itself_is_compared_where_there_is_one():
    content = np.random.default_rng(1).integers(0, 9, 300).astype(np.uint8).tobytes()
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(content)
    assert frame[4] & 4  # the flag, which ROOT does not set
    lengths = len(frame).to_bytes(3, "little") + len(content).to_bytes(3, "little")
    body = np.frombuffer(b"ZS\x01" + lengths + frame, np.uint8)
    room = np.empty(len(content) + 9, np.uint8)
    assert decompressed(body, len(content)).tobytes() == content
    assert decompressed_into(room, body, len(content)).tobytes() == content
    for place in range(9 + 5, len(body)):
        damaged = body.copy()
        damaged[place] ^= 0x10
        with pytest.raises(Exception, match=r"Data corruption|checksum|too small"):
            decompressed(damaged, len(content))
        with pytest.raises(Exception, match=r"Data corruption|checksum|too small"):
            decompressed_into(room, damaged, len(content))


def test_a_fault_that_many_files_have_is_told_once_with_their_number():
    def short(name, size):
        return InputError(f"/data/{name}.root", f"is cut short: {size} bytes", "Copy /data again")

    errors = [short(name, 100 + number) for number, name in enumerate("abcdef")]
    errors.insert(2, InputError("/data/x.root", "is empty (0 bytes)", "Make it again"))
    errors.append(EntriesError("/data/y.root", "is cut short: 100 bytes", "Copy /data again"))
    error = combined(errors, 50, "input files", "--skip-bad-files")
    assert str(error).splitlines() == [
        "8 of 50 input files can't be used (to go on without: --skip-bad-files):",
        "  /data/a.root: is cut short: 100 bytes. Copy /data again",
        "    the same: 5 more, /data/b.root, /data/c.root, ...",
        "  /data/x.root: is empty (0 bytes). Make it again",
        "  /data/y.root: is cut short: 100 bytes. Copy /data again",
    ]


def test_as_many_kinds_of_faults_are_told_as_can_be_read_and_the_files_of_others_counted():
    errors = [InputError(f"/{name}.root", name, "Mend it") for name in "abcdefghijklm" for _ in range(2)]
    lines = str(combined(errors, 99, "inputs")).splitlines()
    assert lines[0] == "26 of 99 inputs can't be used:"
    assert lines[1:3] == ["  /a.root: a. Mend it", "    the same: 1 more, /a.root"]
    assert lines[-1] == "  ... and 6 more"


def test_files_that_fail_alike_are_one_fault_of_a_campaign(tmp_path):
    for name in "abcde":
        leave_open(write_hits(tmp_path / f"{name}.root", 3))
    with pytest.raises(InputError) as caught:
        predict([str(path) for path in sorted(tmp_path.glob("*.root"))], "eg")
    head, first, same = str(caught.value).splitlines()
    assert head == "5 of 5 input files can't be used:"
    assert first.startswith(f"  {tmp_path}/a.root: was not closed")
    assert same == f"    the same: 4 more, {tmp_path}/b.root, {tmp_path}/c.root, ..."


@pytest.mark.parametrize("name", ["event", "Photon_eta"])
def test_a_damaged_page_is_named_with_its_field_and_entries(name, tmp_path):
    path = FILES / "ntuple.root"
    with uproot.open(path) as opened:
        ntuple = opened["Events"]
        number = next(i for i, one in enumerate(ntuple.field_records) if one.field_name == name)
        number += name != "event"  # items of a list are a field of their own, behind it
        column = next(one.idx for one in ntuple.column_records if one.field_id == number)
        place = ntuple.page_link_list[0][column].pages[0].locator.offset
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 1
    (tmp_path / "a.root").write_bytes(damaged)
    with (
        formats.open_events(str(tmp_path / "a.root"), COLUMNS) as reader,
        pytest.raises(EntriesError) as caught,
    ):
        reader.read(0, EVENTS)
    assert f"{name}: a checksum is wrong" in caught.value.what
    assert caught.value.ranges == ((0, EVENTS),)


def test_a_basket_that_contradicts_its_branch_is_named_with_its_branch_and_entries(tmp_path):
    path = FILES / "none.root"
    with uproot.open(path) as opened:
        place = int(opened["Events"]["EBRecHit_energy"].member("fBasketSeek")[0])
    damaged = bytearray(path.read_bytes())
    damaged[place + 9] ^= 8  # in the length of what it holds
    (tmp_path / "a.root").write_bytes(damaged)
    with (
        formats.open_events(str(tmp_path / "a.root"), COLUMNS) as reader,
        pytest.raises(EntriesError) as caught,
    ):
        reader.read(0, EVENTS)
    assert "EBRecHit_energy: the offsets of a basket" in caught.value.what
    assert caught.value.ranges == ((0, EVENTS),)


@pytest.mark.parametrize("edges", [[0, 30, 20, EVENTS], [1, EVENTS], None])
def test_a_damaged_list_of_baskets_is_an_error_of_all_entries(edges, monkeypatch):
    def offsets(_):
        if edges is None:
            raise ValueError("entries don't add up")
        return edges

    with formats.open_events(str(FILES / "zlib.root"), COLUMNS) as reader:
        monkeypatch.setattr(uproot.TBranch, "entry_offsets", property(offsets))
        with pytest.raises(EntriesError, match=r"not in ascending order|don't add up") as caught:
            reader.read(0, EVENTS)
    assert caught.value.ranges == ((0, EVENTS),)
