"""A campaign over pools that run the model differently finds out at once whether they agree."""

import os

import pyarrow.dataset as ds
import pytest
from plugin_package import ENGINE, install
from runs import environment, parts, receipts, table, verb
from servers import Web

SITE = """
name = "two"
[pools.one]
workers = 1
threads = 1
[pools.two]
workers = 1
threads = 1
engine = "{engine}"
{more}
"""
#: Workers that see neither the model nor the output.
FAR = "[pools.two.job]\nshared_disk = false\n[pools.one.job]\nshared_disk = false\n"


@pytest.fixture
def site(tmp_path):
    def write(engine, more=""):
        path = tmp_path / "two.toml"
        path.write_text(SITE.format(engine=engine, more=more))
        return path

    return write


def _arguments(site, events, model):
    return ("--site", site, "--input", events, "--model", model, "--output", "out", "--chunk-events", 50)


@pytest.mark.slow
def test_pools_that_disagree_stop_the_campaign_and_say_by_how_much(submit, site, events, model):
    # the null engine answers zero for everything, as a broken device might
    done = submit(*_arguments(site("null"), events, model))
    assert done.returncode == 1
    assert "scores differ from those of another pool: electron by 0." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_campaign_that_goes_on_elsewhere_is_compared_with_what_is_done(
    submit, site, events, model, tmp_path
):
    one = tmp_path / "one.toml"
    for engine in ("onnx", "null"):
        one.write_text(f'name = "one"\n[pools.cpu]\nengine = "{engine}"\nworkers = 1\nthreads = 1\n')
        arguments = _arguments(one, events, model)
        if engine == "onnx":
            assert submit(*arguments).returncode == 0
            assert {receipt["engine"]["kind"] for receipt in receipts(tmp_path / "out")} == {"onnx cpu"}
            parts(tmp_path / "out")[3].unlink()
    done = submit(*arguments)
    assert done.returncode == 1
    assert "pool cpu: scores differ from those of an earlier run on onnx cpu (part " in done.stderr
    assert "Delete the parts of the wrong one" in done.stderr


@pytest.mark.slow
def test_two_pools_of_one_kind_share_the_chunks(submit, site, events, model, tmp_path):
    done = submit(*_arguments(site("onnx"), events, model))
    assert (done.returncode, done.stderr) == (0, "")
    table = ds.dataset(tmp_path / "out" / "predictions").to_table()
    assert len(
        set(zip(*(table[k].to_pylist() for k in ("uuid", "entry", "kind", "object")), strict=True))
    ) == (table.num_rows)
    timing = ds.dataset(tmp_path / "out" / "timing.parquet").to_table()
    assert set(timing["pool"].to_pylist()) == {"one", "two"}


@pytest.mark.slow
def test_receipts_name_the_package_of_a_plug_in_and_its_version(site, events, model, tmp_path):
    install(tmp_path / "packages", "engines", ENGINE)
    text = 'name = "one"\n[pools.cpu]\nengine = "odd"\nworkers = 1\nthreads = 1\n'
    (tmp_path / "one.toml").write_text(text)
    path = os.pathsep.join([str(tmp_path / "packages"), environment()["PYTHONPATH"]])
    arguments = _arguments("one.toml", events, model)
    done = verb("submit", *arguments, cwd=tmp_path, env=environment() | {"PYTHONPATH": path})
    assert (done.returncode, done.stderr) == (0, "")
    for receipt in receipts(tmp_path / "out"):
        assert receipt["versions"]["odd_plugin"] == "1.0"
        facts = {"device": "unknown", "provider": "cpu", "kind": "odd cpu", "batch": "32"}
        assert receipt["engine"] == facts


@pytest.fixture
def urls(events, tmp_path):
    """Name of a list of the events' addresses on a server."""
    with Web(events) as web:
        found = [f"{web.url}/{path.name}\n" for path in sorted(events.iterdir())]
        (tmp_path / "urls.txt").write_text("".join(found))
        yield "urls.txt"


@pytest.mark.slow
def test_pools_that_do_not_see_the_output_are_compared_too(submit, site, urls, model):
    done = submit(*_arguments(site("null", FAR), urls, model))
    assert done.returncode == 1
    assert "scores differ from those of another pool: electron by 0." in done.stderr


@pytest.mark.slow
def test_parts_of_workers_that_do_not_see_the_output_come_home(submit, site, urls, model, campaign, tmp_path):
    done = submit(*_arguments(site("onnx", FAR), urls, model))
    assert (done.returncode, done.stderr) == (0, "")
    assert table(tmp_path / "out").equals(table(campaign))
