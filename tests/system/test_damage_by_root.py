"""Damaged records of unsplit products: what is taken here has the numbers that real ROOT reads."""

from collections import Counter

import numpy as np
import pytest
import uproot
from edm_forms import compiler, made, write
from root_values import NEW, NUMBERS, OLD, differences, product_of, read, root_reads

from e2edist.errors import EntriesError

pytestmark = pytest.mark.slow
#: Damaged files of each form.
FILES = 50
#: Form -> kinematics of its candidates.
FORMS = {
    "object_wise": NEW,
    "member_wise": NEW,
    "mini_member_wise": NEW,
    "old_mini_object_wise": OLD,
    "run1_object_wise": OLD,
    "run1_member_wise": OLD,
}
_FLAG = 0x40  # of a byte count, in its first byte


def test_root_reads_no_other_numbers_in_damaged_records(tmp_path):
    python, random, outcomes = compiler(), np.random.default_rng(15), Counter()
    for form, sound in write(python, made(), tmp_path, *FORMS, compression=0).items():
        places = places_of(sound, FORMS[form])
        cases = [with_fault(sound, tmp_path / f"{form}_{i}.root", places, random) for i in range(FILES)]
        questions = [
            (path, [*NUMBERS.values(), *(asked for one in products for asked in one.asked.values())])
            for path, products in cases
        ]
        for case, answer in zip(cases, root_reads(python, questions, sound), strict=True):
            root = "crashes" if answer["values"] is None else "complains" if answer["errors"] else "reads"
            outcomes[outcome(*case, answer["values"]), root] += 1
    assert not any(ours == "differs" for ours, _ in outcomes)
    assert outcomes["same", "reads"] > FILES
    assert sum(count for (ours, _), count in outcomes.items() if ours == "refused") > FILES


def outcome(path, products, values):
    """Return what comes of a damaged file here, against what ROOT finds, even if it complains."""
    try:
        batch = read(path, products)
    except EntriesError:
        return "refused"
    if batch.run is None and not products:  # event numbers, which are left out where they can't be read
        return "refused"
    if values is None:
        return "taken"
    differing, _ = differences(batch, products, values)
    return "differs" if differing else "same"


def places_of(sound, kinematics):
    """Return (products, first byte of its records, behind the last) of each branch of a file.

    EventAuxiliary has no products.
    """
    places = []
    with uproot.open(sound) as file:
        for branch in file["Events"].branches:
            product = product_of(branch.name, kinematics)
            if product or branch.name == "EventAuxiliary":
                key = branch.basket_key(0)
                assert key.data_compressed_bytes == key.data_uncompressed_bytes
                begin = key.data_cursor.index
                places.append(([product] if product else [], begin, begin + branch.basket(0).border))
    return places


def with_fault(sound, path, places, random):
    """Write a file, which is not compressed, with a fault in a record; return it, and the products there."""
    content = bytearray(sound.read_bytes())
    products, begin, end = places[random.integers(len(places))]
    record = np.frombuffer(content, "u1")[begin:end]
    at = random.integers(len(record) - 1)
    if random.integers(2):  # near a byte count: itself, a version, or a number of rows
        at = min(random.choice(np.flatnonzero(record == _FLAG)) + random.integers(10), len(record) - 2)
    match random.integers(3):
        case 0:
            record[at] ^= 1 << random.integers(8)
        case 1:
            record[at] = random.integers(256)
        case 2:
            record[at : at + 2] = random.integers(0, 256, 2)
    path.write_bytes(content)
    return path, products
