"""Campaigns with plug-ins of others, installed as people install them, and with mistakes in them."""

import os
import re
import subprocess

import pyarrow.parquet as pq
import pytest
from plugin_package import ENGINE, FORMAT, install
from runs import COMMAND, ROOT, TIMEOUT_S, table

from e2edist.records.plan import read_plan
from e2edist.records.verify import verify

#: Counts the tasks that came so far, then fails.
COUNT = "import os; print(1, file=open(os.environ['MARKS'], 'a'))"
#: Where workers run chunks, and not where the driver looks at an engine.
WORKER = "import os, threading\n        if threading.current_thread() is not threading.main_thread():"


@pytest.fixture(scope="module")
def events(tmp_path_factory, make_small_clusters):
    """Folder of 600 events: 2 files of 30 clusters."""
    folder = tmp_path_factory.mktemp("events")
    make_small_clusters(folder, "eg", 600, seed=1, size=10)
    return folder


@pytest.fixture
def campaign(tmp_path, events, model):
    """Return a function that runs a campaign with the plug-ins of ``tmp_path/plugins`` to its end."""

    def run(*options, threads=1, engine="onnx", env=None):
        pool = f"kind = 'local'\nworkers = 1\nthreads = {threads}\nengine = '{engine}'"
        (tmp_path / "site.toml").write_text(f"name = 'x'\n[pools.cpu]\n{pool}\n", encoding="utf-8")
        path = os.pathsep.join([str(tmp_path / "plugins"), str(ROOT)])
        given = {"PYTHONPATH": path, "MARKS": str(tmp_path / "marks"), "COLUMNS": "200"} | (env or {})
        inputs = ("--site", "site.toml", "--input", events, "--model", model, "--output", "out")
        return subprocess.run(
            [*COMMAND, *map(str, inputs), *map(str, options)],
            cwd=tmp_path,
            env=os.environ | given,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )

    return run


def attempts(folder):
    marks = folder / "marks"
    return len(marks.read_text().splitlines()) if marks.exists() else 0


def log(folder):
    return (folder / "out" / "submit.log").read_text(encoding="utf-8")


def stopped_by(ended, path, folder, error="NameError: name 'oops' is not defined"):
    """Check that a run ended with one sentence about a bug in `path`, and its traceback in the log, once."""
    assert ended.returncode == 2, ended.stderr
    told = [line for line in ended.stderr.splitlines() if line.startswith("e2edist: ")]
    assert len(told) == 1, ended.stderr
    assert f"this is a bug in {path}, line " in told[0]
    assert f"not bad data: {error}" in told[0]
    assert "The traceback is in submit.log" in told[0]
    assert "Traceback" not in ended.stderr
    said = log(folder)
    assert said.count("Traceback (most recent call last)") == 1
    assert "damaged" not in said + ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chunk", "threads"),
    [pytest.param(10, 4, marks=pytest.mark.slow), (150, 4), pytest.param(300, 1, marks=pytest.mark.slow)],
)
def test_a_name_error_of_a_format_stops_the_campaign_within_ten_tasks(tmp_path, campaign, chunk, threads):
    path = install(tmp_path / "plugins", "formats", FORMAT, build=f"{COUNT}; oops")
    ended = campaign("--format", "odd", "--chunk-events", chunk, threads=threads)
    stopped_by(ended, path, tmp_path)
    assert attempts(tmp_path) <= 10
    # The mistake is corrected: the same command does it all.
    install(tmp_path / "plugins", "formats", FORMAT)
    ended = campaign("--format", "odd", "--chunk-events", chunk, threads=threads)
    assert ended.returncode == 0, ended.stderr
    assert verify(tmp_path / "out", read_plan(tmp_path / "out")).events == 600


@pytest.mark.slow
def test_a_name_error_in_decoding_event_numbers_is_no_row_without_keys(tmp_path, campaign):
    path = install(tmp_path / "plugins", "formats", FORMAT, decode="oops")
    stopped_by(campaign("--format", "odd", "--chunk-events", 50), path, tmp_path)


