"""`e2edist.predict`: what a campaign's parts hold, in this process and without a folder."""

import importlib
import json

import numpy as np
import pyarrow as pa
import pytest
from small_campaign import rows_of, run_all, write_hits

import e2edist
from e2edist.campaign.planning import make_plan


def values(table):
    """Return the rows of a table with NaN as a word, which is equal to itself."""
    nan = "nan"
    return [
        {k: nan if isinstance(v, float) and np.isnan(v) else v for k, v in row.items()}
        for row in table.to_pylist()
    ]


@pytest.mark.parametrize(("threads", "chunk_events"), [(1, 50), (3, 10)])
def test_predict_gives_the_rows_of_a_campaign(small, tmp_path, threads, chunk_events):
    tagger, url = small
    run_all(tagger, make_plan(tagger, [url]).with_chunks(20).chunks(), tmp_path)
    found = e2edist.predict(url, tagger, threads=threads, chunk_events=chunk_events)
    assert found["file"].unique().to_pylist() == [url]
    campaign = values(pa.Table.from_pylist(rows_of(tmp_path)))
    assert values(found.drop_columns(["dataset", "file"])) == campaign
    assert found.num_rows == 250


@pytest.mark.parametrize(("start", "stop"), [(0, None), (15, 15), (45, 62), (7, 8), (55, 1000), (200, None)])
def test_entries_are_counted_through_all_files(small, tmp_path, start, stop):
    tagger, url = small
    files = [url, str(write_hits(tmp_path / "b.root", 20, 5, seed=1))]
    everything = e2edist.predict(files, tagger)
    found = e2edist.predict(files, tagger, start=start, stop=stop)
    assert found.schema == everything.schema
    events = range(70)[start:stop]
    assert values(found) == values(everything.slice(5 * start, 5 * len(events)))


def test_batches_come_in_order_and_the_rest_is_not_made(small):
    tagger, url = small
    counts = []
    pieces = e2edist.predict_batches(url, tagger, chunk_events=10, threads=1, progress=counts.append)
    first, second = next(pieces), next(pieces)
    pieces.close()
    assert first["entry"].to_pylist() == [entry for entry in range(10) for _ in range(5)]
    assert second["entry"][0].as_py() == 10
    assert [one.events_done for one in counts] == [0, 10, 20]
    assert {one.events for one in counts} == {50}


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"tagger": "egg"}, "UnknownNameError", r"there is no tagger 'egg'. Did you mean 'eg'"),
        ({"files": "no.root"}, "InputError", r"no\.root: there is no such file"),
        ({"files": []}, "ConfigError", "files: is empty. Name ROOT files"),
        ({"files": 5}, "ConfigError", "files: can't be used .'int' object is not iterable."),
        ({"start": -1}, "ConfigError", "start: -1 is negative. Entries count from 0."),
        ({"threads": 0}, "ConfigError", "threads: 0 is not a positive number"),
        ({"tagger": "eg", "model": "no.onnx"}, "ModelError", r"no\.onnx: can't be read .*\. model names it"),
        ({"format": "hitz"}, "UnknownNameError", "there is no format 'hitz'. Did you mean 'hits'"),
    ],
)
def test_what_a_user_can_mend_is_one_line_without_its_causes(small, change, kind, text):
    tagger, url = small
    with pytest.raises(e2edist.E2EError, match=text) as caught:
        e2edist.predict(**({"files": url, "tagger": tagger} | change))
    assert type(caught.value).__name__ == kind
    assert "\n" not in str(caught.value)
    assert "--" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert len(caught.traceback) < 5


def test_the_package_lists_its_api_and_refuses_other_names():
    importlib.import_module("e2edist.list")  # whose name in the package is that of a builtin
    assert set(e2edist.__all__) <= set(dir(e2edist))
    assert all(getattr(e2edist, name) is not None for name in e2edist.__all__)
    with pytest.raises(AttributeError, match="module 'e2edist' has no attribute 'predcit'"):
        _ = e2edist.predcit


def test_a_fileset_names_the_dataset_of_each_row(small, tmp_path):
    tagger, url = small
    other = str(write_hits(tmp_path / "b.root", 10, 5, seed=1))
    files = {"photons": {"files": {url: "Events"}}, "jets": {"files": {other: "Events"}}}
    (tmp_path / "fileset.json").write_text(json.dumps(files))
    rows = e2edist.predict(tmp_path / "fileset.json", tagger).to_pandas()
    assert rows.groupby(["dataset", "file"], observed=True).size().to_dict() == {
        ("photons", url): 250,
        ("jets", other): 50,
    }


@pytest.mark.parametrize(("mask", "rows"), [({"7": [[1, 3]]}, 250), ({"7": [[4, 9]]}, 0)])
def test_a_golden_json_decides_which_events_get_rows(small, tmp_path, mask, rows):
    tagger, url = small
    (tmp_path / "golden.json").write_text(json.dumps(mask))
    assert e2edist.predict(url, tagger, lumi_mask=tmp_path / "golden.json").num_rows == rows
