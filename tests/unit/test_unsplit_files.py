"""Unsplit products in files: against their split form and real ROOT, damaged, and refused with what helps."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from streamed import without_streamers

from e2edist import formats
from e2edist.errors import EntriesError, UnsplitError
from e2edist.formats import _unsplit
from e2edist.formats._branch_map import JaggedColumn
from e2edist.formats._column_reader import ColumnReader
from e2edist.formats._streamer_layout import UnreadableError
from e2edist.formats._unsplit import Records
from e2edist.imaging.event_batch import OBJECT_KINDS

FORMS_OF_ROOT = Path(__file__).parents[1] / "edm"
HITS = frozenset({"detid", "energy", "time"})
P4 = frozenset({"pt", "eta", "phi"})
ALL = {
    "EB": HITS,
    "EE": HITS,
    "HBHE": HITS - {"time"},
    "tracks": P4 | {"d0", "dz", "quality"},
    **dict.fromkeys(OBJECT_KINDS, P4),
}


def test_real_events_are_the_same_whether_split_or_not(data):
    found = []
    for name in ("given_1", "given_unsplit"):
        with formats.open_events(str(data / f"edm/{name}.root"), ALL) as reader:
            found.append(reader.read(0, 50))
    split, unsplit = found
    for table, columns in ALL.items():
        np.testing.assert_array_equal(split.tables[table].offsets, unsplit.tables[table].offsets)
        for column in columns:
            np.testing.assert_array_equal(split.tables[table][column], unsplit.tables[table][column])
    for key in ("run", "lumi", "event"):
        np.testing.assert_array_equal(getattr(split, key), getattr(unsplit, key))
    assert split.tables["tracks"].rows == 5282
    assert split.notes == unsplit.notes
    assert [note.partition(":")[0] for note in unsplit.notes] == ["HBHE"]  # which of them AOD has


def test_the_snippet_for_cmssw_runs_and_matches_the_products_as_an_output_module_does(data, tmp_path):
    file = without_streamers(data / "edm/given_unsplit.root", tmp_path / "a.root")
    with pytest.raises(UnsplitError) as caught:
        formats.open_events(str(file), {"EB": HITS, "photon": P4})
    snippet = caught.value.todo.split("\n\n")[1]
    assert max(map(len, snippet.splitlines())) < 80
    given = SimpleNamespace(bool=bool, string=str, int32=int, PSet=SimpleNamespace, VPSet=lambda *all_: all_)
    out = SimpleNamespace()
    exec(snippet, {"cms": SimpleNamespace(untracked=given), "process": SimpleNamespace(out=out)})
    assert out.overrideInputFileSplitLevels is True
    for one, name in zip(out.overrideBranchesSplitLevel, caught.value.faults, strict=True):
        product = re.search(r"product (\S+\.):", name)[1]
        # What PoolOutputModule makes of it.
        assert re.fullmatch(one.branch.replace("*", ".*"), product)
        assert one.splitLevel == 99


@pytest.mark.parametrize(
    "branch", ["EventAuxiliary", "EcalRecHitsSorted_reducedEcalRecHitsEB__RECO."], ids=["numbers", "hits"]
)
def test_a_damaged_record_costs_its_own_entry_alone(branch, monkeypatch):
    bad, original = 1, ColumnReader.read

    def read(self, where, start, stop, branches=()):
        lists = original(self, where, start, stop, branches)
        if start <= bad < stop:
            values = lists[branch].data.copy()
            values[lists[branch].offsets[bad - start]] ^= 0x40  # the first byte count has no flag
            lists[branch] = JaggedColumn(lists[branch].offsets, values)
        return lists

    monkeypatch.setattr(ColumnReader, "read", read)
    with formats.open_events(str(FORMS_OF_ROOT / "object_wise.root"), {"EB": HITS}) as reader:
        with pytest.raises(EntriesError, match=r"entries 0-3: .*record 1 of the range") as caught:
            reader.read(0, 3)
        assert caught.value.ranges == ((bad, bad + 1),)
        assert not caught.value.retryable
        for start, stop in ((0, bad), (bad + 1, 3)):
            assert len(reader.read(start, stop).event) == stop - start


def test_what_nobody_asks_for_may_be_unreadable(monkeypatch):
    class Some(Records):
        def __init__(self, source, classes=None):
            if "pvRef_" in source.name:
                raise UnreadableError("a reason")
            super().__init__(source, classes)

    monkeypatch.setattr(_unsplit, "Records", Some)
    file, labels = str(FORMS_OF_ROOT / "old_packed.root"), {"tracks": ("packedPFCandidates",)}
    with formats.open_events(file, {"tracks": frozenset({"pt"})}, labels) as reader:
        assert reader.read(0, 3)["tracks"].rows
    with pytest.raises(UnsplitError, match=r"patPackedCandidates_packedPFCandidates__PAT\.: a reason"):
        formats.open_events(file, {"tracks": frozenset({"d0"})}, labels)


#: Table of the file of 2010 -> hits per event, and sums of their energies in GeV as real ROOT reads them.
AOD_2010 = {
    "EB": ((27, 0), (3.48873, 0)),
    "EE": ((126, 42), (87.40889, 36.61760)),
    "HBHE": ((6, 5), (6.12882, 6.73655)),
}


def test_hits_of_2010_written_by_members_are_what_root_reads(data):
    with formats.open_events(str(data / "cms/aod_2010_data.root"), ALL) as reader:
        batch = reader.read(0, 2)
        assert reader.branches["EB"] == ("EcalRecHitsSorted_reducedEcalRecHitsEB__RECO.obj",)
    for name, (counts, sums) in AOD_2010.items():
        table = batch.tables[name]
        assert tuple(table.counts()) == counts
        found = np.bincount(table.events(), table["energy"].astype("f8"), minlength=2)
        np.testing.assert_allclose(found, sums, atol=2e-5)
        assert set(table["detid"] >> 28) == {4 if name == "HBHE" else 3}
