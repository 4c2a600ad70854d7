"""Golden JSON files: which events count, and what becomes of the others."""

import json
import re
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ntuples import HITS, random_content, write
from small_campaign import edges_only, rows_of, write_hits

from e2edist.campaign.planning import ReadOptions, make_plan
from e2edist.config.lumi_mask import canonical_mask, parse_mask, read_lumi_mask
from e2edist.config.tagger import load_tagger
from e2edist.engines import EngineOptions
from e2edist.errors import ConfigError, InputError
from e2edist.formats import inspect, open_events
from e2edist.formats._column_reader import ColumnReader
from e2edist.imaging.event_batch import TABLES, layer_of
from e2edist.imaging.lumi_mask import LumiMask, lumis_of
from e2edist.worker.run_chunk import TaskContext, prepare, run_chunk

_lumi = st.integers(0, 12)
_range = st.tuples(_lumi, _lumi).map(lambda pair: (min(pair), max(pair)))
_ranges = st.dictionaries(st.integers(1, 4), st.lists(_range, max_size=5), min_size=1)
_event = st.tuples(st.integers(0, 5), st.integers(0, 14))


def _lumis(ranges):
    return {(int(run), n) for run, some in ranges.items() for a, b in some for n in range(a, b + 1)}


@edges_only
@given(_ranges, st.lists(_event))
def test_an_event_is_in_the_mask_where_a_range_of_its_run_holds_its_lumi(ranges, events):
    run, lumi = np.array(events, np.uint32).reshape(-1, 2).T
    expected = [any(a <= b <= c for a, c in ranges.get(r, ())) for r, b in events]
    assert LumiMask.of(ranges).contains(run, lumi).tolist() == expected


@edges_only
@given(_ranges.filter(lambda some: any(some.values())), st.randoms())
def test_order_spacing_and_how_ranges_are_cut_do_not_change_the_canonical_text(ranges, random):
    lumis = _lumis(ranges)
    one_by_one = {}
    for run, n in random.sample(sorted(lumis), len(lumis)):
        one_by_one.setdefault(str(run), []).append([n, n])
    text = canonical_mask(json.dumps(ranges), "x")
    assert canonical_mask(json.dumps(one_by_one, indent=3), "x") == text
    assert canonical_mask(text, "x") == text
    assert _lumis(json.loads(text)) == lumis


@edges_only
@given(st.lists(_event, max_size=30))
def test_lumis_of_events_are_a_mask_of_these_events_and_no_others(events):
    run, lumi = np.array(events, np.uint32).reshape(-1, 2).T
    found = lumis_of(run, lumi)
    assert _lumis(found) == set(events)
    if events:
        assert json.loads(canonical_mask(json.dumps(found), "x")) == json.loads(json.dumps(found))


def test_the_largest_runs_and_lumis_are_kept_apart():
    top = 2**32 - 1
    mask = LumiMask.of({1: [(top, top)], 2: [(0, 0)], top: [(top, top)]})
    run, lumi = np.array([[1, top], [2, 0], [2, 1], [top, top], [top, 0], [0, 0]], np.uint32).T
    assert mask.contains(run, lumi).tolist() == [True, True, False, True, False, False]
    assert lumis_of(run[:2], lumi[:2]) == {"1": [(top, top)], "2": [(0, 0)]}


