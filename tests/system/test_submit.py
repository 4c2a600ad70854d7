"""Whole runs of ``python -m e2edist.submit`` that succeed: the same numbers however they are made."""

import fcntl
import json
import os
import pty
import re
import struct
import termios
import time

import duckdb
import pandas
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from models import JETS, write_model, write_tagger
from runs import KEY, ROOT, TIMEOUT_S, drafts, parts, plan, receipts, run, snapshot, start, table

import e2edist

EVENTS = 659
STAGES = {
    "eventsetup",
    "source",
    "DetFrameProducer",
    "EGFrameProducer",
    "EGTagger",
    "output",
    "other",
}


def _in_order_of_entries(folder):
    """Return the rows with `nth`, the number of their event over all files, for `uuid` and `entry`."""
    first, edges = {}, 0
    for file in plan(folder)["files"]:
        first[file["uuid"]] = edges
        edges += file["entries"]
    assert edges == EVENTS
    rows = table(folder)
    nth = [first[u] + e for u, e in zip(rows["uuid"].to_pylist(), rows["entry"].to_pylist(), strict=True)]
    rows = rows.drop_columns(["uuid", "entry"]).append_column("nth", pa.array(nth))
    return rows.sort_by([(name, "ascending") for name in ("nth", "kind", "object")])


def _jet_tagger(folder):
    channels = [
        {"layer": "ECAL_tracksPt", "scale": 0.01},
        {"layer": "ECAL_energy", "threshold": 1e-3, "scale": 0.01},
        {"layer": "HBHE_energy", "threshold": 1e-3, "scale": 0.25},
    ]
    model = write_model(folder / "jets.onnx", channels=3, size=125)
    return write_tagger(folder / "jets.toml", model, **JETS, channels=channels, track_quality=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["eg", "jets"])
def test_both_forms_of_the_real_events_give_the_same_rows(name, data, model, tmp_path, submit):
    tagger = ("eg", "--model", model) if name == "eg" else (_jet_tagger(tmp_path),)
    for form in ("root/hits_given_?.root", "edm/given_?.root"):
        done = submit("--tagger", *tagger, "--input", data / form, "--output", form[:3])
        assert (done.returncode, done.stderr) == (0, "")
    hits, edm = (_in_order_of_entries(tmp_path / folder) for folder in ("roo", "edm"))
    assert hits.num_rows > 500
    assert hits["status"].to_pylist().count("ok") > 100
    assert hits.schema == edm.schema
    for column in hits.column_names:
        assert hits[column].equals(edm[column]), column


def test_workers_threads_batches_and_chunks_change_no_bit(campaign, events, model, tmp_path, submit):
    wanted = table(campaign)
    assert len(set(zip(*(wanted[name].to_pylist() for name in KEY), strict=True))) == wanted.num_rows
    assert 0 < wanted["electron"].null_count < wanted.num_rows
    for number, options in enumerate(
        (
            ("--workers", 2, "--threads", 1, "--chunk-events", 1, "--batch", 5),
            ("--workers", "cpu=1", "--threads", 4, "--chunk-events", 10_000),
        )
    ):
        done = submit("--input", events, "--model", model, "--output", f"out{number}", *options)
        assert done.returncode == 0, done.stderr
        chunks = [receipt["chunk"] for receipt in receipts(tmp_path / f"out{number}")]
        assert len(chunks) == (12, 2)[number]
        assert table(tmp_path / f"out{number}").equals(wanted)
    assert len({receipt["pid"] for receipt in receipts(tmp_path / "out0")}) == 2


