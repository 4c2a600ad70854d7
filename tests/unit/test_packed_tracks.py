"""Packed candidates of MiniAOD as tracks: every bit as the formulas of CMSSW give it."""

from pathlib import Path

import numpy as np
import pytest
from packed_oracle import SIGNED_CHARGES, candidates, half, pack, pack_half, track

from e2edist.errors import BranchError, EntriesError
from e2edist.formats import open_events
from e2edist.formats._packed_tracks import OPTIONAL, PACKED_NAMES, Vertices, charged, packed_column
from e2edist.formats.api import JaggedColumn

COLUMNS = ("pt", "eta", "phi", "d0", "dz", "quality")


def columns_of(rows, names):
    types = dict.fromkeys(PACKED_NAMES, "u2") | {"pdg": "i4", "key": "u4"}
    offsets = np.cumsum([0, *map(len, rows)])
    flat = [one for event in rows for one in event]
    return {n: JaggedColumn(offsets, np.array([one[n] for one in flat], types[n])) for n in names}


def vertices_of(positions):
    offsets = np.cumsum([0, *map(len, positions)])
    flat = np.array([one for event in positions for one in event], "f4").reshape(-1, 3)
    return Vertices(*(JaggedColumn(offsets, flat[:, i]) for i in range(3)))


def unpacked(lists, vertices):
    kept = charged(lists)
    with np.errstate(all="ignore"):
        return kept["pdg"].offsets, {c: packed_column(c, kept, vertices).astype("f4") for c in COLUMNS}


@pytest.mark.parametrize("old", [False, True])
def test_every_bit_of_a_track_is_that_of_the_slow_words(old):
    rows, positions = candidates(1)
    names = PACKED_NAMES.keys() - (OPTIONAL if old else ())
    offsets, found = unpacked(columns_of(rows, names), vertices_of(positions))
    wanted = [
        [track({n: one[n] for n in names}, vertices) for one in event if one["pdg"] in SIGNED_CHARGES]
        for event, vertices in zip(rows, positions, strict=True)
    ]
    assert offsets.tolist() == np.cumsum([0, *map(len, wanted)]).tolist()
    assert offsets[-1] > 500
    for column in COLUMNS:
        expected = np.array([one[column] for event in wanted for one in event], "f4")
        assert found[column].tobytes() == expected.tobytes(), column


def test_all_half_floats_are_unpacked_as_they_are_defined():
    every = np.arange(65536, dtype="u2")
    lists = {"pt": JaggedColumn(np.array([0, 65536]), every)}
    with np.errstate(all="ignore"):
        found = packed_column("pt", lists, None).astype("f4")
    np.testing.assert_array_equal(found, np.array([half(int(one)) for one in every], "f4"))


def test_what_was_packed_comes_back_within_its_precision():
    packed = {"pt": pack_half(12.34), "eta": pack(-1.234, 6.0), "phi": pack(2.345, 3.2), "dphi": 0}
    lists = {n: JaggedColumn(np.array([0, 1]), np.array([v], "u2")) for n, v in packed.items()}
    found = {c: float(packed_column(c, lists, None)[0]) for c in ("pt", "eta", "phi")}
    assert found["pt"] == pytest.approx(12.34, rel=1 / 1024)
    assert found["eta"] == pytest.approx(-1.234, abs=6 / 32767)
    assert found["phi"] == pytest.approx(2.345, abs=3.2 / 32767)


def test_events_without_candidates_or_vertices_are_empty():
    lists = columns_of([[], []], PACKED_NAMES)
    offsets, found = unpacked(lists, vertices_of([[], []]))
    assert offsets.tolist() == [0, 0, 0]
    assert all(values.size == 0 for values in found.values())


def test_a_vertex_that_is_not_there_is_an_error():
    rows, positions = candidates(2, events=3)
    rows[0][0] |= {"pdg": 211, "key": len(positions[0])}
    with pytest.raises(EntriesError, match="vertices that their event does not have"):
        unpacked(columns_of(rows, PACKED_NAMES), vertices_of(positions))


def test_branches_that_disagree_are_an_error():
    lists = columns_of(candidates(3)[0], PACKED_NAMES)
    lists["pt"] = JaggedColumn(lists["pt"].offsets + 1, lists["pt"].data)
    with pytest.raises(EntriesError, match="different numbers of rows"):
        charged(lists)


#: Made by real ROOT of ``candidates(5, events=3)`` (edm/write_packed.py), half of an event in either product.
#: As CMSSW writes them, lost tracks are not split. The old one has class version 15, that of CMSSW 7_2.
EDM = Path(__file__).parents[1] / "edm"
BOTH = "packedPFCandidates+lostTracks"


def tracks_of(labels, columns=COLUMNS, file="packed"):
    path = str(EDM / f"{file}.root")
    with open_events(path, {"tracks": frozenset(columns)}, {"tracks": labels}) as reader:
        return reader.read(0, reader.info.entries)


@pytest.mark.parametrize("file", ["packed", "old_packed"])
def test_both_products_of_a_file_are_read_where_a_tagger_names_them(file):
    rows, positions = candidates(5, events=3)
    names = PACKED_NAMES.keys() - (OPTIONAL if file == "old_packed" else ())
    batch = tracks_of(("generalTracks", BOTH, "Track"), file=file)
    wanted = [
        [track({n: one[n] for n in names}, vertices) for one in event if one["pdg"] in SIGNED_CHARGES]
        for event, vertices in zip(rows, positions, strict=True)
    ]
    assert batch["tracks"].counts().tolist() == [len(event) for event in wanted]
    for column in COLUMNS:
        assert batch["tracks"][column].tolist() == [one[column] for event in wanted for one in event], column
    assert "tracks: made of packed candidates, with 16 bits a number" in batch.notes
    alone = tracks_of(("packedPFCandidates",), ("pt",), file)["tracks"]
    assert 0 < alone.rows < batch["tracks"].rows
    assert tracks_of((BOTH,), (), file)["tracks"].rows == batch["tracks"].rows


def test_packed_candidates_are_taken_by_no_tagger_that_does_not_name_them():
    with pytest.raises(
        BranchError, match=r"none has a label of generalTracks \(there are packedPF"
    ) as caught:
        tracks_of(("generalTracks",))
    assert f'tracks = ["{BOTH}"]' in caught.value.todo
    with pytest.raises(BranchError, match=r"there is no eleTracks, which packedPFCandidates\+eleTracks asks"):
        tracks_of(("packedPFCandidates+eleTracks",))
