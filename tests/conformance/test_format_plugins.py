"""What every format must do, whoever wrote it: each that is installed is tested, with no edit here.

`SAMPLES` says how files of ours come to be. One of another package needs a file, named by the variable
E2EDIST_FORMAT_SAMPLES, a JSON object of format -> path. The format of docs/examples is one of them.
"""

import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import uproot
from coarse_files import write_delphes, write_pfnano
from ntuples import GROUP, HITS, install_example, write_group, write_hits
from rhtree_files import write_random

from e2edist.errors import BranchError, InputError
from e2edist.formats import _file, inspect, open_events, read_events
from e2edist.formats.api import TABLES, BranchErrors, BranchMap, Request
from e2edist.plugins import find, load

EXAMPLE = "group_ntuple"
EVENTS = 60
#: Format -> function that writes a file of so many events; edm has real ones, which can't be written here.
SAMPLES = {
    "hits": write_hits,
    "rhtree": write_random,
    "delphes": write_delphes,
    "pfnano": write_pfnano,
    EXAMPLE: write_group,
}
#: Format -> tables that its sample has; others are asked for all tables that they give.
COLUMNS = {
    "hits": {table: frozenset(columns) for table, columns in HITS.items()},
    EXAMPLE: {table: frozenset(columns) for table, columns in (GROUP | {"EE": GROUP["EB"]}).items()},
    "edm": {name: frozenset(TABLES[name]) for name in ("EB", "EE", "HBHE", "tracks", "photon", "jet")},
}


@pytest.fixture(params=sorted({*find("formats"), EXAMPLE}))
def name(request, tmp_path, monkeypatch):
    if request.param == EXAMPLE:
        install_example(tmp_path / "plugins")
        monkeypatch.syspath_prepend(tmp_path / "plugins")
    _file._formats.cache_clear()  # a process lists the installed formats once
    yield request.param
    _file._formats.cache_clear()


@pytest.fixture
def sample(name, tmp_path, request):
    """The path of a file of the format."""
    if name in SAMPLES:
        return str(SAMPLES[name](tmp_path / f"{name}.root", EVENTS))
    if name == "edm":
        return str(request.getfixturevalue("data") / "edm" / "given_1.root")
    given = json.loads(os.environ.get("E2EDIST_FORMAT_SAMPLES", "{}"))
    if name not in given:
        pytest.fail(f"no sample of {name}: name a file in E2EDIST_FORMAT_SAMPLES")
    return given[name]


@pytest.fixture
def columns(name, sample):
    """Table -> columns of the sample."""
    return COLUMNS.get(name) or {table: wanted for table, wanted in _all() if _gives(sample, table, wanted)}


def _all():
    return ((table, frozenset(columns)) for table, columns in TABLES.items())


def _gives(path, table, wanted):
    try:
        open_events(path, {table: wanted}).close()
    except BranchError:
        return False
    return True


class EmptyTree:
    """A tree without branches."""

    branches, num_entries = (), 0

    @staticmethod
    def itervalues(**_):
        return iter(())


def assert_equal(part, whole, start, stop):
    """Compare a range with the same cut out of the whole file, dtypes too."""
    for table, rows in part.tables.items():
        low, high = whole[table].offsets[[start, stop]]
        np.testing.assert_array_equal(rows.offsets, whole[table].offsets[start : stop + 1] - low)
        for column, values in rows.columns.items():
            np.testing.assert_array_equal(values, whole[table][column][low:high], err_msg=f"{table}.{column}")
    for key in ("run", "lumi", "event") if stop > start else ():
        values, all_values = getattr(part, key), getattr(whole, key)
        assert (values is None) == (all_values is None)
        if values is not None:
            np.testing.assert_array_equal(values, all_values[start:stop])


def test_a_format_knows_its_own_files_and_no_others(name, sample, tmp_path):
    assert inspect(sample).format == name
    assert not load("formats", name).detect(frozenset())
    for other, write in SAMPLES.items():
        if other != name:
            with uproot.open(write(tmp_path / f"other_{other}.root", 1)) as file:
                (tree,) = file.values()
                assert not load("formats", name).detect(frozenset(tree.keys()))


def test_any_range_of_entries_is_that_cut_of_the_whole_file(sample, columns):
    with open_events(sample, columns) as reader:
        count = reader.info.entries
        whole = reader.read(0, count)
        random = np.random.default_rng(7)
        ranges = [
            (0, 0),
            (count, count),
            (0, 1),
            (count - 1, count),
            *pairwise(reader.info.edges),
        ]
        ranges += [tuple(sorted(random.integers(0, count + 1, 2).tolist())) for _ in range(20)]
        for start, stop in ranges[:60]:
            part = reader.read(start, stop)
            assert (part.start, part.stop) == (start, stop)
            assert_equal(part, whole, start, stop)


