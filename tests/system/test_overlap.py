"""A campaign over pools that run the model differently finds out at once whether they agree."""

import pyarrow.dataset as ds
import pytest

SITE = """
name = "two"
[pools.one]
workers = 1
threads = 1
[pools.two]
workers = 1
threads = 1
engine = "{engine}"
"""


@pytest.fixture
def site(tmp_path):
    def write(engine):
        path = tmp_path / "two.toml"
        path.write_text(SITE.format(engine=engine))
        return path

    return write


def _arguments(site, events, model):
    return ("--site", site, "--input", events, "--model", model, "--output", "out", "--chunk-events", 50)


def test_pools_that_disagree_stop_the_campaign_and_say_by_how_much(submit, site, events, model):
    # the null engine answers zero for everything, as a broken device might
    done = submit(*_arguments(site("null"), events, model))
    assert done.returncode == 1
    assert "scores differ from those of another pool: electron by 0." in done.stderr
    assert "Traceback" not in done.stderr


def test_two_pools_of_one_kind_share_the_chunks(submit, site, events, model, tmp_path):
    done = submit(*_arguments(site("onnx"), events, model))
    assert (done.returncode, done.stderr) == (0, "")
    table = ds.dataset(tmp_path / "out" / "predictions").to_table()
    assert len(
        set(zip(*(table[k].to_pylist() for k in ("uuid", "entry", "kind", "object")), strict=True))
    ) == (table.num_rows)
    timing = ds.dataset(tmp_path / "out" / "timing.parquet").to_table()
    assert set(timing["pool"].to_pylist()) == {"one", "two"}
