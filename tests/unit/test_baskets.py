"""Baskets read by our own hands hold what uproot finds in them, and what is odd is left to uproot."""

import multiprocessing
import os
import resource
import struct
from itertools import pairwise
from types import SimpleNamespace

import awkward as ak
import numpy as np
import pytest
import uproot

from e2edist.config.tagger import load_tagger
from e2edist.demo import make_events
from e2edist.errors import EntriesError, InputError
from e2edist.formats import _file_cache, inspect, open_events, read_events
from e2edist.formats._baskets import Baskets, read_baskets
from e2edist.formats._check_branch import _packed
from e2edist.formats._column_reader import read_by_uproot
from e2edist.formats._compressed import DamagedBytesError
from e2edist.formats.api import Branch, raw_bytes

TOP = load_tagger("top").columns()
LISTS = [[1.5], [], [2.5, -3.0, 4.0], [8.0]]


def same_as_uproot(reader, start, stop):
    """Compare all columns of a range, bit by bit; every one of them must be read here."""
    branches = reader._columns._branches
    found = read_baskets([reader._columns._plain(one) for one in branches], start, stop)
    wanted = read_by_uproot(reader._opened.tree, branches, start, stop)
    for one in branches:
        ours, theirs = found[one.name], wanted[one.name]
        assert ours.data.dtype.isnative
        np.testing.assert_array_equal(ours.offsets, theirs.offsets)
        assert ours.data.tobytes() == theirs.data.astype(ours.data.dtype).tobytes(), one.name


