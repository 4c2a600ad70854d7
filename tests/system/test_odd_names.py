"""Whole campaigns whose files and folders have names that libraries take for addresses or patterns."""

import re
import shutil

import duckdb
import pandas
import pyarrow.dataset
import pytest
from runs import run, table, verb

import e2edist

#: What pyarrow, fsspec, uproot, DuckDB, rich and shells see something in, each in a folder of its own.
ODD = "run:1/a::b/sp ace/q'uo\"te/50%25/we?/st*r/br[a]ck/[bold]:100:/k=v/üñ"
OPTIONS = ("--workers", 1, "--threads", 1)


@pytest.fixture
def odd(tmp_path, events, model):
    """Folder with inputs and model below an odd name."""
    folder = tmp_path / "from" / ODD
    folder.mkdir(parents=True)
    for file in sorted(events.glob("*.root")):
        shutil.copy(file, folder / f"x:y{file.name}")
    shutil.copy(model, folder / "m::odel[1].onnx")
    return folder


@pytest.mark.slow
def test_a_campaign_under_odd_names_is_that_under_plain_ones(odd, campaign, tmp_path):
    relative = odd.relative_to(tmp_path)
    words = ("--input", relative, "--model", relative / "m::odel[1].onnx", "--output", f"to/{ODD}", *OPTIONS)
    done = run(words, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path / "to" / ODD
    assert table(folder).equals(table(campaign))
    assert "all done before" in run((*words, "--resume"), tmp_path).stdout
    for name, *more in (("aggregate", "--friend"), ("aggregate", "--verify"), ("status",), ("cancel",)):
        said = verb(name, f"to/{ODD}", *more, cwd=tmp_path)
        assert (said.returncode, said.stderr) == (0, "")
    friends = sorted(path.name for path in (folder / "aggregated" / "friends").iterdir())
    assert [name.partition("-")[0] for name in friends] == ["x:yeg_1_000", "x:yeg_1_001"]
    again = run((*words[:4], "--reference", f"to/{ODD}", "--output", "plain", *OPTIONS), tmp_path)
    assert (again.returncode, again.stderr) == (0, "")


@pytest.mark.slow
def test_what_a_campaign_says_of_reading_its_results_can_be_copied(odd, tmp_path, monkeypatch):
    said = run(("--input", odd, "--model", odd / "m::odel[1].onnx", "--output", ODD, *OPTIONS), tmp_path)
    assert said.returncode == 0, said.stderr
    (words,) = re.findall(r"^read +(.*)$", said.stdout, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    rows = len(table(tmp_path / ODD))
    assert len(eval(words, {"e2edist": e2edist})) == rows
    folder = f"{tmp_path}/{ODD}/predictions"
    assert len(pyarrow.dataset.dataset(folder).to_table()) == rows
    assert len(pandas.read_parquet(folder)) == rows
    quoted = re.sub(r"[*?[]", r"[\g<0>]", folder).replace("'", "''")  # DuckDB takes a name for a pattern
    assert len(duckdb.sql(f"FROM '{quoted}/*.parquet'").fetchall()) == rows


@pytest.mark.slow
def test_inputs_with_the_longest_name_have_parts_and_friends(events, model, tmp_path):
    name = "x" * 250 + ".root"
    shutil.copy(min(events.glob("*.root")), tmp_path / name)
    words = ("--input", name, "--model", model, "--output", "out", *OPTIONS)
    assert run(words, tmp_path).returncode == 0
    said = verb("aggregate", "out", "--friend", cwd=tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    assert "1 friends of input files" in said.stdout


@pytest.mark.parametrize("output", ["s3://bucket/out", "http://host/out", "root://host//out"])
def test_an_output_elsewhere_is_refused_before_anything_is_done(events, tmp_path, output):
    for name, words in (
        ("submit", ("--input", events, "--output", output)),
        ("aggregate", (output,)),
        ("aggregate", ("out", "--output", output)),
        ("status", (output,)),
    ):
        said = verb(name, *words, cwd=tmp_path)
        assert said.returncode == 2
        assert f"{output} is an address of a network" in said.stderr
        assert "Traceback" not in said.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_file_url_is_an_output(events, model, tmp_path):
    url = f"{tmp_path.as_uri()}/sp%20ace"
    files = [path.as_uri() for path in sorted(events.glob("*.root"))]
    done = run(("--input", *files, "--model", model, "--output", url, *OPTIONS), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    said = verb("aggregate", url, "--verify", cwd=tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    assert len(table(tmp_path / "sp ace"))
