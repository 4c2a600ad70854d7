"""The StreamerInfo record: as uproot reads it, and damaged."""

import struct
from pathlib import Path
from types import SimpleNamespace

import pytest
import uproot
from handmade import fast
from hypothesis import given
from hypothesis import strategies as st
from streamed import streamed, string

from e2edist.formats._streamer_layout import Classes, UnreadableError
from e2edist.formats._streamer_record import DamagedRecordError, StreamerRecord, read_infos

COMMITTED = sorted((Path(__file__).parents[1] / "edm").glob("*.root"))
OBJECT = struct.pack(">hII", 1, 0, 0)
NEW, FLAG, KEY_BYTES = b"\xff\xff\xff\xff", 0x40000000, 64


def described_by(path):
    """Return what uproot and we read, in the same words: name, version, checksum -> elements."""
    with uproot.open(path) as directory:
        file = directory.file
        ours = {
            (info.name, info.version, info.checksum): [
                (one.kind, one.name, one.title, one.type % 20 if one.type < 40 else one.type, one.base)
                for one in info.elements()
            ]
            for info in read_infos(file)
        }
        theirs = {
            (info.member("fName"), info.class_version, info.member("fCheckSum") & 0xFFFFFFFF): [
                (type(one).__name__.removeprefix("Model_"), *_of_uproot(one)) for one in info.elements
            ]
            for versions in file.streamers.values()
            for info in versions.values()
        }
    return ours, theirs


def _of_uproot(one):
    kind, base = one.member("fType"), (-1, 0)
    if one.has_member("fBaseVersion"):
        base = (one.member("fBaseVersion"), int(one.member("fMaxIndex")[1]) & 0xFFFFFFFF)
    return one.member("fName"), one.member("fTitle"), kind % 20 if kind < 40 else kind, base


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_classes_are_those_that_uproot_reads(path):
    ours, theirs = described_by(path)
    assert len(ours) > 20
    assert ours == theirs


def test_classes_of_real_files_are_those_that_uproot_reads(data):
    for path in sorted((data / "cms").glob("*.root")):
        ours, theirs = described_by(path)
        assert ours == theirs, path.name


def test_a_base_class_has_the_checksum_of_its_own_description(data):
    with uproot.open(data / "cms/aod_2010_data.root") as directory:
        classes = Classes(read_infos(directory.file))
    base = classes.versions("reco::LeafCandidate")[0].elements[0]
    assert base.form == "base"
    assert classes.version(base.type, *base.base).checksum == base.base[1] == 783896264


def any_object(kind, content, tag=NEW):
    body = (NEW + kind + b"\0" if tag == NEW else tag) + content
    return struct.pack(">I", FLAG | len(body)) + body


def named(name, title=b""):
    return streamed(1, OBJECT, string(name), string(title))


def element(name=b"n", kind=b"TStreamerBasicType", version=4, type_=3):
    indices = bytes(20) if version > 1 else struct.pack(">i", 0)
    inside = streamed(version, named(name), struct.pack(">4i", type_, 4, 0, 0), indices, string(b"int"))
    return any_object(kind, streamed(2, inside))


def record(*elements, name=b"A", version=5, listed=1):
    array = streamed(3, OBJECT, string(b""), struct.pack(">ii", len(elements), 0), *elements)
    info = streamed(9, named(name), struct.pack(">Ii", 7, 2), any_object(b"TObjArray", array))
    head = OBJECT + (string(b"") if version > 3 else b"")
    return streamed(version, head, struct.pack(">i", listed), any_object(b"TStreamerInfo", info), b"\0")


def classes_in(data):
    return Classes(StreamerRecord(data, KEY_BYTES).infos())


@pytest.mark.parametrize("made", [record(element()), record(element(version=1), version=3)])
def test_a_record_made_by_hand_is_read_in_old_versions_too(made):
    (info,) = classes_in(made).versions("A")
    assert (info.version, info.checksum) == (2, 7)
    assert [(one.name, one.form, one.dtype) for one in info.elements] == [("n", "number", "i4")]


def test_a_class_that_was_named_before_is_found_there():
    first = record(element()).index(NEW + b"TStreamerBasicType\0")
    tag = struct.pack(">I", first + 2 + KEY_BYTES | 1 << 31)
    inside = element(name=b"m").partition(b"TStreamerBasicType\0")[2]
    made = record(element(), any_object(b"", inside, tag))
    assert [one.name for one in classes_in(made).versions("A")[0].elements] == ["n", "m"]


@pytest.mark.parametrize(
    "made",
    [
        b"",
        b"abc",
        bytes(200),
        record(element())[:-1],
        record(element(), listed=2),
        record(element()).replace(b"TObjArray", b"TObjArrby"),
        record(element()).replace(NEW + b"TObj", b"\x80\0\0\x07TObj"),
    ],
)
def test_what_is_no_such_record_is_refused(made):
    with pytest.raises((DamagedRecordError, UnreadableError)):
        classes_in(made).versions("A")


@given(st.integers(0, len(record(element())) - 1), st.integers(0, 255))
@fast
def test_damage_is_refused_or_leaves_a_description(place, value):
    made = bytearray(record(element()))
    made[place] = value
    try:
        classes_in(bytes(made)).versions("A")
    except (DamagedRecordError, UnreadableError):
        return


@pytest.mark.parametrize(("place", "size"), [(100, 1 << 30), (10**6, 100)])
def test_a_header_that_lies_about_the_record_is_refused_before_anything_is_read(place, size):
    file = SimpleNamespace(fSeekInfo=place, fNbytesInfo=size, fEND=1 << 31 if size > 100 else 10**6)
    with pytest.raises(DamagedRecordError, match="larger than such a record"):
        read_infos(file)


def test_a_damaged_record_of_a_file_is_refused_with_its_reason(tmp_path):
    content = bytearray(COMMITTED[0].read_bytes())
    with uproot.open(COMMITTED[0]) as directory:
        begin, size = directory.file.fSeekInfo, directory.file.fNbytesInfo
    for place, value, why in ((6, b"\x7f", "absurd sizes"), (size // 2, b"\0" * 40, "can't be decompressed")):
        spoilt = content.copy()
        spoilt[begin + place : begin + place + len(value)] = value
        path = tmp_path / "a.root"
        path.write_bytes(spoilt)
        with uproot.open(path) as directory, pytest.raises(DamagedRecordError, match=why):
            read_infos(directory.file)