@pytest.mark.parametrize("name", ["edm/given_1.root", "edm/given_2.root", "root/hits_given_a.root"])
def test_ranges_of_real_files_are_what_uproot_reads(data, name):
    columns = {k: v - {"quality", "d0", "dz"} for k, v in TOP.items()}
    with open_events(str(data / name), columns) as reader:
        last = reader.info.entries
        for start, stop in ((0, last), (last // 3, last - 7), (17, 18), (0, 1), (last - 1, last)):
            same_as_uproot(reader, start, stop)


@pytest.mark.parametrize(
    "compression", [None, uproot.ZLIB(4), uproot.LZMA(4), uproot.LZ4(4), uproot.ZSTD(4)], ids=str
)
def test_every_compression_and_several_baskets_are_what_uproot_reads(tmp_path, compression):
    with uproot.recreate(tmp_path / "x.root", compression=compression) as file:
        random, tree = np.random.default_rng(3), None
        for events in (40, 1, 300):
            counts = random.integers(0, 9, events)
            hits = {"EBRecHit_detid": "u4", "EBRecHit_energy": "f4"}
            lists = {
                name: ak.unflatten(random.integers(1, 2**31, counts.sum()).astype(kind), counts)
                for name, kind in hits.items()
            }
            tree = tree or file.mktree("Events", {k: v.type for k, v in lists.items()} | {"event": "u8"})
            tree.extend(lists | {"event": np.arange(events, dtype="u8")})
    with open_events(str(tmp_path / "x.root"), {"EB": frozenset({"detid", "energy"})}) as reader:
        for start, stop in ((0, 341), (39, 42), (40, 41), (100, 101), (0, 40)):
            same_as_uproot(reader, start, stop)


def test_bytes_of_event_numbers_and_vectors_with_a_header_are_what_uproot_reads(data):
    with uproot.open(data / "edm/given_1.root") as file:
        tree = file["Events"]
        branch = tree["BranchListIndexes"]
        branches = [
            Branch(
                branch.name,
                source=branch,
                dtype=np.dtype(">u2"),
                header_bytes=branch.interpretation.header_bytes,
            ),
            Branch("EventAuxiliary", False, raw_bytes(), tree["EventAuxiliary"], np.dtype("u1")),
        ]
        found = read_baskets([Baskets(one) for one in branches], 5, 300)
        wanted = read_by_uproot(tree, branches, 5, 300)
    for name, lists in found.items():
        np.testing.assert_array_equal(lists.offsets, wanted[name].offsets)
        np.testing.assert_array_equal(lists.data, wanted[name].data)
    assert set(found) == {"BranchListIndexes", "EventAuxiliary"}


def basket(lists, *, header=10, bounds=None, entries=None, size=None):
    """Return the bytes of an uncompressed basket of std::vector<float>, as the file format has it."""
    key = 64
    body, offsets = b"", [key]
    for one in lists:
        if header == 10:  # of a std::vector: bytes behind the first four, a version, the number of items
            body += struct.pack(">IHI", 1 << 30 | 6 + 4 * len(one), 9, len(one))
        body += np.array(one, ">f4").tobytes()
        offsets.append(key + len(body))
    offsets = bounds or offsets
    tail = struct.pack(f">{len(offsets) + 1}i", len(offsets), *offsets)
    content = len(body) + len(tail)
    head = struct.pack(">ihiIhh", size or key + content, 1004, content, 0, key, 0)
    where = struct.pack(">Hiiii", 3, 32000, 1000, len(lists) if entries is None else entries, key + len(body))
    return np.frombuffer(head.ljust(key - len(where) - 1, b"x") + where + b"\0" + body + tail, np.uint8)


def baskets(header=10):
    """Return what reads a branch of one basket."""
    made = object.__new__(Baskets)
    made.branch = Branch("x", header_bytes=header)
    made.dtype, made.edges = np.dtype(">f4"), [0, len(LISTS)]
    return made


@pytest.mark.parametrize("header", [0, 10])
def test_a_basket_made_by_hand_gives_its_lists_whatever_range_is_asked_for(header):
    raw = basket(LISTS, header=header)
    for start in range(4):
        for stop in range(start + 1, 5):
            offsets, data = baskets(header).decode([raw], start, stop)
            lists = [data[a:b].tolist() for a, b in pairwise(offsets)]
            assert lists == LISTS[start:stop]
            assert data.dtype == np.float32


@pytest.mark.parametrize(
    "raw",
    [
        basket(LISTS, size=99),
        basket(LISTS, entries=3),
        basket(LISTS[:3]),
        basket(LISTS, bounds=[64, 78, 89, 111, 125]),
        basket(LISTS, bounds=[64, 111, 88, 110, 124]),
        basket(LISTS, bounds=[68, 78, 88, 110, 124]),
        basket(LISTS, bounds=[64, 78, 124]),
        basket(LISTS)[:50],
    ],
    ids=["size", "entries", "fewer", "half", "backwards", "late", "short", "cut"],
)
def test_a_basket_that_contradicts_itself_is_refused(raw):
    with pytest.raises((DamagedBytesError, struct.error, IndexError)):
        baskets().decode([raw], 0, 4)


def test_a_basket_that_claims_gigabytes_costs_nothing_and_its_entries_are_named(tmp_path):
    path = make_events(tmp_path, "eg", 40, 1, files=1)[0]
    columns = load_tagger("eg").columns()
    with uproot.open(path) as opened:
        place = int(opened["Events"]["EBRecHit_energy"].member("fBasketSeek")[0])
    content = bytearray(path.read_bytes())
    content[place + 6] = 0x7F  # the highest byte of the uncompressed size
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with (
        open_events(str(path), columns) as reader,
        pytest.raises(EntriesError, match=r"a basket of .* would hold 21") as caught,
    ):
        reader.read(0, 40)
    assert caught.value.ranges == ((0, 40),)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_a_branch_that_is_not_the_one_of_its_name_is_left_to_uproot(tmp_path):
    path = make_events(tmp_path, "eg", 5, 1, files=1)[0]
    with open_events(str(path), load_tagger("eg").columns()) as reader:
        first, second = reader._columns._branches[:2]
        assert Baskets(first).edges == [0, 5]
        with pytest.raises(ValueError, match="for uproot"):
            Baskets(Branch(first.name, source=second.source, dtype=first.dtype))


@pytest.mark.parametrize(("title", "kind"), [("x[n]/d[0,500,16]", "Double32_t"), ("x/f[0,1]", "Float16_t")])
def test_numbers_packed_into_few_bits_are_refused(title, kind):
    assert _packed(SimpleNamespace(title=title)) == kind
    assert not _packed(SimpleNamespace(title="x[n]/d"))
    assert not _packed(SimpleNamespace(title="x[n]/d[0,0,32]"))


def test_what_uproot_alone_can_read_is_left_to_it():
    with pytest.raises(ValueError, match="for uproot"):
        Baskets(Branch("x", dtype=np.dtype("f4"), source=SimpleNamespace(embedded_baskets=[])))


def test_a_branch_that_can_not_be_read_here_is_read_by_uproot(tmp_path, monkeypatch):
    path = make_events(tmp_path, "eg", 20, 1, files=1)[0]
    columns = load_tagger("eg").columns()
    with open_events(str(path), columns) as reader:
        ours = reader.read(3, 17)

    def fail(*_):
        raise ValueError

    monkeypatch.setattr(Baskets, "decode", fail)
    with open_events(str(path), columns) as reader:
        theirs = reader.read(3, 17)
    for name, table in ours.tables.items():
        for column, values in table.columns.items():
            np.testing.assert_array_equal(values, theirs[name][column])


def close_files():
    """Close all files that wait for their next range."""
    while _file_cache._open_files:
        _file_cache._open_files.popleft()[1].close()


@pytest.fixture
def file(tmp_path):
    close_files()
    yield inspect(str(make_events(tmp_path, "eg", 60, 1, files=1)[0]))
    close_files()


def opened(monkeypatch):
    """Return a list that grows with every file that is opened."""
    calls = []

    def count(*arguments):
        calls.append(arguments)
        return open_events(*arguments)

    monkeypatch.setattr(_file_cache, "open_events", count)
    return calls


def test_a_file_stays_open_until_its_last_entry_is_read(file, monkeypatch):
    calls, columns = opened(monkeypatch), load_tagger("eg").columns()
    parts = [read_events(file, columns, {}, start, start + 20) for start in (0, 20, 40)]
    assert len(calls) == 1
    assert not _file_cache._open_files
    with open_events(file, columns) as reader:
        whole = reader.read(0, 60)
    together = np.concatenate([part["EB"]["energy"] for part in parts])
    np.testing.assert_array_equal(together, whole["EB"]["energy"])


def test_other_columns_or_another_file_of_the_name_are_opened_anew(file, monkeypatch, tmp_path):
    calls, columns = opened(monkeypatch), load_tagger("eg").columns()
    read_events(file, columns, {}, 0, 20)
    read_events(file, {"EB": frozenset({"detid"})}, {}, 0, 20)
    assert len(calls) == 2
    make_events(tmp_path / "other", "eg", 61, 2, files=1)[0].replace(file.url)
    with pytest.raises(InputError, match="changed since it was planned"):
        read_events(file, columns, {}, 20, 40)


def test_a_file_that_hung_up_is_opened_once_more(file, monkeypatch):
    calls, columns = opened(monkeypatch), load_tagger("eg").columns()
    read_events(file, columns, {}, 0, 20)
    _file_cache._open_files[0][1]._opened.directory.file.source.close()
    assert read_events(file, columns, {}, 20, 40).events == 20
    assert len(calls) == 2


def _child(file, columns):
    os._exit(0 if read_events(file, columns, {}, 20, 40).events == 20 else 1)


def test_a_forked_process_opens_the_file_for_itself(file):
    columns = load_tagger("eg").columns()
    read_events(file, columns, {}, 0, 20)
    child = multiprocessing.get_context("fork").Process(target=_child, args=(file, columns))
    child.start()
    child.join(60)
    if child.is_alive():
        child.kill()
    assert child.exitcode == 0


def test_no_more_than_a_few_files_stay_open(tmp_path, monkeypatch):
    calls, columns = opened(monkeypatch), load_tagger("eg").columns()
    close_files()
    for path in make_events(tmp_path, "eg", 120, 1, files=6):
        read_events(inspect(str(path)), columns, {}, 0, 10)
    assert len(calls) == 6
    assert len(_file_cache._open_files) == _file_cache._MOST_FILES
    close_files()


# ---- how many requests


def requested(reader, monkeypatch, start, stop):
    """Return the (first, last) bytes of all requests that reading some entries takes."""
    same_as_uproot(reader, start, stop)
    source, requests = reader._opened.directory.file.source, []
    chunks = source.chunks

    def note(ranges, notifications):
        requests.extend(ranges)
        return chunks(ranges, notifications)

    monkeypatch.setattr(source, "chunks", note)
    read_baskets([reader._columns._plain(one) for one in reader._columns._branches], start, stop)
    return requests


@pytest.mark.parametrize(("between", "count"), [(0, 1), (12_000, 1), (20_000, 2), (300_000, 2)])
def test_baskets_that_lie_near_each_other_are_one_request_and_others_are_not(
    tmp_path, monkeypatch, between, count
):
    """Two branches of 100 numbers, and so many bytes between them of another one that nobody wants."""
    lists = ak.unflatten(np.arange(100), np.full(20, 5))
    content = {
        "EBRecHit_detid": ak.values_astype(lists, "u4"),
        "other": np.zeros((20, max(1, between // 20)), "u1"),
        "EBRecHit_energy": ak.values_astype(lists, "f4"),
    }
    with uproot.recreate(tmp_path / "x.root", compression=None) as file:
        kinds = {name: getattr(values, "type", None) for name, values in content.items()}
        tree = file.mktree("Events", kinds | {"other": ("u1", content["other"].shape[1:])})
        for _ in range(2):  # what is written of the first ones has more between it
            tree.extend(content)
    with open_events(str(tmp_path / "x.root"), {"EB": frozenset({"detid", "energy"})}) as reader:
        requests = requested(reader, monkeypatch, 20, 40)
    assert len(requests) == count
