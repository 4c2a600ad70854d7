"""Campaigns over inputs as people have them: a fileset of logical names on a real XRootD server, a pipe."""

import json
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from runs import COMMAND, environment, run
from servers import XRootD
from test_remote import need

from e2edist import aggregate, status


@pytest.fixture
def server(events):
    """A server of two files below 0000 and one that is cut below 0001."""
    modules = [name for name in ("XRootD", "fsspec_xrootd") if find_spec(name) is None]
    need("xrootd", None if shutil.which("xrootd") else "the server xrootd (Debian: xrootd-server)", *modules)
    folder = Path(tempfile.mkdtemp(prefix="e2edist-xrootd-"))
    folder.chmod(0o755)
    top = folder / "data" / "store" / "user" / "me" / "TTbar"
    (top / "0001").mkdir(parents=True)
    (top / "0000").mkdir()
    for path in events.glob("*.root"):
        shutil.copy(path, top / "0000")
    (top / "0001" / "cut.root").write_bytes(next(events.glob("*.root")).read_bytes()[:2000])
    server = XRootD(folder)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.mark.slow
def test_a_fileset_of_logical_names_becomes_tables_with_datasets(server, events, model, tmp_path):
    names = sorted(path.name for path in events.glob("*.root"))
    top = "/store/user/me/TTbar"
    files = {f"{top}/0000/{names[0]}": "Events", f"{top}/0001/*.root": None}
    fileset = {"TTbar": {"files": files, "metadata": {"xsec": 88.3}}, "QCD": [f"{top}/0000/{names[1]}"]}
    (tmp_path / "fileset.json").write_text(json.dumps(fileset))
    site = f'name = "x"\n[inputs]\nredirectors = ["{server.url}"]\n[pools.cpu]\nworkers = 1\nthreads = 1\n'
    (tmp_path / "x.toml").write_text(site)
    line = ("--site", "x.toml", "--input", "fileset.json", "--model", model, "--output", "out")
    said = run(line, tmp_path)
    assert said.returncode == 2
    assert "cut.root" in said.stderr
    assert "To go on without: --skip-bad-files." in said.stderr
    said = run((*line, "--skip-bad-files"), tmp_path)
    assert said.returncode == 0, said.stderr
    assert "1 of 3 input files was skipped" in " ".join(said.stdout.split())
    folder = tmp_path / "out"
    assert status.main([str(folder)]) == 0
    assert aggregate.main([str(folder)]) == 0
    found = pq.read_table(next((folder / "aggregated" / "table").glob("*.parquet")))
    pairs = set(zip(found["dataset"].to_pylist(), found["file"].to_pylist(), strict=True))
    assert pairs == {("TTbar", f"{top}/0000/{names[0]}"), ("QCD", f"{top}/0000/{names[1]}")}
    sums = json.loads((folder / "aggregated" / "datasets.json").read_text())
    assert sums["TTbar"]["metadata"] == {"xsec": 88.3}
    lost = pq.read_table(folder / "bad.parquet").to_pylist()
    assert [row["url"] for row in lost] == [f"{top}/0001/cut.root"]
    # The same files by another way of naming them go on, and nothing is done twice.
    again = ("--site", "x.toml", "--input", f"{server.url}{top}/", "--model", model, "--output", "out")
    said = run(again, tmp_path)
    assert said.returncode == 0, said.stderr
    assert "keeps the names and metadata of datasets" in " ".join(said.stdout.split())


@pytest.mark.slow
def test_a_list_by_a_pipe_reaches_a_detached_campaign(events, model, tmp_path):
    lines = "".join(f"{path}\n" for path in sorted(events.glob("*.root")))
    line = (*COMMAND, "--input", "-", "--model", str(model), "--output", "out", "--workers", "1", "--detach")
    options = {"cwd": tmp_path, "env": environment(), "capture_output": True, "text": True}
    said = subprocess.run(line, input=lines, check=False, timeout=120, **options)
    assert said.returncode == 0, said.stderr
    watched = (*COMMAND[:-1], "e2edist.status", "out", "--watch")
    said = subprocess.run(watched, check=False, timeout=120, **options)
    assert said.returncode == 0, said.stdout
    assert json.loads((tmp_path / "out" / "plan.json").read_text())["files"]