def test_one_column_at_a_time_is_the_column_of_all_of_them(sample, columns):
    with open_events(sample, columns) as reader:
        whole = reader.read(0, 20)
    for table, wanted in columns.items():
        for column in sorted(wanted):
            with open_events(sample, {table: frozenset({column})}) as reader:
                alone = reader.read(0, 20)[table]
            assert alone.columns.keys() == {column}
            np.testing.assert_array_equal(alone[column], whole[table][column])
            np.testing.assert_array_equal(alone.offsets, whole[table].offsets)


def test_tables_have_the_rows_and_types_that_are_documented(sample, columns):
    with open_events(sample, columns) as reader:
        batch = reader.read(0, reader.info.entries)
    assert batch.tables.keys() == columns.keys()
    for table, rows in batch.tables.items():
        assert rows.offsets.dtype == np.int64
        assert len(rows.offsets) == batch.events + 1
        assert rows.offsets[0] == 0
        assert (rows.counts() >= 0).all()
        assert rows.columns.keys() == columns[table]
        for column, values in rows.columns.items():
            assert values.dtype == np.dtype(TABLES[table][column])
            assert values.dtype.isnative
            assert values.flags.c_contiguous
            assert len(values) == rows.rows
    kinds = {"run": "u4", "lumi": "u4", "event": "u8"}
    found = {key: getattr(batch, key) for key in kinds}
    assert all(values is None or values.dtype == kinds[key] for key, values in found.items())
    assert batch.notes or all(values is not None for values in found.values())


def test_events_may_have_nothing_in_a_table(sample, columns):
    with open_events(sample, columns) as reader:
        batch = reader.read(0, reader.info.entries)
    assert any((rows.counts() == 0).any() for rows in batch.tables.values())


def test_everything_that_is_missing_is_named_in_one_error(name):
    errors = BranchErrors("f.root:tree")
    found = load("formats", name).map_branches(Request(EmptyTree, dict(_all()), {}, errors))
    assert isinstance(found, BranchMap)
    with pytest.raises(BranchError) as caught:
        errors.raise_if_any()
    assert str(caught.value).startswith("f.root:tree: ")
    missing = [table for table in TABLES if table not in str(caught.value)]
    assert missing == []
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_finding_the_branches_reads_none_of_them(sample, columns, monkeypatch):
    def read(*_, **__):
        raise AssertionError("a branch was read")

    monkeypatch.setattr(uproot.TBranch, "array", read)
    monkeypatch.setattr(uproot.TTree, "arrays", read)
    open_events(sample, columns).close()


def test_another_tree_is_an_error_that_names_those_there_are(name, sample, columns):
    with pytest.raises(InputError, match=f"has no tree 'nothing'.*{inspect(sample).tree}"):
        open_events(sample, columns, format=name, tree="nothing")


def test_a_file_of_another_format_is_a_branch_error(name, columns, tmp_path):
    with uproot.recreate(tmp_path / "x.root") as file:
        file["Other"] = {"nothing": np.zeros(3)}
    with pytest.raises(BranchError) as caught:
        open_events(str(tmp_path / "x.root"), columns, format=name)
    assert all(table in str(caught.value) for table in columns)


def test_a_file_is_closed_at_the_end_and_after_an_error(sample, columns, name):
    def files():
        return sum(f.resolve() == Path(sample).resolve() for f in Path("/proc/self/fd").iterdir())

    with open_events(sample, columns) as reader:
        reader.read(0, 1)
        assert files() > 0
    assert files() == 0
    missing = next(iter({"jet", "tracks", "BPIX1", "TEC9"} - columns.keys()))
    with pytest.raises(BranchError):
        open_events(sample, {missing: frozenset({"eta"})})
    assert files() == 0


def test_threads_read_what_one_reads(sample, columns):
    info = inspect(sample)
    with open_events(info, columns) as reader:
        whole = reader.read(0, info.entries)
    edges = np.linspace(0, info.entries, 9).astype(int).tolist()
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda pair: read_events(info, columns, {}, *pair), pairwise(edges)))
    for part in parts:
        assert_equal(part, whole, part.start, part.stop)


@pytest.mark.parametrize("name", sorted(SAMPLES), indirect=True)
def test_a_file_without_events_gives_empty_tables(name, columns, tmp_path):
    path = SAMPLES[name](tmp_path / "empty.root", 0)
    with open_events(str(path), columns) as reader:
        assert reader.info.entries == 0
        assert reader.info.edges == (0,)
        batch = reader.read(0, 0)
    for table, rows in batch.tables.items():
        assert rows.offsets.tolist() == [0]
        assert {c: v.dtype for c, v in rows.columns.items()} == {
            c: np.dtype(TABLES[table][c]) for c in columns[table]
        }