@pytest.mark.parametrize("where", ["map_branches", "detect"])
def test_a_name_error_at_planning_names_the_plug_in_and_writes_nothing(tmp_path, campaign, where):
    path = install(tmp_path / "plugins", "formats", FORMAT, **{where: "oops"})
    ended = campaign("--format", "odd")
    assert ended.returncode == 2
    assert re.fullmatch(
        rf"e2edist: this is a bug in {path}, line \d+, not bad data: NameError: name 'oops' is not defined\. "
        r"Correct or update that plug-in\. E2EDIST_TRACEBACK=1 shows the traceback\.\n",
        ended.stderr,
    ), ended.stderr
    assert not (tmp_path / "out").exists()
    ended = campaign("--format", "odd", env={"E2EDIST_TRACEBACK": "1"})
    assert "Traceback" in ended.stderr
    assert "    oops\n" in ended.stderr


@pytest.mark.slow
def test_a_plug_in_that_is_installed_and_right_gives_what_the_format_that_it_wraps_gives(tmp_path, campaign):
    install(tmp_path / "plugins", "formats", FORMAT)
    assert campaign("--format", "odd").returncode == 0
    odd = table(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "first")
    assert campaign().returncode == 0
    assert table(tmp_path / "out").drop_columns(["run"]) == odd.drop_columns(["run"])


@pytest.mark.parametrize(("chunk", "threads"), [(10, 1), pytest.param(300, 4, marks=pytest.mark.slow)])
def test_a_name_error_of_an_engine_stops_the_campaign_within_ten_tasks(tmp_path, campaign, chunk, threads):
    bug = f"{WORKER}\n            {COUNT}; oops"
    path = install(tmp_path / "plugins", "engines", ENGINE, predict=bug)
    ended = campaign("--chunk-events", chunk, threads=threads, engine="odd")
    stopped_by(ended, path, tmp_path)
    assert attempts(tmp_path) <= 10


@pytest.mark.slow
def test_a_bug_that_one_event_brings_out_costs_this_event(tmp_path, campaign):
    bug = "'event' in lists and lists['event'].data.min() <= 5 <= lists['event'].data.max() and oops"
    path = install(tmp_path / "plugins", "formats", FORMAT, decode=bug)
    ended = campaign("--format", "odd", "--chunk-events", 50)
    assert ended.returncode == 1, ended.stderr
    rows = pq.read_table(tmp_path / "out" / "bad.parquet").to_pylist()
    assert [row["events"] for row in rows] == [1]
    assert f"a bug in {path}, line" in rows[0]["reason"]
    assert log(tmp_path).count("Traceback (most recent call last)") == 1
    assert verify(tmp_path / "out", read_plan(tmp_path / "out")).given_up == 1


@pytest.mark.slow
def test_an_os_error_of_an_engine_that_passes_costs_nothing(tmp_path, campaign):
    bug = f"{WORKER}\n            {COUNT}\n            if os.path.getsize(os.environ['MARKS']) < 8:"
    bug += "\n                raise ConnectionRefusedError('not up yet')"
    install(tmp_path / "plugins", "engines", ENGINE, predict=bug)
    ended = campaign("--chunk-events", 300, threads=4, engine="odd")
    assert ended.returncode == 0, ended.stderr
    assert verify(tmp_path / "out", read_plan(tmp_path / "out")).events == 600


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [10, 300])
@pytest.mark.parametrize("mistake", ["open('/no/such/calibration')", "raise TimeoutError('no answer')"])
def test_what_the_system_refuses_a_plug_in_stops_the_campaign_and_names_the_plug_in(
    tmp_path, campaign, chunk, mistake
):
    path = install(tmp_path / "plugins", "formats", FORMAT, build=f"{COUNT}; {mistake}")
    ended = campaign("--format", "odd", "--chunk-events", chunk)
    assert ended.returncode == 1, ended.stderr
    (told,) = [line for line in ended.stderr.splitlines() if line.startswith("e2edist: ")]
    assert f"(raised in {path}, line " in told
    assert f"check {path}, line " in told
    assert "Traceback" not in ended.stderr
    assert log(tmp_path).count("Traceback (most recent call last)") == 1
    assert attempts(tmp_path) <= 10


@pytest.mark.slow
def test_an_interrupt_that_a_plug_in_raises_is_its_bug_and_kills_no_worker(tmp_path, campaign):
    path = install(tmp_path / "plugins", "formats", FORMAT, build=f"{COUNT}; raise KeyboardInterrupt")
    ended = campaign("--format", "odd", "--chunk-events", 10)
    stopped_by(ended, path, tmp_path, "KeyboardInterrupt: ")
    assert "worker died" not in log(tmp_path)
