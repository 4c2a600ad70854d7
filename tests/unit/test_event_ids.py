"""Run, luminosity block and event of CMS event data: as real ROOT reads them, or none."""

import numpy as np
import pytest
from streamed import Source, described, entries, numbers, streamed, string

from e2edist import formats
from e2edist.errors import EntriesError
from e2edist.formats._event_ids import event_ids_of
from e2edist.formats._streamer_layout import ClassInfo, Element
from e2edist.formats._unsplit import Records

NONE = {"run": None, "lumi": None, "event": None}
PATHS = {"run": "id_.run_", "lumi": "id_.luminosityBlock_", "event": "id_.event_"}
HITS = {"EB": frozenset({"detid", "energy"})}
#: What real ROOT says of the first and the last event of each file.
ROOT_SAYS = {
    "cms/aod_2010_data.root": ((146511, 182, 138867139), (146511, 182, 138873827)),
    "cms/mini_72x_mc.root": ((1, 33981, 198001), (1, 33981, 198010)),
    "cms/mini_74x_data.root": ((251643, 149, 160945885),) * 2,
}


def number(name, dtype):
    return Element(name, dtype, "number", 0, dtype)


def event_id(event, version, checksum):
    parts = [number("run_", "u4"), number("luminosityBlock_", "u4"), number("event_", event)]
    return ClassInfo("edm::EventID", version, checksum, tuple(parts))


def records(*ids):
    """Return what decodes EventAuxiliary, reduced to what lies around the numbers in it."""
    aux = [
        Element("processHistoryID_", "edm::Hash<2>", "object"),
        Element("id_", "edm::EventID", "object"),
        Element("processGUID_", "string", "counted"),
        number("isRealData_", "u1"),
    ]
    classes = described(**{"edm::EventAuxiliary": aux, "edm::EventID": list(ids)})
    return Records(Source("edm::EventAuxiliary", name="EventAuxiliary"), classes)


def record(*values, event="u8", version=12, checksum=None, guid=b"x" * 36):
    made = numbers("u4", *values[:2]) + numbers(event, values[2])
    history = streamed(11, streamed(9, string(b"h" * 16)))
    return history + streamed(version, made, checksum=checksum) + streamed(9, string(guid)) + b"\1"


NEW = event_id("u8", 12, 0x5984A80D)
OLD = event_id("u4", 1, 0x71745ABB)


@pytest.mark.parametrize("file", ROOT_SAYS)
def test_files_of_cmssw_give_what_root_says(data, file):
    with formats.open_events(str(data / file), HITS) as reader:
        batch = reader.read(0, reader.info.entries)
    found = [(batch.run[i], batch.lumi[i], batch.event[i]) for i in (0, -1)]
    assert found == list(ROOT_SAYS[file])
    assert not any(note.startswith("run") for note in batch.notes)


def test_numbers_come_from_records_of_any_length():
    given = entries(record(1, 2, 3), record(7, 8, 2**63 + 9, guid=b"y" * 300))
    found = event_ids_of(given, records(NEW), PATHS)
    assert found["run"].tolist() == [1, 7]
    assert found["lumi"].tolist() == [2, 8]
    assert found["event"].tolist() == [3, 2**63 + 9]
    assert [found[key].dtype for key in found] == [np.uint32, np.uint32, np.uint64]


def test_a_checksum_is_no_run_and_32_bits_are_an_event():
    old = record(146511, 182, 138867139, event="u4", version=0, checksum=OLD.checksum)
    found = event_ids_of(entries(record(1, 2, 3), old), records(NEW, OLD), PATHS)
    assert [found[key].tolist() for key in found] == [[1, 146511], [2, 182], [3, 138867139]]


def test_a_short_event_id_of_a_version_of_its_own_is_read():
    found = event_ids_of(
        entries(record(1, 2, 3, event="u4", version=10)), records(event_id("u4", 10, 5)), PATHS
    )
    assert [found[key].tolist() for key in found] == [[1], [2], [3]]


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"abc",
        bytes(109),
        b"\xff" * 109,
        record(1, 2, 3)[:-1],
        record(1, 2, 3) + b"\0",
        record(1, 2, 3, event="u4"),
        record(1, 2, 3, version=11),
        record(1, 2, 3, version=0, checksum=OLD.checksum),
        record(1, 2, 3, event="u4", version=0, checksum=7),
        record(1, 2, 3, event="u4", version=0),
    ],
)
def test_records_that_are_not_what_the_file_says_fail_alone_or_leave_no_numbers(bad):
    good = record(1, 2, 3)
    assert event_ids_of(entries(bad, bad), records(NEW, OLD), PATHS) == NONE
    with pytest.raises(
        EntriesError, match="3 of 5 records are bad, the first is record 1 of the range"
    ) as caught:
        event_ids_of(entries(good, bad, bad, good, bad), records(NEW, OLD), PATHS)
    assert caught.value.ranges == ((1, 3), (4, 5))
    assert caught.value.what.startswith("EventAuxiliary: ")


def test_no_events_have_no_numbers():
    found = event_ids_of(entries(), records(NEW), PATHS)
    assert [len(found[key]) for key in found] == [0, 0, 0]