def test_timing_names_the_modules_and_leaves_no_time_out(campaign):
    times = pq.read_table(campaign / "timing.parquet").to_pandas()
    assert set(times["stage"]) == STAGES
    items = times.groupby("stage")["items"].sum()
    rows = table(campaign).to_pandas()
    assert items["source"] == items["DetFrameProducer"] == 600
    assert items["EGFrameProducer"] == items["output"] == len(rows)
    assert items["EGTagger"] == (rows["status"] == "ok").sum() == rows["electron"].notna().sum()
    assert items["eventsetup"] == items["other"] == 0
    assert (times["wall_ms"] >= 0).all()
    for receipt in receipts(campaign):
        mine = times[times["chunk"] == receipt["id"]]
        assert dict(zip(mine["stage"], mine["wall_ms"], strict=True)) == {
            stage: wall for stage, (wall, _, _) in receipt["stages"].items()
        }
    # One thread ran all chunks: their stages fill its time but for a little between chunks.
    began = times.groupby("chunk")["started"].first().sort_values()
    whole = times.groupby("chunk")["wall_ms"].sum()[began.index] / 1e3
    assert (began + whole).iloc[:-1].le(began.shift(-1).iloc[:-1] + 0.005).all()


def test_parts_are_receipts(campaign):
    frozen = plan(campaign)
    found = receipts(campaign)
    assert sum(receipt["events"] for receipt in found) == 600
    for part, receipt in zip(parts(campaign), found, strict=True):
        assert part.stem == receipt["id"]
        assert receipt["fingerprint"] == frozen["fingerprint"]
        assert receipt["rows"] == pq.read_metadata(part).num_rows == sum(receipt["status"].values())
        assert {"python", "e2edist", "numpy", "numba", "uproot", "pyarrow"} <= receipt["versions"].keys()
        assert receipt["engine"]["engine"].startswith("onnxruntime ")
        assert receipt["engine"]["provider"] == "CPUExecutionProvider"
    assert drafts(campaign) == []


def test_a_finished_campaign_is_left_alone(campaign, events, model):
    before = snapshot(campaign)
    options = ("--input", events, "--model", model, "--output", "out")
    again = run(options, campaign.parent)
    assert (again.returncode, again.stderr) == (0, "")
    assert "dashboard" not in again.stdout  # no workers were started
    assert snapshot(campaign) == before


@pytest.mark.slow
def test_the_demo_needs_nothing_and_says_how_to_read_its_results(tmp_path, submit, monkeypatch):
    looked = submit("--site", "local", "--demo", "--dry-run")
    assert (looked.returncode, looked.stderr) == (0, "")
    assert "8,000 demo events are made first" in looked.stdout
    assert f"{tmp_path}/e2edist-demo/eg-events/eg_2_000.root" in looked.stdout
    assert list(tmp_path.iterdir()) == []
    first = submit("--site", "local", "--demo")
    assert (first.returncode, first.stderr) == (0, "")
    folder = tmp_path / "e2edist-demo" / "eg"
    rows = table(folder)
    assert sum(receipt["events"] for receipt in receipts(folder)) == 8000
    assert rows["electron"].null_count < rows.num_rows
    monkeypatch.chdir(tmp_path)
    (line,) = re.findall(r"^read +(.+)$", first.stdout, re.MULTILINE)
    page = (ROOT / "docs" / "outputs.md").read_text()
    (block,) = [text for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "duckdb" in text]
    names = {"e2edist": e2edist, "pyarrow": pyarrow, "duckdb": duckdb, "pandas": pandas}
    for way in (line, *block.replace("results/", "e2edist-demo/eg/").splitlines()):
        assert len(eval(way, names)) == rows.num_rows, way
    before = snapshot(tmp_path)
    second = submit("--site", "local", "--demo")
    assert second.returncode == 0
    dry = submit("--demo", "--dry-run")
    assert dry.returncode == 0
    assert "8,000 events" in dry.stdout
    assert snapshot(tmp_path) == before


