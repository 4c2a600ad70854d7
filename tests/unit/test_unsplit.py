"""Unsplit products: every structure made by hand, and damage."""

import numpy as np
import pytest
from handmade import fast
from hypothesis import example, given
from hypothesis import strategies as st
from streamed import (
    FLAG,
    Source,
    by_members,
    by_objects,
    described,
    entries,
    numbers,
    streamed,
    string,
)

from e2edist.errors import EntriesError
from e2edist.formats._streamer_layout import ClassInfo, Element, UnreadableError, plain_name
from e2edist.formats._unsplit import Records


def number(name, dtype, length=0):
    return Element(name, dtype, "number", length, dtype)


def member(name, kind, form="object", length=0):
    return Element(name, kind, form, length)


def base(kind, version=-1, checksum=0):
    return Element(kind, kind, "base", 0, "", (version, checksum))


ID = (number("id_", "u4"),)
HIT = (member("id_", "Id"), number("energy_", "f4"), number("aux_", "u2", 3))
CLASSES = {
    "Wrapper": (base("Base"), number("present", "u1"), member("obj", "Sorted")),
    "Sorted": (member("obj", "vector<Hit>", "collection"),),
    "Hit": (base("CaloHit", 14), number("chi2_", "f8")),
    "CaloHit": [ClassInfo("CaloHit", 14, 77, HIT)],
    "Id": [ClassInfo("Id", 10, 5, ID)],
}
PATHS = ("obj.obj.id_.id_", "obj.obj.energy_", "obj.obj.chi2_")
IDS, ENERGIES, CHI2 = [3, 2**32 - 1], [1.5, -2.0], [0.25, 1e300]


def id_of(value, version=10, checksum=None):
    return streamed(version, numbers("u4", value), checksum=checksum)


def by_object(wanted=2):
    rows = [
        streamed(
            0,
            streamed(14, id_of(i, 0, 5), numbers("f4", e), numbers("u2", 1, 2, 3)),
            numbers("f8", c),
            checksum=1,
        )
        for i, e, c in zip(IDS, ENERGIES, CHI2, strict=True)
    ]
    return by_objects(*rows[:wanted])


def by_member(version=1, **options):
    columns = [id_of(IDS[0]), id_of(IDS[1]), numbers("f4", *ENERGIES), numbers("u2", *range(6))]
    return by_members(2, version, *columns, numbers("f8", *CHI2), **options)


def wrapped(collection, rest=b""):
    return streamed(2, streamed(2)) + b"\1" + streamed(1, collection, rest)


def records(name="Wrapper", classes=CLASSES, **options):
    return Records(Source(name, **options), described(**classes))


def decoded(*given, paths=PATHS, **options):
    found = records(**options).decode(entries(*given), paths)
    return [found[path].data.tolist() for path in paths], [found[path].offsets.tolist() for path in paths]


