"""Ranges of entries against the slow obvious way: sets of entries, and every choice of ranges."""

from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from e2edist.records.intervals import Range, best_cover, gaps, inside, is_covered, union

some_examples = settings(deadline=None, max_examples=200, derandomize=True, database=None)
#: (start, length): empty ranges too, as files without entries have.
one_range = st.tuples(st.integers(0, 20), st.integers(0, 9)).map(lambda p: Range(p[0], sum(p)))
ranges = st.lists(one_range, max_size=7)
filled = st.lists(one_range.filter(lambda one: one.size), max_size=7)


def entries(some):
    return {entry for start, stop in some for entry in range(start, stop)}


def disjoint(some):
    return all(one.stop <= other.start for one, other in pairwise(sorted(some)))


@some_examples
@given(ranges)
def test_a_union_holds_the_same_entries_in_as_few_ranges_as_can_be(some):
    joined = union(some)
    assert entries(joined) == entries(some)
    assert joined == sorted(joined)
    assert all(one.stop < other.start for one, other in pairwise(joined))
    assert all(one.size for one in joined)


@some_examples
@given(one_range, ranges)
def test_gaps_are_the_entries_that_no_range_holds(whole, some):
    found = list(gaps(whole, some))
    assert entries(found) == entries([whole]) - entries(some)
    assert all(one.size for one in found)
    assert all(one.stop < other.start for one, other in pairwise(found))


@some_examples
@given(one_range.filter(lambda one: one.size), ranges)
def test_a_range_is_covered_if_each_of_its_entries_is_held(whole, some):
    assert is_covered(whole, union(some)) == (entries([whole]) <= entries(some))


@some_examples
@given(one_range, ranges)
def test_what_lies_inside_is_found_in_order(whole, some):
    ordered = sorted(some)
    expected = [one for one in ordered if whole.start <= one.start and one.stop <= whole.stop]
    # An empty range at the end of another belongs to what follows.
    expected = [one for one in expected if not whole.size or one.start < whole.stop]
    assert inside(whole, ordered) == expected


@some_examples
@given(filled, st.sets(st.integers(0, 6)))
def test_no_choice_of_ranges_holds_more_entries_or_as_many_with_fewer_new_ones(some, numbers):
    some = list(dict.fromkeys(some))
    known = {one for i, one in enumerate(some) if i in numbers}

    def value(chosen):
        others = sum(one not in known for one in chosen)
        return sum(one.size for one in chosen), -others, -len(chosen)

    chosen = best_cover(some, known)
    assert disjoint(chosen)
    assert chosen == sorted(chosen)
    every = (choice for n in range(len(some) + 1) for choice in combinations(some, n))
    assert value(chosen) == max(value(choice) for choice in every if disjoint(choice))


@some_examples
@given(one_range.filter(lambda one: one.size > 1))
def test_halves_are_the_whole_and_differ_by_one_entry_at_most(whole):
    first, second = whole.halves()
    assert (first.start, first.stop, second.stop) == (whole.start, second.start, whole.stop)
    assert 0 <= second.size - first.size <= 1