def test_a_million_events_are_looked_up_in_a_second():
    rng = np.random.default_rng(1)
    mask = LumiMask.of({r: [(a, a + 5) for a in range(1, 2000, 10)] for r in range(300000, 300100)})
    run = rng.integers(300000, 300100, 10**6).astype(np.uint32)
    lumi = rng.integers(1, 2000, 10**6).astype(np.uint32)
    began = time.perf_counter()
    found = mask.contains(run, lumi)
    assert time.perf_counter() - began < 1.0
    assert (found == ((lumi - 1) % 10 < 6)).all()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"1": [[1, 2]', "is no JSON: Expecting ',' delimiter in line 1, column 14"),
        ("<html>", "is no JSON: Expecting value in line 1, column 1"),
        ("[[1, 2]]", "is no lumi mask: it holds [[1, 2]] in place of runs"),
        ("{}", "names no luminosity block"),
        ('{"1": []}', "names no luminosity block"),
        ('{"1": [[1, 2]], "1": [[3, 4]]}', "names run 1 twice"),
        ('{"run1": [[1, 2]]}', '"run1" is no number of a run'),
        ('{"-1": [[1, 2]]}', '"-1" is no number of a run'),
        ('{"01": [[1, 2]]}', '"01" is no number of a run'),
        ('{"99999999999999": [[1, 2]]}', '"99999999999999" is no number of a run'),
        ('{"1": {"a": 2}}', 'run 1 has {"a": 2} in place of a list of ranges'),
        ('{"1": [1, 2]}', "run 1: 1 is no range [first, last]"),
        ('{"1": [[1, 2], [5, 3]]}', "run 1: [5, 3] is no range [first, last]"),
        ('{"1": [[1, 2, 3]]}', "run 1: [1, 2, 3] is no range"),
        ('{"1": [[1, 2.5]]}', "run 1: [1, 2.5] is no range"),
        ('{"1": [[true, 2]]}', "run 1: [true, 2] is no range"),
        ('{"1": [[-1, 2]]}', "run 1: [-1, 2] is no range"),
        ('{"1": [[1, 99999999999]]}', "run 1: [1, 99999999999] is no range"),
        ("[" * 100_000, "is no lumi mask: its lists are nested too deeply"),
    ],
)
def test_a_file_that_is_no_lumi_mask_is_refused_with_its_run_and_range(tmp_path, text, what):
    path = tmp_path / "golden.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(f"{path}: {what}")):
        read_lumi_mask(path)


def test_a_golden_json_is_read_with_a_byte_order_mark_and_windows_line_ends(tmp_path):
    path = tmp_path / "golden.json"
    path.write_bytes(b'\xef\xbb\xbf{"7":\r\n [[1, 2]]}')
    assert read_lumi_mask(path) == '{"7":[[1,2]]}'
    assert parse_mask('{"7":[[1,2]]}').contains(np.array([7, 7]), np.array([2, 3])).tolist() == [True, False]


# ---- chunks of real events


def _run(tagger, url, folder, lumi_mask="", events=0):
    """Run all chunks of a file; return receipts and rows."""
    plan = make_plan(tagger, [url], ReadOptions(lumi_mask=lumi_mask))
    plan = plan.with_chunks(events) if events else plan
    where = plan.fingerprint, str(folder), "cpu"
    prepare(str(folder), TaskContext(tagger, *where, EngineOptions(), lumi_mask=lumi_mask))
    return [run_chunk(str(folder), chunk) for chunk in plan.chunks()], rows_of(folder)


def _event_numbers(url):
    info = inspect(url)
    with open_events(info, {"EB": frozenset({"energy"})}) as reader:
        batch = reader.read(0, info.entries)
    return list(zip(batch.run.tolist(), batch.lumi.tolist(), strict=True))


@pytest.fixture(scope="module", params=["root/hits_given_a.root", "edm/given_1.root"])
def real(request, data, tmp_path_factory):
    """A tagger, a file of real events, run and lumi of its events, and its rows without a mask."""
    tagger, url = load_tagger("eg"), str(data / request.param)
    receipts, rows = _run(tagger, url, tmp_path_factory.mktemp("all"))
    assert all(receipt.events_in_mask is None for receipt in receipts)
    return tagger, url, _event_numbers(url), rows