FORMS = {
    "by objects": by_object(),
    "by members": by_member(),
    "by members, newer": by_member(collection=10),
    "by members, checksum": by_member(0, checksum=1),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_read_in_either_form(form):
    values, offsets = decoded(wrapped(FORMS[form]), wrapped(by_object(0)), wrapped(by_object(1)))
    assert values == [[*IDS, IDS[0]], [*ENERGIES, ENERGIES[0]], [*CHI2, CHI2[0]]]
    assert offsets == [[0, 2, 2, 3]] * 3


def test_what_is_in_a_class_is_named_as_split_branches_are():
    found = records().paths
    assert found == dict(zip((*PATHS, "present"), map(np.dtype, ("u4", "f4", "f8", "u1")), strict=True))
    assert list(found) != []


@pytest.mark.parametrize("form", FORMS)
def test_a_branch_below_a_product_holds_one_member(form):
    source = Source("Wrapper", name="Product.obj", number=2, parent=Source("Wrapper"))
    found = Records(source, described(**CLASSES)).decode(entries(streamed(1, FORMS[form])), PATHS)
    assert [found[path].data.tolist() for path in PATHS] == [IDS, ENERGIES, CHI2]


@pytest.mark.parametrize("changes", [{"number": 1}, {"number": 9}, {"number": 2, "kind": 4}])
def test_a_branch_that_is_no_member_is_refused(changes):
    source = Source("Wrapper", name="Product.obj", parent=Source("Wrapper"), **changes)
    with pytest.raises(UnreadableError, match=r"Product\.obj is no member of Wrapper"):
        Records(source, described(**CLASSES))


def test_a_member_of_all_rows_is_read_to_the_end():
    product = Source("Wrapper")
    source = Source("CaloHit", name="Product.obj.obj.id_", number=0, kind=41, version=14, parent=product)
    found = Records(source, described(**CLASSES)).decode(
        entries(id_of(1) + id_of(2), b"", id_of(3)), PATHS[:1]
    )
    assert found[PATHS[0]].data.tolist() == [1, 2, 3]
    assert found[PATHS[0]].offsets.tolist() == [0, 2, 2, 3]


REF = "edm::RefCoreWithIndex"
REFS = {REF: [ClassInfo(REF, 11, 9, (number("product_", "u2"), number("index_", "u4")))]}


def bare_ref(index):
    """Return a reference as CMSSW streams it: its version has no byte count."""
    return numbers("u2", 11, 1) + numbers("u4", index)


def test_references_have_a_byte_count_or_none():
    source = Source("P", name="Product.obj.ref_", number=0, kind=41, parent=Source("W"))
    classes = {"P": (member("ref_", REF),), **REFS}
    given = entries(bare_ref(1) + bare_ref(2**32 - 1), streamed(11, bare_ref(7)[2:]) + bare_ref(8))
    found = Records(source, described(**classes)).decode(given, ["obj.ref_.index_"])["obj.ref_.index_"]
    assert (found.data.tolist(), found.offsets.tolist()) == ([1, 2**32 - 1, 7, 8], [0, 2, 4])
    for bad in (bare_ref(1)[:-1], bare_ref(1) + b"\0", b"\0\x0c" + bare_ref(1)[2:]):
        with pytest.raises(EntriesError):
            Records(source, described(**classes)).decode(entries(bad), ["obj.ref_.index_"])


@pytest.mark.parametrize("form", [bare_ref(3), streamed(11, bare_ref(3)[2:])])
def test_references_are_passed_over(form):
    classes = {"W": (member("ref_", REF), member("refs_", REF, length=2), number("n", "i4")), **REFS}
    assert decoded(form * 3 + numbers("i4", 5), paths=("n",), name="W", classes=classes)[0] == [[5]]


def test_objects_that_lie_in_each_other_without_an_end_are_refused():
    depth = 80
    classes = {f"C{i}": (member("m", f"C{i + 1}"),) for i in range(depth)} | {f"C{depth}": ID}
    given = numbers("u4", 1)
    for _ in range(depth):
        given = streamed(1, given)
    path = "m." * depth + "id_"
    with pytest.raises(EntriesError, match="too many objects lie in each other"):
        decoded(given, paths=(path,), name="C0", classes=classes)


BEFORE = {
    "object": (member("x", "Any"), streamed(3, b"abc")),
    "objects": (member("x", "Any", length=2), streamed(3, b"abc") * 2),
    "collection": (member("x", "vector<float>", "collection"), by_objects()),
    "counted": (member("x", "map<int,int>", "counted"), streamed(9, bytes(8))),
    "string": (member("x", "TString", "string"), string(b"a" * 254)),
    "long string": (member("x", "TString", "string"), string(b"a" * 300)),
    "no pointer": (member("x", "Any*", "pointer"), bytes(4)),
    "pointer": (member("x", "Any*", "pointer"), streamed(9, b"ab")),
    "array": (number("x", "i2", 3), bytes(6)),
    "bool": (number("x", "u1"), b"\1"),
}


@pytest.mark.parametrize("kind", BEFORE)
@pytest.mark.parametrize("behind", [False, True])
def test_what_nobody_wants_is_passed_over(kind, behind):
    element, given = BEFORE[kind]
    last = (number("pt", "f4"),)
    parts = (*last, element) if behind else (element, *last)
    content = numbers("f4", 2.5) + given if behind else given + numbers("f4", 2.5)
    classes = {"W": (member("obj", "vector<P>", "collection"),), "P": parts}
    rows = by_objects(*[streamed(0, content, checksum=1)] * 2)
    assert decoded(rows, paths=("obj.pt",), name="W", classes=classes)[0] == [[2.5, 2.5]]
    none = by_members(0, 0, checksum=1)
    assert decoded(none, paths=("obj.pt",), name="W", classes=classes) == ([[]], [[0, 0]])
    once = given if element.form in ("collection", "counted") else given * 2
    column = numbers("f4", 1, 2)
    made = by_members(2, 0, *((column, once) if behind else (once, column)), checksum=1)
    assert decoded(made, paths=("obj.pt",), name="W", classes=classes)[0] == [[1.0, 2.0]]


def test_numbers_may_be_the_rows():
    classes = {"W": (member("obj", "vector<unsigned short>", "collection"), number("n", "i8"))}
    given = by_objects(*[numbers("u2", i) for i in (7, 65535)]) + numbers("i8", -4)
    assert decoded(given, paths=("obj", "n"), name="W", classes=classes)[0] == [[7, 65535], [-4]]


def test_lists_in_rows_and_arrays_are_not_offered():
    parts = (member("x", "vector<Id>", "collection"), number("cov", "f4", 15), number("pt", "f4"))
    classes = {"W": (member("obj", "vector<P>", "collection"),), "P": parts, "Id": ID}
    assert list(records("W", classes).paths) == ["obj.pt"]


def test_what_cannot_be_passed_over_is_refused_with_its_name():
    classes = {"W": (member("x", "Y", "other"), number("n", "i4"), member("z", "Y", "other"))}
    with pytest.raises(UnreadableError, match="no way is known past x of type Y, which comes before"):
        records("W", classes).check(["n"])
    classes = {"W": (number("n", "i4"), member("x", "Y", "other"))}
    classes = {"V": (member("w", "W"),), **classes}
    given = streamed(1, numbers("i4", 5), b"what no one knows")
    assert decoded(given, paths=("w.n",), name="V", classes=classes)[0] == [[5]]


def test_classes_that_are_not_described_or_hold_themselves_are_refused():
    with pytest.raises(UnreadableError, match="the file has no StreamerInfo of X"):
        records("X")
    with pytest.raises(UnreadableError, match="no StreamerInfo of version 7 of Id"):
        records("Id", version=7)
    endless = {"A": (base("B"), base("B"), number("n", "i4")), "B": (base("A"), base("A"))}
    assert list(records("A", endless).paths) == ["n"]


@pytest.mark.parametrize(
    ("version", "checksum", "found"),
    [(3, 30, 3), (2, 20, 2), (1, 20, 1), (9, 20, 2), (2, 0, 2), (3, 99, 3), (-1, 30, 3)],
)
def test_a_version_of_a_class_is_chosen_by_checksum_then_number(version, checksum, found):
    infos = [ClassInfo("X", n, total, ID) for n, total in ((1, 20), (2, 20), (3, 30))]
    classes = described(X=infos)
    assert classes.version("X", version, checksum).version == found
    for unknown in ((9, 0), (-1, 0), (9, 99)):
        with pytest.raises(UnreadableError, match=f"version {unknown[0]} of X"):
            classes.version("X", *unknown)


FAULTS = {
    "beyond": (streamed(2, streamed(2)) + b"\1" + numbers("u4", FLAG | 99), "beyond what it lies in"),
    "no count": (bytes(4) + b"\0\2", "a byte count is missing"),
    "version": (wrapped(by_member(3)), "no StreamerInfo of this version of Hit"),
    "checksum": (wrapped(by_member(0, checksum=9)), "no StreamerInfo of this version of Hit"),
    "inner version": (wrapped(by_objects(streamed(1, streamed(13, bytes(90))))), "version of CaloHit"),
    "old form": (wrapped(by_member(collection=7)), "no StreamerInfo of this version"),
    "behind": (wrapped(by_object(), b"\0"), "ends elsewhere than its byte count says"),
    "behind all": (wrapped(by_object()) + b"\0", "ends elsewhere than its byte count says"),
    "rows": (wrapped(streamed(9, numbers("u4", 2**32 - 1), bytes(200))), "more rows than bytes"),
    "rows by members": (wrapped(streamed(9 | 0x4000, numbers("u2", 1), numbers("u4", 10**9))), "more rows"),
    "too few": (wrapped(streamed(9, numbers("u4", 1))), "more rows than bytes"),
    "no rows": (wrapped(by_members(0, 1, b"\0")), "ends elsewhere than its byte count says"),
    "empty": (b"", "beyond what it lies in"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_record_that_does_not_decode_to_its_last_byte_is_refused(fault):
    given, text = FAULTS[fault]
    with pytest.raises(EntriesError, match=text) as caught:
        decoded(wrapped(by_object()), given)
    assert "Product.: record 1 of the range" in caught.value.what
    assert caught.value.ranges == ((1, 2),)


@st.composite
def damaged(draw):
    given = bytearray(wrapped(draw(st.sampled_from(list(FORMS.values())))))
    for _ in range(draw(st.integers(1, 3))):
        given[draw(st.integers(0, len(given) - 1))] = draw(st.integers(0, 255))
    return bytes(given[: draw(st.integers(len(given) // 2, len(given)))])


@given(damaged())
@example(b"\x40" * 200)
@fast
def test_damage_gives_the_same_number_of_rows_or_an_error(given):
    try:
        values, offsets = decoded(given)
    except EntriesError:
        return
    assert offsets == [[0, len(values[0])]] * 3
    assert 0 <= len(values[0]) <= 2


@given(st.integers(0, 2**32 - 1), st.sampled_from(["count", "rows"]))
@fast
def test_a_length_that_lies_is_always_noticed(value, which):
    given = wrapped(by_object())
    inner = by_object()
    at = given.index(inner) + (0 if which == "count" else 6)
    spoilt = given[:at] + numbers("u4", value) + given[at + 4 :]
    if spoilt != given:
        with pytest.raises(EntriesError):
            decoded(spoilt)


@pytest.mark.parametrize(
    ("spelled", "plain"),
    [
        ("std::vector< float >", "vector<float>"),
        (
            "edm::SortedCollection<A,edm::StrictWeakOrdering<A> >",
            "edm::SortedCollection<A,edm::StrictWeakOrdering<A>>",
        ),
        ("pair<unsigned int , const A *>", "pair<unsigned int,const A*>"),
        ("P<C3D<float>,ROOT::Math::DefaultCoordinateSystemTag>", "P<C3D<float>>"),
    ],
)
def test_names_of_classes_are_the_same_however_they_are_spelled(spelled, plain):
    assert plain_name(spelled) == plain_name(plain) == plain
