"""Data quality: exact sums of parts, and drift that is seen where there is some, only there."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2edist.accounting import quality as dq
from e2edist.config.tagger import load_tagger
from e2edist.errors import CampaignError, InputError
from e2edist.imaging.crops import Crops
from e2edist.records.folder import CampaignFolder

EDGES = (dq.SCORE_EDGES, dq.PIXEL_EDGES, dq.SUM_EDGES)
numbers = st.floats(allow_nan=True, allow_infinity=True, width=32)


@pytest.mark.parametrize("edges", EDGES)
def test_edges_ascend_and_make_64_bins_at_most(edges):
    assert (np.diff(edges) > 0).all()
    assert len(edges) + 1 <= 64


@given(st.lists(st.lists(numbers, max_size=20), min_size=3, max_size=3))
def test_tables_of_parts_add_up_to_that_of_all_in_any_order(parts):
    a, b, c = (dq.histogram_of(np.array(part, np.float32), dq.SCORE_EDGES) for part in parts)
    whole = dq.histogram_of(np.array([x for part in parts for x in part], np.float32), dq.SCORE_EDGES)
    assert dq.add_histograms(dq.add_histograms(a, b), c) == whole
    assert dq.add_histograms(a, dq.add_histograms(b, c)) == whole
    assert dq.add_histograms(c, dq.add_histograms(b, a)) == whole
    assert json.loads(json.dumps(whole)) == whole


@given(st.lists(numbers, max_size=50))
def test_every_value_is_counted_once(values):
    histogram = dq.histogram_of(np.array(values, np.float32), dq.SCORE_EDGES)
    assert (
        histogram["nan"] + histogram["inf"] + sum(histogram["bins"].values()) == len(values) == histogram["n"]
    )


@pytest.mark.parametrize("dtype", ["bool", "int64", "float16"])
def test_scores_of_any_type_have_a_table(dtype):
    histogram = dq.histogram_of(np.array([0, 1, 1]).astype(dtype), dq.SCORE_EDGES)
    assert (histogram["n"], histogram["min"], histogram["max"]) == (3, 0, 1)


def beta(a, b, count, seed):
    return dq.histogram_of(np.random.default_rng(seed).beta(a, b, count), dq.SCORE_EDGES)


@pytest.mark.parametrize("count", [100, 1000, 20_000])
def test_samples_of_one_distribution_do_not_drift(count):
    indices = [dq.stability_index(beta(2, 3, count, s), beta(2, 3, 5000, 100 + s)) for s in range(30)]
    assert np.mean(indices) < 0.05
    assert sum(index > dq.DRIFT for index in indices) <= 1


@pytest.mark.parametrize(("a", "b"), [(3, 2), (2, 5), (20, 30)])
def test_another_distribution_drifts(a, b):
    assert dq.stability_index(beta(a, b, 1000, 1), beta(2, 3, 5000, 2)) > 2 * dq.DRIFT


def test_scores_where_the_reference_has_none_are_drift_too():
    reference = dq.histogram_of(np.full(1000, 0.5), dq.SCORE_EDGES)
    for value in (0.0, 0.51, 0.7, 5.0, -4.0):
        index = dq.stability_index(dq.histogram_of(np.full(1000, value), dq.SCORE_EDGES), reference)
        assert (index > 1) == (value != 0.51), value
    assert dq.stability_index(reference, reference) == 0
    assert dq.stability_index(dq.histogram_of(np.zeros(0), dq.SCORE_EDGES), reference) is None


def whole(scores):
    return {"scores": {"s": dq.histogram_of(np.asarray(scores), dq.SCORE_EDGES)}, "inputs": {}}


def test_warnings_name_what_is_wrong():
    good = whole(np.linspace(0, 1, 50))
    assert dq.warnings(good, Counter(dq.constant_names(good))) == []
    broken = whole([*np.linspace(0, 1, 50), np.nan, np.inf, -np.inf])
    assert dq.warnings(broken) == ["score s: 1 NaN and 2 infinite of 53"]
    stuck = whole([0.25] * 30)
    assert dq.warnings(stuck) == ["score s: always 0.25, in 30 objects"]
    both = dq.add_quality(good, stuck)
    assert dq.warnings(both, Counter(dq.constant_names(good) + dq.constant_names(stuck))) == [
        "score s: constant in 1 part"
    ]
    assert dq.warnings(good, {}, {"score s": 0.31, "input x, sum": 0.05}) == [
        "score s: drifted from the reference, PSI 0.31"
    ]


def test_nothing_is_neutral():
    one = whole([0.1, 0.2])
    assert dq.add_quality({}, one) == one == dq.add_quality(one, {})


def test_a_folder_without_quality_is_refused_as_a_reference(tmp_path):
    with pytest.raises(InputError, match=r"has no parts with their data quality.*--output"):
        dq.read_quality(tmp_path)


def test_drift_beyond_the_limit_fails_and_names_what_drifted(tmp_path):
    dq.check_limits(tmp_path, {}, {"score s": 0.3}, (None, None))
    dq.check_limits(tmp_path, {}, {"score s": 0.3}, (None, 0.3))
    with pytest.raises(CampaignError, match=r"further from the reference than 0\.2: score s by 0\.30\."):
        dq.check_limits(tmp_path, {}, {"score s": 0.3, "input x, sum": 0.1}, (None, 0.2))


def test_a_score_that_only_one_of_two_campaigns_has_is_a_drift_without_bound():
    histogram = dq.histogram_of(np.linspace(0, 1, 500), dq.SCORE_EDGES)
    ours, theirs = (
        {"scores": {"new": histogram}, "inputs": {}},
        {"scores": {"old": histogram}, "inputs": {}},
    )
    found = dq.drift(ours, theirs)
    assert found == {"score new": float("inf"), "score old": float("inf")}
    assert any("can't be compared with the reference" in line for line in dq.warnings({}, {}, found))
    with pytest.raises(CampaignError, match="score new, which only one of the two has"):
        dq.check_limits(Path("out"), {}, found, (None, 0.1))
    dq.check_limits(Path("out"), {}, found, (None, None))


def test_an_infinite_pixel_is_the_sum_of_its_own_crop_only():
    tagger = load_tagger("eg")
    offsets, value = np.arange(6), np.array([1, np.inf, 1, 1, 1], np.float32)
    crops = Crops(offsets, np.zeros(5, np.int32), value, 1, 32)
    [histogram] = [both["sum"] for both in dq.measure_quality({}, crops, tagger)["inputs"].values()]
    assert (histogram["n"], histogram["inf"], histogram["nan"]) == (5, 1, 0)


def test_a_summary_that_cannot_be_written_is_told_and_stops_nothing(tmp_path):
    CampaignFolder(tmp_path).quality.mkdir()
    messages = []
    assert dq.compare_with_reference(tmp_path, {}, messages, None) == {}
    (line,) = messages
    assert "quality.json: can't be written" in line
