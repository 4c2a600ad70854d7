"""`e2edist.run_campaign` before anything runs, and `e2edist.open_results`; runs are in tests/system."""

import dataclasses
import json
import subprocess
import sys
from dataclasses import replace

import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal
from small_campaign import write_hits

import e2edist
from e2edist.api.campaigns import CampaignOptions, _site_of
from e2edist.campaign.planning import make_plan
from e2edist.config.campaign import CampaignSpec
from e2edist.config.site_options import SiteOptions
from e2edist.engines import EngineOptions
from e2edist.install_hint import pip_install
from e2edist.records.plan import PlannedDataset
from e2edist.worker.run_chunk import TaskContext, prepare, run_chunk

#: Given by place, or that make sense for a command alone.
POSITIONAL = {"inputs", "output", "tagger", "site", "notify"}


def test_every_option_of_a_campaign_and_a_site_is_a_keyword():
    site = {field.name for field in dataclasses.fields(SiteOptions)} - {"site", "images"} | {"image"}
    assert set(CampaignOptions.__annotations__) == CampaignSpec.model_fields.keys() - POSITIONAL | site
    for name in CampaignOptions.__annotations__.keys() - CampaignSpec.model_fields.keys():
        assert f"``{name}``" in CampaignOptions.__doc__


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"batchh": 3}, "UnknownNameError", "there is no option 'batchh'. Did you mean 'batch'"),
        ({"batch": "3"}, "ConfigError", "the call: batch: should be a valid integer .got '3'."),
        ({"workers": "many"}, "ConfigError", "workers: 'many' is not understood. Name a number, or pool"),
        ({"site": "locla"}, "UnknownNameError", "there is no site 'locla'. Did you mean 'local'"),
        ({"pools": ["gpu"]}, "UnknownNameError", "there is no pool of site local 'gpu'"),
        ({"settings": {"pools.cpu.thread": 2}}, "ConfigError", "settings: pools.cpu.thread: unknown key"),
        ({"settings": "pools.cpu.thread=2"}, "ConfigError", "settings: pools.cpu.thread: unknown key"),
        ({"pools": "gpu,cpu"}, "UnknownNameError", "there is no pool of site local 'gpu'"),
        ({"pools": ","}, "ConfigError", "pools: names no pool"),
        ({"datasets": "a.root"}, "ConfigError", "datasets: 'a.root' is not understood. Name datasets"),
        ({"site": "perlmutter"}, "ConfigError", "has no account .* Give account ACCOUNT"),
        ({"inputs": "no*.root"}, "InputError", r"no\*.root: no such file"),
        ({"tagger": "egg"}, "UnknownNameError", "there is no tagger 'egg'. Did you mean 'eg'"),
        ({"mode": "resume"}, "OutputError", "has no plan to resume. Leave out mode=.resume. to start"),
    ],
)
def test_wrong_options_are_refused_in_one_line_before_anything_starts(small, tmp_path, change, kind, text):
    _, url = small
    words = {"inputs": url, "output": tmp_path / "out", "tagger": url.replace("a.root", "t.toml")}
    with pytest.raises(e2edist.E2EError, match=text) as caught:
        e2edist.run_campaign(**(words | {"progress": False} | change))
    assert type(caught.value).__name__ == kind
    assert "\n" not in str(caught.value)
    assert "--" not in str(caught.value)
    assert len(caught.traceback) < 5
    assert not (tmp_path / "out").exists()


def test_pools_images_and_settings_may_be_the_texts_of_a_command_line():
    facts = {"account": "m1234", "image": "docker:a/b:1"}
    given = {"pools": "gpu,cpu", "settings": ["pools.gpu.job.walltime_min=240", "pools.cpu.workers=3"]}
    site = _site_of("perlmutter", given | facts)
    assert [*site.pools] == ["gpu", "cpu"]
    assert (site.pools["gpu"].job.walltime_min, site.pools["cpu"].workers) == (240, 3)
    mapped = {"pools.gpu.job.walltime_min": 240, "pools.cpu.workers": 3}
    assert site == _site_of("perlmutter", {"pools": ["gpu", "cpu"], "settings": mapped} | facts)


def test_without_pandas_the_extra_that_has_it_is_named(folder, monkeypatch):
    results = e2edist.open_results(folder)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(e2edist.ResourceError) as caught:
        results.to_pandas("pt")
    assert str(caught.value) == (f"pandas: is not installed. Run {pip_install('notebook')}, or use table().")
    assert results.table("pt").column_names == ["pt"]


@pytest.fixture
def folder(small, tmp_path):
    """A campaign of which four of five chunks are done."""
    tagger, url = small
    plan = make_plan(tagger, [url])
    plan.write(tmp_path)
    run_all_of(plan, tagger, tmp_path, plan.chunks()[:4])
    return tmp_path