@pytest.mark.parametrize("fraction", [0.5, 0.02, 1.0])
def test_rows_under_a_mask_are_those_of_the_unmasked_campaign_in_its_lumis(real, tmp_path, fraction):
    tagger, url, numbers, rows = real
    lumis = sorted(set(numbers))
    chosen = {one for i, one in enumerate(lumis) if i * fraction // 1 != (i - 1) * fraction // 1}
    mask = canonical_mask(json.dumps(_as_mask(chosen)), "x")
    receipts, found = _run(tagger, url, tmp_path, mask)
    assert 0 < len(chosen) <= len(lumis)
    assert repr(found) == repr([row for row in rows if (row["run"], row["lumi"]) in chosen])
    passing = sum(one in chosen for one in numbers)
    assert sum(receipt.events for receipt in receipts) == len(numbers)
    assert sum(receipt.events_in_mask for receipt in receipts) == passing
    assert set().union(*(_lumis(receipt.lumis) for receipt in receipts)) == chosen & set(numbers)


def test_rows_under_a_mask_do_not_depend_on_where_chunks_end(real, tmp_path):
    tagger, url, numbers, rows = real
    middle = sorted(numbers)[len(numbers) // 3 :]
    mask = canonical_mask(json.dumps(_as_mask(set(middle))), "x")
    clusters = _run(tagger, url, tmp_path / "clusters", mask)[1]
    assert repr(_run(tagger, url, tmp_path / "whole", mask, events=10**6)[1]) == repr(clusters)
    assert 0 < len(clusters) < len(rows)


def test_a_chunk_outside_of_the_mask_reads_no_hits(real, monkeypatch):
    tagger, url, *_ = real
    asked = []
    plain = ColumnReader.read

    def read(self, where, start, stop, branches=()):
        if stop > start:
            asked.extend(branch.name for branch in branches or self._branches)
        return plain(self, where, start, stop, branches)

    monkeypatch.setattr(ColumnReader, "read", read)
    with open_events(inspect(url), tagger.columns(), tagger.objects.collections) as reader:
        batch = reader.read(3, 40, LumiMask.of({1: [(1, 1)]}))
    assert set(asked) <= {"run", "luminosityBlock", "event", "EventAuxiliary"}
    assert (batch.start, batch.stop, batch.events_in_mask, batch.lumis()) == (3, 40, 0, {})
    wanted = {name: columns for name, columns in tagger.columns().items() if not layer_of(name)}
    assert batch.tables.keys() == wanted.keys()
    for name, columns in wanted.items():
        table = batch[name]
        assert table.rows == 0
        assert len(table.offsets) == 38
        assert columns <= table.columns.keys()
        assert all(values.dtype == TABLES[name][column] for column, values in table.columns.items())


def _as_mask(lumis):
    found = {}
    for run, lumi in sorted(lumis):
        found.setdefault(str(run), []).append([lumi, lumi])
    return found


# ---- files to which no mask can be applied


def test_files_without_run_and_lumi_are_refused_at_planning(small, tmp_path):
    tagger, path = small[0], tmp_path / "a.root"
    write(path, random_content(20, HITS), HITS, tree="Events", numbers={"event": "u8"})
    make_plan(tagger, [str(path)])
    what = r"a\.root:Events: has no readable run and luminosity block for the lumi mask \(run: no branch run;"
    with pytest.raises(InputError, match=what):
        make_plan(tagger, [str(path)], ReadOptions(lumi_mask='{"1":[[1,1]]}'))


def test_a_run_of_minus_one_is_no_run(tmp_path):
    path = tmp_path / "a.root"
    numbers = {"run": "i4", "luminosityBlock": "i4", "event": "u8"}
    write(path, random_content(20, HITS), HITS, tree="Events", numbers=numbers)
    with open_events(str(path), {"EB": frozenset({"energy"})}) as reader:
        reader.require_lumis()
        batch = reader.read(0, 20, LumiMask.of({5: [(5, 5)], 9: [(1, 9)]}))
    assert batch.in_mask.nonzero()[0].tolist() == [4, 8]


def test_a_file_without_events_bears_a_mask(small, tmp_path):
    path = write_hits(tmp_path / "a.root", 0, 10)
    plan = make_plan(small[0], [str(path)], ReadOptions(lumi_mask='{"1":[[1,1]]}'))
    assert [chunk.events for chunk in plan.chunks()] == [0]
