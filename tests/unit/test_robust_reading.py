"""Files that are unfinished, damaged or old: read where ROOT reads them, named where it does not."""

from pathlib import Path

import numpy as np
import pytest
import uproot
from damaged_files import append, leave_open
from ntuples import write_hits

from e2edist import formats
from e2edist.errors import EntriesError, InputError
from e2edist.formats._only_root_reads import OLD_CLASS
from e2edist.storage._remote_files import check_header

EDM = Path(__file__).parents[1] / "edm"
COLUMNS = {"EB": frozenset({"detid", "energy", "time"}), "photon": frozenset({"pt", "eta", "phi"})}
EVENTS = 40


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


def test_a_tree_in_roots_old_compression_is_named(tmp_path):
    file = tmp_path / "old.root"
    file.write_bytes((EDM / "run1.root").read_bytes().replace(b"XZ\x00", b"CS\x08"))
    with pytest.raises(InputError, match=r"old algorithm \(CS, compression setting 301\)") as caught:
        formats.inspect(str(file))
    assert "hadd -f404 new.root old.root" in caught.value.todo
    assert not caught.value.retryable


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
