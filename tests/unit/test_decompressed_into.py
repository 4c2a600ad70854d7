"""Baskets of unsplit records are decompressed into one array: the same bytes, and the same refusals."""

import numpy as np
import pytest
import uproot

from e2edist.formats._compressed import DamagedBytesError, decompressed, decompressed_into

CONTENT = np.arange(5000).astype("u1")
CODECS = {"ZSTD": uproot.ZSTD(3), "ZLIB": uproot.ZLIB(3), "LZ4": uproot.LZ4(3), "LZMA": uproot.LZMA(3)}


def body(codec):
    return np.frombuffer(uproot.compression.compress(CONTENT.tobytes(), CODECS[codec]), "u1")


BODIES = {codec: body(codec) for codec in CODECS}
BODIES |= {"two blocks": np.concatenate([body("ZSTD"), body("ZSTD")]), "as it is": CONTENT}


@pytest.mark.parametrize("kind", BODIES)
def test_what_is_decompressed_into_an_array_is_what_is_decompressed_elsewhere(kind):
    expected = np.tile(CONTENT, 2 if kind == "two blocks" else 1)
    room = np.zeros(len(expected) + 7, "u1")
    found = decompressed_into(room, BODIES[kind], len(expected))
    assert np.shares_memory(found, room)
    assert np.array_equal(found, expected)
    assert np.array_equal(decompressed(BODIES[kind], len(expected)), expected)
    assert not room[len(expected) :].any()


@pytest.mark.parametrize("at", range(20))
def test_damaged_blocks_are_refused_in_both_ways(at):
    spoilt = body("ZSTD").copy()
    spoilt[at] ^= 0x10
    outcomes = []
    for read in (decompressed, lambda *given: decompressed_into(np.zeros(5000, "u1"), *given)):
        try:
            outcomes.append(read(spoilt, 5000).tobytes())
        except Exception as error:  # of libraries, which have no common class
            outcomes.append(isinstance(error, DamagedBytesError))
    assert outcomes[0] == outcomes[1]


def test_more_bytes_than_there_is_room_for_are_refused():
    with pytest.raises(DamagedBytesError):
        decompressed_into(np.zeros(4000, "u1"), body("ZSTD"), 4000)