def run_all_of(plan, tagger, folder, chunks):
    prepare(str(folder), TaskContext(tagger, plan.fingerprint, str(folder), "cpu", EngineOptions()))
    for chunk in chunks:
        run_chunk(str(folder), chunk)


def test_results_of_a_campaign_that_is_not_over(folder, small):
    tagger, url = small
    results = e2edist.open_results(folder)
    assert (results.state, results.complete, results.events, results.events_done) == (
        "stopped",
        False,
        50,
        40,
    )
    assert results.objects == results.table().num_rows == 200
    assert results.status == {"ok": 40, "pt": 40, "eta": 40, "nan": 40, "no_hit": 40}
    assert results.scores == ["photon"]
    assert results.losses == []
    good = results.table(["entry", *results.scores], status="ok")
    expected = e2edist.predict(url, tagger, stop=40)
    expected = expected.filter(pa.array([one == "ok" for one in expected["status"].to_pylist()]))
    assert good.equals(expected.select(good.column_names))
    assert results.to_pandas(["pt"]).shape == (200, 1)
    assert repr(results).startswith("<results: tagger small; state stopped; events 40 of 50; objects 200 (")
    assert "<td>40 of 50</td>" in results._repr_html_()


def test_rows_of_a_campaign_say_dataset_and_file(small, folder, tmp_path_factory):
    tagger, url = small
    other = str(write_hits(tmp_path_factory.mktemp("more") / "b.root", 20, 10, seed=1))
    plan = make_plan(tagger, [url, other])
    uuids = [file.uuid for file in plan.files]
    named = (PlannedDataset("data", {}, (uuids[0],)), PlannedDataset("mc", {}, (uuids[1],)))
    plan = replace(plan, datasets=named)
    more = tmp_path_factory.mktemp("campaign")
    plan.write(more)
    run_all_of(plan, tagger, more, plan.chunks())
    results = e2edist.open_results(more)
    assert results.datasets == ("data", "mc")
    rows = results.to_pandas(["pt", "file", "dataset"])
    assert list(rows.columns) == ["pt", "file", "dataset"]
    assert rows.groupby(["dataset", "file"], observed=True).size().to_dict() == {
        ("data", url): 250,
        ("mc", other): 100,
    }
    assert results.table(dataset="mc", status="ok")["file"].unique().to_pylist() == [other]
    assert set(results.to_pandas(["dataset"], dataset="data").dataset) == {"data"}


def test_what_results_do_not_have_is_said(folder):
    results = e2edist.open_results(str(folder))
    for change, text in {
        "column 'ptt'": lambda: results.table(["ptt"]),
        "object of status 'okay'": lambda: results.table(status="okay"),
        "there is no dataset 'top'. Known: none": lambda: results.table(dataset="top"),
        "timing.parquet: can't be read": lambda: results.timing,
    }.items():
        with pytest.raises(e2edist.E2EError, match=change):
            text()


def test_an_empty_folder_has_no_results_and_a_plan_alone_no_rows(small, tmp_path):
    tagger, url = small
    with pytest.raises(e2edist.OutputError, match=r"holds no campaign"):
        e2edist.open_results(tmp_path)
    with pytest.raises(e2edist.OutputError, match=r"a\.root: is no folder"):
        e2edist.open_results(url)
    make_plan(tagger, [url]).write(tmp_path)
    results = e2edist.open_results(tmp_path)
    assert (results.state, results.objects, results.table().num_rows) == ("planned", 0, 0)
    assert results.table().schema.names[:4] == ["dataset", "file", "uuid", "entry"]


def test_results_of_aggregate_are_those_of_its_campaign(folder, small):
    tagger, url = small
    plan = make_plan(tagger, [url])
    run_all_of(plan, tagger, folder, plan.chunks()[4:])
    words = [sys.executable, "-m", "e2edist.aggregate", str(folder)]
    subprocess.run(words, check=True, capture_output=True)
    campaign, added = e2edist.open_results(folder), e2edist.open_results(folder / "aggregated")
    assert (campaign.state, added.state) == ("done", "aggregated")
    assert (added.complete, added.events, added.events_done) == (True, 50, 50)
    names = [name for name in campaign.table().column_names if name in added.table().column_names]
    assert_frame_equal(added.to_pandas(names), campaign.to_pandas(names))  # where NaN is NaN
    assert added.scores == campaign.scores
    assert added.timing.num_rows > 5
    (folder / "aggregated" / "summary.json").write_text(json.dumps({}))
    with pytest.raises(e2edist.OutputError, match=r"aggregated: can't be read .*Aggregate it once more"):
        e2edist.open_results(folder / "aggregated")
