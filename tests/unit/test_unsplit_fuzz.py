"""Damaged records of unsplit products are decoded or refused with an EntriesError, and cost no memory."""

import resource
from collections import Counter
from contextlib import suppress

import numpy as np
import pytest
import uproot
from edm_forms import FOLDER, SMALL

from e2edist.errors import EntriesError
from e2edist.formats._branch_map import JaggedColumn
from e2edist.formats._check_branch import raw_bytes
from e2edist.formats._streamer_layout import UnreadableError
from e2edist.formats._unsplit import Records

#: What counts are made to say: nothing, all, half, and byte counts of such sizes.
COUNTS = (0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x40000000, 0x40FFFFFF, 0x7FFFFFFE, 0x40000002)
#: Enough of each branch's numbers; all of them are found in the same pass.
PATHS = 6


def unsplit_branches(path):
    """Yield (records, their bytes, paths) of each branch of a file that is not split."""
    tree = uproot.open(path)["Events"]
    wanted = ("recoTracks", "recoPhotons", "recoGsf", "recoPFJets", "patPhotons", "patElectrons", "patJets")
    for top in tree.branches:
        if not top.name.startswith(("EventAuxiliary", "Ecal", "HBHE", *wanted)):
            continue
        for branch in (top, *top.itervalues(recursive=True)):
            if len(branch.branches) == 0 and branch.member("fEntryOffsetLen") and branch.num_baskets:
                try:
                    records = Records(branch)
                except UnreadableError:
                    continue
                array = branch.array(raw_bytes(), library="ak", array_cache=None)
                names = [name for name in records.paths if name.startswith(("obj", "id_."))][:PATHS]
                for record in array:
                    if names and len(record) > 4:
                        yield records, np.asarray(record, "u1"), names


def mutated(record, random):
    """Return a record with one to three faults of all kinds."""
    for _ in range(random.integers(1, 4)):
        size, at = len(record), int(random.integers(len(record)))
        record = record.copy()
        match random.integers(7):
            case 0 | 1:
                record[at] ^= 1 << random.integers(8)
            case 2:
                record[at] = random.integers(256)
            case 3:
                count = np.array([random.choice(COUNTS)], ">u4").view("u1")
                record[at : at + 4] = count[: size - at]
            case 4:
                record = record[: max(at, 1)]
            case 5:
                record = np.insert(record, at, random.integers(0, 256, random.integers(1, 9)).astype("u1"))
            case 6 if size > 8:
                record = np.delete(record, slice(at, at + int(random.integers(1, 5))))
                record = record if len(record) else np.zeros(1, "u1")
    return record


def decode(records, record, names):
    offsets = np.array([0, len(record)], np.int64)
    return records.decode(JaggedColumn(offsets, record), names)


def attacked(files, tries):
    """Return how many of the damaged records of some files were refused, and how many taken."""
    sources = [one for file in files for one in list(unsplit_branches(file))[:400]]
    for records, record, names in sources[::7]:
        decode(records, record, names)  # what is whole is taken
    random, outcomes = np.random.default_rng(15), Counter()
    for _ in range(tries):
        records, record, names = sources[random.integers(len(sources))]
        damaged = mutated(record, random)
        try:
            found = decode(records, damaged, names)
        except EntriesError as error:
            outcomes["refused"] += "record 0 of the range" in error.what and "\n" not in error.what
        else:
            outcomes["taken"] += all(len(column.data) <= len(damaged) for column in found.values())
    return outcomes


def memory():
    """Return the KiB that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def check(outcomes, tries, before):
    assert outcomes.total() == tries
    assert outcomes["refused"] > tries / 3
    assert outcomes["taken"] > tries / 5  # numbers may be damaged, which nothing can tell
    assert memory() - before < 200 * 1024


def test_damaged_records_are_decoded_or_refused():
    before = memory()
    check(attacked([FOLDER / f"{form}.root" for form in SMALL], 1000), 1000, before)


@pytest.mark.slow
def test_ten_thousand_damaged_records_genuine_ones_among_them_are_decoded_or_refused(data):
    files = [FOLDER / f"{form}.root" for form in SMALL]
    files += [data / "cms" / "aod_2010_data.root", data / "edm" / "given_unsplit.root"]
    before = memory()
    check(attacked(files, 10_000), 10_000, before)


@pytest.mark.parametrize("count", COUNTS)
def test_a_count_that_lies_is_no_reason_to_take_memory(count):
    before = memory()
    records, record, names = next(unsplit_branches(FOLDER / "object_wise.root"))
    for at in range(len(record) - 4):
        damaged = record.copy()
        damaged[at : at + 4] = np.array([count], ">u4").view("u1")
        with suppress(EntriesError):
            decode(records, damaged, names)
    assert memory() - before < 200 * 1024
