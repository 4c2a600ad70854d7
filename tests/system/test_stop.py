"""Campaigns that are stopped while chunks run: what is said, what is finished, and what is kept."""

import json
import os
import re
import signal
import time

import pytest
from lab import until
from runs import parts, receipts

from e2edist.records.folder import CampaignFolder

STOPPING = "stopping: letting running chunks finish; Ctrl-C again to stop now"


def hold(lab, point="start", entry=40):
    """Return the fault that lets one chunk of a.root run until the file `go` is there."""
    return {"at": point, "do": "wait", "file": "a.root", "entry": entry, "until": str(lab.folder / "go")}


def until_it_runs(lab, process, fault):
    until(lambda: lab.hit("0") or process.poll() is not None)
    assert process.poll() is None, process.said.read_text()


def said_at_once(process, text=STOPPING):
    until(lambda: text in process.said.read_text() or process.poll() is not None)
    assert process.poll() is None
    assert text in process.said.read_text()


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        signal.SIGTERM,
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_a_chunk_that_runs_at_a_signal_is_finished_counted_and_told(lab, clean, number):
    fault = hold(lab)
    process = lab.start(faults=[fault], fork=True)
    until_it_runs(lab, process, fault)
    os.kill(process.pid, number)
    said_at_once(process)
    before = {path.stem for path in parts(lab.out)}
    (lab.folder / "go").touch()
    code, said = lab.end(process)
    assert code == 130
    done = {receipt["id"] for receipt in receipts(lab.out)}
    assert len(done - before) >= 1
    assert any(name.endswith("-40-48") for name in done - before)
    events = sum(receipt["events"] for receipt in receipts(lab.out))
    kept = rf"stopped: {events} of 192 events are done and kept( \(\d chunks? finished after the signal\))?"
    assert re.search(f"{kept}: the same command does the rest", said), said
    assert "cut off" not in said
    beat = json.loads(CampaignFolder(lab.out).heartbeat.read_text())
    assert (beat["state"], beat["events_done"]) == ("stopped", events)
    log = (lab.out / "submit.log").read_text()
    assert all(f"done chunk={name}" in log for name in done)
    assert "stopping: letting running chunks finish" in log
    lab.completes(clean, fork=True)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_second_signal_ends_the_wait_and_keeps_what_is_done(lab, clean, options):
    fault = hold(lab)
    process = lab.start(*options, faults=[fault], fork=True)
    until_it_runs(lab, process, fault)
    os.kill(process.pid, signal.SIGINT)
    said_at_once(process)
    time.sleep(0.2)  # a second one within a tenth of a second is taken for the same
    os.kill(process.pid, signal.SIGINT)
    code, said = lab.end(process)
    assert code == 130
    events = sum(receipt["events"] for receipt in receipts(lab.out))
    assert f"stopped: {events} of 192 events are done and kept: the same command does the rest" in said
    (lab.folder / "go").touch()
    lab.completes(clean, fork=True)


@pytest.mark.slow
def test_a_part_that_was_written_but_not_told_at_a_stop_is_kept(lab, clean):
    """The worker is held between its part's rename and the end of its task."""
    fault = hold(lab, point="renamed")
    process = lab.start(faults=[fault], fork=True)
    until_it_runs(lab, process, fault)
    until(lambda: [path for path in parts(lab.out) if path.stem.endswith("-40-48")])
    os.kill(process.pid, signal.SIGTERM)
    said_at_once(process)
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGTERM)
    code, _ = lab.end(process)
    assert code == 130
    held = parts(lab.out)
    (late,) = [path.stem for path in held if path.stem.endswith("-40-48")]
    log = (lab.out / "submit.log").read_text()
    assert all(f"done chunk={path.stem}" in log for path in held)
    assert "removed" not in log
    (lab.folder / "go").touch()
    lab.completes(clean, fork=True)
    assert (lab.out / "submit.log").read_text().count(f"done chunk={late} ") == 1


@pytest.mark.slow
def test_an_estimate_keeps_every_part_that_was_written(lab, clean):
    code, said = lab.run("--estimate", fork=True, threads=4)
    assert code == 0, said
    log = (lab.out / "submit.log").read_text()
    assert "removed" not in log
    assert sorted(path.stem for path in parts(lab.out)) == sorted(
        line.split("chunk=")[1].split()[0] for line in log.splitlines() if " done chunk=" in line
    )
    lab.completes(clean, fork=True)


# ---- the end looks at the parts


def flip_footer(path):
    content = bytearray(path.read_bytes())
    content[-20] ^= 4
    path.write_bytes(content)


@pytest.mark.slow
def test_parts_that_are_deleted_cut_or_changed_while_a_run_goes_on_are_made_again_in_it(lab, clean):
    last = {"at": "start", "do": "wait", "file": "b.root", "until": str(lab.folder / "go")}
    process = lab.start(faults=[last], fork=True)
    gone, cut, flipped = until(lambda: len(found := parts(lab.out)) >= 4 and found)[:3]
    log = lab.out / "submit.log"
    until(lambda: all(f"done chunk={path.stem}" in log.read_text() for path in (gone, cut, flipped)))
    gone.unlink()
    os.truncate(cut, 300)
    flip_footer(flipped)
    (lab.folder / "go").touch()
    code, said = lab.end(process)
    assert code == 0, said
    assert log.read_text().count("does not count any more") == 3
    lab.holds(clean)


@pytest.mark.slow
def test_a_part_that_is_gone_at_the_very_end_is_exit_code_1_and_the_same_command_makes_it(lab, clean):
    process, victim = lab.start(fork=True), None
    while process.poll() is None:
        found = [path for path in parts(lab.out) if path.stem.endswith("-40-48")]
        victim = victim or next(iter(found), None)
        if victim in found:
            victim.unlink()
        time.sleep(0.005)
    code, said = lab.end(process)
    assert code == 1
    assert f"1 part is gone or damaged since written, as {victim.name}" in said
    assert json.loads(CampaignFolder(lab.out).heartbeat.read_text())["state"] == "failed"
    lab.completes(clean, fork=True)


@pytest.mark.slow
def test_parts_that_were_deleted_cut_or_changed_since_are_made_again_and_no_others(lab, clean):
    code, said = lab.run(fork=True)
    assert code == 0, said
    gone, cut, flipped, *others = parts(lab.out)
    before = [path.stat().st_ino for path in others]
    gone.unlink()
    os.truncate(cut, 300)
    flip_footer(flipped)
    lab.completes(clean, fork=True)
    assert [path.stat().st_ino for path in others] == before


@pytest.mark.slow
def test_a_plan_that_is_removed_meanwhile_is_there_again_at_the_end(lab, clean):
    fault = hold(lab)
    process = lab.start(faults=[fault], fork=True)
    until_it_runs(lab, process, fault)
    (lab.out / "plan.json").unlink()
    (lab.folder / "go").touch()
    code, said = lab.end(process)
    assert code == 0, said
    beat = json.loads(CampaignFolder(lab.out).heartbeat.read_text())
    assert (beat["state"], beat["in_flight"], beat["stopping"]) == ("done", 0, False)
    assert "plan.json was gone, and is written again" in (lab.out / "submit.log").read_text()
    lab.completes(clean, fork=True)