def test_dry_runs_write_nothing(events, model, tmp_path, submit):
    done = submit("--input", events, "--model", model, "--output", "out", "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert "600 events in " in done.stdout
    assert list(tmp_path.iterdir()) == []


def _screen(arguments, cwd):
    """Return exit code and all that a run writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    process = start(arguments, cwd, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen, deadline = b"", time.monotonic() + TIMEOUT_S
    try:
        while time.monotonic() < deadline:
            try:
                more = os.read(ours, 65536)
            except OSError:  # what Linux says when the last writer has gone
                break
            seen += more
        return process.wait(timeout=10), seen.decode()
    finally:
        os.close(ours)
        process.kill()


def test_a_terminal_shows_bar_rate_and_time_to_go(events, model, tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    # Chunks small enough that the display is drawn between them however fast the machine.
    arguments = ("--input", events, "--model", model, "--output", "out", "--chunk-events", 10)
    code, seen = _screen(arguments, tmp_path)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)
    assert code == 0
    assert "━━━━" in plain
    assert re.search(r"━ +\d+/\d+ chunks, \d+:\d\d:\d\d, ETA \d+:\d\d:\d\d", plain), plain
    assert re.search(r"\n  [\d,]+ events/s, .*?cpu \d/\d", plain), plain
    assert "Traceback" not in plain


def test_a_model_with_a_fixed_batch_and_odd_paths(campaign, events, tmp_path, submit):
    folder = tmp_path / "my data" / "Ünï's"
    folder.mkdir(parents=True)
    (folder / "li nk.root").symlink_to(min(events.glob("*.root")))
    (folder / "list.txt").write_text(f"# a comment\n\n{folder}/li*.root\n", encoding="utf-8")
    model = write_model(folder / "mo del.onnx", batch=7)
    out = folder / "out put"
    done = submit("--input", folder / "list.txt", "--model", model, "--output", out, "--batch", 16)
    assert (done.returncode, done.stderr) == (0, "")
    assert {receipt["engine"]["batch"] for receipt in receipts(out)} == {"7"}
    rows, free = table(out), table(campaign)
    assert 0 < rows.num_rows < free.num_rows
    assert rows.equals(free.filter(pc.equal(free["uuid"], rows["uuid"][0])))


@pytest.mark.slow
def test_machines_get_a_json_object_a_line_and_the_end_is_notified(tmp_path, events, model, submit):
    line = ("--input", events, "--model", model, "--output", "out", "--json", "--workers", 1)
    done = submit(*line, "--notify", f"cat > {tmp_path}/told.json")
    assert done.returncode == 0, done.stderr
    facts = [json.loads(text) for text in done.stdout.splitlines()]
    assert {fact["what"] for fact in facts} == {"progress", "result", "end"}
    result, end = facts[-2:]
    assert (result["events"], result["complete"]) == (600, True)
    assert result["objects"] == sum(receipt["rows"] for receipt in receipts(tmp_path / "out"))
    assert end == {"what": "end", "state": "done", "exit_code": 0, "error": ""}
    assert json.loads((tmp_path / "told.json").read_text())["bill"][0]["pool"] == "cpu"
    refused = submit("--input", "nowhere.root", "--output", "other", "--json")
    assert json.loads(refused.stdout)["exit_code"] == refused.returncode == 2


@pytest.mark.slow
def test_an_estimate_keeps_what_it_did_and_the_campaign_goes_on(tmp_path, events, model, submit):
    line = ("--input", events, "--model", model, "--output", "out", "--workers", 1, "--threads", 1)
    line += ("--chunk-events", 50)
    done = submit(*line, "--estimate", "--json")
    assert done.returncode == 0, done.stderr
    (said,) = [fact for fact in map(json.loads, done.stdout.splitlines()) if fact["what"] == "estimate"]
    kept = sum(receipt["events"] for receipt in receipts(tmp_path / "out"))
    assert 200 <= kept < 600
    assert said["events_left"] == 600 - kept
    assert [one["jobs"] for one in said["choices"]] == [1]  # this machine has no multiples
    assert all(one["seconds"] > 0 and one["charge"] > 0 for one in said["choices"])
    before = {path: path.stat().st_mtime_ns for path in parts(tmp_path / "out")}
    assert submit(*line).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sum(receipt["events"] for receipt in receipts(tmp_path / "out")) == 600
