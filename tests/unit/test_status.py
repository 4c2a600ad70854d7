"""What is said of a campaign's folder, whatever state it is in, and how fast."""

import io
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib import import_module

import pytest
from rich.console import Console

from e2edist.accounting.folder_counts import count_folder
from e2edist.accounting.progress import Progress, ProgressTracker
from e2edist.accounting.telemetry import Telemetry
from e2edist.campaign.heartbeat import Heartbeat, heartbeat
from e2edist.cli.watch import watch
from e2edist.config.site import PoolSpec
from e2edist.control.controller_record import ControllerRecord, birth, read_controller
from e2edist.control.state import read_state
from e2edist.control.tunnel import tunnel_command
from e2edist.errors import OutputError
from e2edist.records.chunk import chunk_id
from e2edist.records.folder import CampaignFolder
from e2edist.records.lock import find_holder, locked
from e2edist.status import exit_code, main

TREE = "Events"
DEAD = 2**22 + 1  # no process has this number


def write_plan(folder, *edges, skipped=()):
    folder.mkdir(exist_ok=True)
    files = [
        {"url": f"/data/{i}.root", "tree": TREE, "uuid": f"u{i}", "entries": e[-1], "edges": list(e)}
        for i, e in enumerate(edges)
    ]
    content = {"fingerprint": "f", "tagger": {"name": "eg"}, "files": files, "skipped": list(skipped)}
    (folder / "plan.json").write_text(json.dumps(content))


def done(file, start, stop, **more):
    name = chunk_id(f"u{file}", TREE, start, stop)
    place = {"url": f"/data/{file}.root", "start": start, "stop": stop}
    receipt = {"id": name, "chunk": place, "rows": 2 * (stop - start), "events": stop - start, "status": {}}
    return json.dumps({"done": more | receipt}) + "\n"


def failed(file, start, stop):
    name = chunk_id(f"u{file}", TREE, start, stop)
    place = {"url": f"/data/{file}.root", "uuid": f"u{file}", "tree": TREE, "start": start, "stop": stop}
    return json.dumps({"failed": {"id": name, "reason": "bad basket", "attempts": 3} | place}) + "\n"


def write_ledger(folder, *lines):
    (folder / "ledger.jsonl").write_text("".join(lines))


def write_heartbeat(folder, **changes):
    now = time.time()
    beat = {"host": platform.node(), "pid": DEAD, "controller": "", "started": now, "updated": now}
    (folder / "progress.json").write_text(json.dumps(beat | {"state": "running"} | changes))


@pytest.fixture
def folder(tmp_path):
    write_plan(tmp_path / "out", (0, 10, 20), (0, 30), (0,))
    return tmp_path / "out"


def test_an_untouched_plan_has_ended_nothing(folder):
    found = count_folder(folder)
    assert (found.files, found.chunks, found.events) == (3, 4, 50)
    assert (found.ended, found.parts, found.events_done, found.rows) == (0, 0, 0, 0)
    assert not found.complete
    assert read_state(folder).state == "planned"


def test_pieces_count_when_they_cover_their_chunk(folder):
    write_ledger(folder, done(0, 0, 5), done(0, 5, 10), done(0, 10, 14), done(1, 0, 30))
    found = count_folder(folder)
    assert (found.ended, found.parts, found.events_done, found.rows) == (2, 4, 44, 88)


def test_a_whole_ledger_is_complete_even_with_an_empty_file(folder):
    lines = [done(0, 0, 10), done(0, 10, 20), done(1, 0, 30), done(2, 0, 0)]
    write_ledger(folder, *lines[:3])
    assert not count_folder(folder).complete
    write_ledger(folder, *lines)
    assert count_folder(folder).complete


def test_a_receipt_that_came_twice_counts_once_and_a_cut_line_not_at_all(folder):
    write_ledger(folder, done(0, 0, 10), done(0, 0, 10), done(1, 0, 30)[:-1])
    assert count_folder(folder).events_done == 10


def test_what_was_given_up_and_then_done_is_not_lost(folder):
    write_ledger(folder, failed(0, 0, 10), failed(1, 0, 30), done(0, 0, 10), "{not json}\n", "[1]\n")
    found = count_folder(folder)
    assert [failure.reason for failure in found.failed] == ["bad basket"]
    assert (found.events_failed, found.events_done, found.ended) == (30, 10, 2)


def test_a_lost_ledger_is_made_up_for_by_the_names_of_the_parts(folder):
    (folder / "predictions").mkdir()
    (folder / "predictions" / f"{chunk_id('u1', TREE, 0, 30)}.parquet").touch()
    assert (count_folder(folder).events_done, count_folder(folder).ended) == (30, 1)


@pytest.mark.parametrize("name", ["hello", "a-b-c", "x-1", "x-1-b", ""])
def test_files_and_lines_that_are_no_chunk_s_are_passed_over(folder, name):
    (folder / "predictions").mkdir()
    for part in (chunk_id("u1", TREE, 0, 30), name or "none"):
        (folder / "predictions" / f"{part}.parquet").touch()
    assert count_folder(folder).events_done == 30
    odd = json.loads(done(0, 0, 10))["done"] | {"id": name}
    lost = json.loads(failed(0, 0, 10))["failed"] | {"id": name}
    write_ledger(
        folder, json.dumps({"done": odd}) + "\n", json.dumps({"failed": lost}) + "\n", done(1, 0, 30)
    )
    found = count_folder(folder)
    assert (found.events_done, found.failed) == (30, [])


def test_a_folder_without_a_plan_or_with_a_torn_one_is_refused(tmp_path, capsys):
    with pytest.raises(OutputError, match="holds no campaign"):
        read_state(tmp_path)
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(OutputError, match="can't be read"):
        read_state(tmp_path)
    assert main([str(tmp_path)]) == 2
    assert "can't be read" in capsys.readouterr().err


def test_the_lock_is_seen_while_it_is_held_and_only_then(folder):
    assert find_holder(folder) is None
    with locked(folder):
        holder = find_holder(folder)
        assert (holder.pid, holder.host, holder.here) == (os.getpid(), platform.node(), True)
        assert read_state(folder).state == "starting"
        write_heartbeat(folder, pid=os.getpid())
        assert read_state(folder).state == "running"
        write_heartbeat(folder, pid=os.getpid(), state="done")
        assert read_state(folder).state == "finishing"
    assert find_holder(folder) is None


def test_the_lock_of_a_dead_process_or_of_one_that_took_its_number_is_free(folder):
    for pid in (DEAD, os.getpid()):  # ours lives, and has not got this lock open
        (folder / ".lock").write_text(json.dumps({"host": platform.node(), "pid": pid}))
        assert find_holder(folder) is None


def test_the_lock_of_another_host_holds_while_it_is_fresh(folder):
    lock = folder / ".lock"
    lock.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    updated = time.time() - 60
    write_heartbeat(folder, host="elsewhere", pid=1, updated=updated)
    state = read_state(folder)
    assert (state.state, state.holder.here) == ("running", False)
    assert 59 < state.silent_s < time.time() - updated + 1
    os.utime(lock, (0, time.time() - 400))
    assert read_state(folder).state == "died"


@pytest.mark.parametrize(
    ("beat", "ledger", "state", "code"),
    [
        ({"state": "running"}, "part", "died", 1),
        ({"state": "stopped"}, "part", "stopped", 1),
        ({"state": "failed", "error": "disk full"}, "part", "failed", 2),
        ({"state": "done"}, "all", "done", 0),
        ({"state": "done"}, "lossy", "done", 1),
        (None, "part", "stopped", 1),
        (None, "all", "done", 0),
    ],
)
def test_state_and_exit_code_of_a_campaign_that_nobody_works_on(folder, beat, ledger, state, code):
    lines = {
        "part": [done(1, 0, 30)],
        "all": [done(0, 0, 10), done(0, 10, 20), done(1, 0, 30), done(2, 0, 0)],
        "lossy": [done(0, 0, 10), done(0, 10, 20), failed(1, 0, 30), done(2, 0, 0)],
    }
    write_ledger(folder, *lines[ledger])
    if beat is not None:
        write_heartbeat(folder, **beat)
    found = read_state(folder)
    assert (found.state, exit_code(found)) == (state, code)
    if beat and "error" in beat:
        assert found.why == beat["error"]


def _controller(folder, **changes):
    given = {"kind": "process", "id": str(DEAD), "host": platform.node(), "token": "t", "born": 1}
    given |= {"submitted": time.time(), "log": str(folder / "controller.log")} | changes
    record = ControllerRecord(**given)
    record.write(folder)
    return record


def test_a_controller_that_ended_before_it_began_is_told_with_its_log(folder):
    record = _controller(folder)
    assert read_controller(folder) == record
    (folder / "controller.log").write_text("ModuleNotFoundError: no e2edist\n")
    found = read_state(folder)
    assert found.state == "failed"
    assert "no e2edist" in found.why
    _controller(folder, cancelled=True)
    assert read_state(folder).state == "stopped"


def test_the_last_word_of_an_earlier_run_is_not_that_of_a_controller_that_never_began(folder):
    write_heartbeat(folder, state="failed", error="the old reason", started=time.time() - 500)
    _controller(folder)
    (folder / "controller.log").write_text("ModuleNotFoundError: no e2edist\n")
    found = read_state(folder)
    assert found.state == "failed"
    assert "the old reason" not in found.why
    assert "no e2edist" in found.why


def test_a_controller_that_lives_and_has_not_begun_is_starting(folder):
    _controller(folder, id=str(os.getpid()), born=birth(os.getpid()))
    assert read_state(folder).state == "starting"


def test_a_later_run_of_another_kind_makes_the_controller_history(folder):
    _controller(folder, submitted=time.time() - 100)
    write_heartbeat(folder, state="stopped")
    found = read_state(folder)
    assert (found.state, found.controller) == ("stopped", None)


def _batch(tmp_path, monkeypatch, text):
    command = tmp_path / "bin" / "squeue"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f"#!/bin/sh\n{text}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent), prepend=":")


@pytest.mark.parametrize(
    ("squeue", "state"),
    [
        ("echo '7|PENDING|N/A|Priority'", "queued"),
        ("echo '7|RUNNING|2026-11-29T14:30:00|None'", "starting"),
        ("echo '8|RUNNING|2026-11-29T14:30:00|None'", "failed"),
        ("echo down >&2; exit 1", "queued"),
    ],
)
def test_a_controller_job_is_looked_up_in_its_queue(folder, tmp_path, monkeypatch, squeue, state):
    _batch(tmp_path, monkeypatch, squeue)
    _controller(folder, kind="slurm", id="7")
    assert read_state(folder).state == state
    assert read_state(folder, ask_queue=False).state == "queued"


def test_what_a_queued_controller_waits_for_is_told(folder, tmp_path, monkeypatch, capsys):
    _batch(tmp_path, monkeypatch, "echo '7|PENDING|2026-11-29T14:30:00|Priority'")
    _controller(folder, kind="slurm", id="7")
    assert main([str(folder)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "queued as SLURM job 7 - SLURM: Priority, start expected 2026-11-29 14:30" in text


def test_what_queued_workers_wait_for_is_told(folder, capsys):
    pools = {
        "cpu": {"kind": "slurm", "wanted": 2, "queued": 2, "waits_for": "SLURM: Resources"},
        "gpu": {"kind": "slurm", "wanted": 2, "queued": 1, "joined": 1, "waits_for": "SLURM: Priority"},
    }
    with locked(folder):
        write_heartbeat(folder, pid=os.getpid(), pools={"cpu": pools["cpu"]})
        main([str(folder)])
        assert "waiting for workers (SLURM: Resources)" in capsys.readouterr().out
        write_heartbeat(folder, pid=os.getpid(), pools=pools)
        main([str(folder)])
    text = capsys.readouterr().out
    assert "waiting for workers (cpu SLURM: Resources, gpu SLURM: Priority)" in text
    assert "pool gpu: 1 queued (SLURM: Priority)" in text


@pytest.mark.parametrize(
    ("dashboard", "host", "by_ssh", "command"),
    [
        ("http://127.0.0.1:8787/status", "", False, ""),
        ("http://127.0.0.1:8787/status", "", True, "ssh -N -L 8787:127.0.0.1:8787 me@login1"),
        # Only the node itself reaches its loopback, and a laptop knows the node through the login host alone.
        ("http://127.0.0.1:8787/status", "cpu1", True, "ssh -N -J me@login1 -L 8787:127.0.0.1:8787 me@cpu1"),
        ("http://127.0.0.1:8787/status", "cpu1", False, "ssh -N -L 8787:127.0.0.1:8787 me@cpu1"),
        ("http://10.0.0.7:8787/status", "cpu1", True, "ssh -N -L 8787:10.0.0.7:8787 me@login1"),
        ("http://10.0.0.7:8787/status", "cpu1", False, ""),
    ],
)
def test_a_tunnel_leads_from_one_s_own_machine_to_where_the_dashboard_listens(
    dashboard, host, by_ssh, command, monkeypatch
):
    monkeypatch.setattr(platform, "node", lambda: "login1")
    monkeypatch.setenv("USER", "me")
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    if by_ssh:
        monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22")
    assert tunnel_command(dashboard, host) == command


def test_status_prints_the_tunnel_as_submit_does(folder, monkeypatch, capsys):
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22")
    monkeypatch.setenv("USER", "me")
    pools = {"cpu": {"kind": "slurm", "wanted": 2, "dashboard": "http://127.0.0.1:8787/status"}}
    with locked(folder):
        write_heartbeat(folder, pid=os.getpid(), pools=pools)
        main([str(folder)])
    command = f"ssh -N -L 8787:127.0.0.1:8787 me@{platform.node()}"
    assert f"\nfrom your own machine: {command}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("--input 'my data' --output out --fresh", "--input 'my data' --output out"),
        ("--site out/site.resolved.json --access out/access", None),
    ],
)
def test_a_campaign_that_was_stopped_is_told_with_the_line_that_resumes_it(folder, command, line, capsys):
    write_heartbeat(folder, state="stopped")
    run = {"run": 1, "pools": {}, "command": f"python -m e2edist.submit {command}"}
    CampaignFolder(folder).usage.write_text(json.dumps(run) + "\n")
    main([str(folder)])
    said = capsys.readouterr().out
    assert "the same submit does the rest" in said
    found = re.search(r"^next: .*python\S* -m e2edist.submit (.*)$", said, re.MULTILINE)
    assert (found and found[1]) == line


def test_lines_come_with_changes_and_not_with_rates(folder, monkeypatch):
    """In a pipe: a rate alone is no news, and a change is seen within seconds."""
    same = {"state": "running", "pid": os.getpid(), "done_by": {"cpu": 1}, "workers": 1}
    rates = [{"events_per_s": rate, "events_per_s_now": rate} for rate in (5.0, 6.0, 7.0, 8.0)]
    beats = [same | rate for rate in rates]
    console, waits = Console(file=io.StringIO(), width=200), []

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 2:
            write_ledger(folder, done(0, 0, 10))

    def read():
        write_heartbeat(folder, **(beats.pop(0) if beats else {"state": "stopped"}))
        return read_state(folder) if beats else replace(read_state(folder), state="stopped")

    monkeypatch.setattr("e2edist.cli.watch.time.sleep", wait)
    with locked(folder):
        watch(console, folder, read, None)
    assert [line[9:] for line in console.file.getvalue().splitlines()] == [
        "running: 0 of 4 chunks, 0 of 50 events (0.0 %), 5 events/s now, 5 mean",
        "running: 1 of 4 chunks, 10 of 50 events (20.0 %), 7 events/s now, 7 mean",
    ]
    assert max(waits) <= 5


def test_the_heartbeat_says_how_it_ended(folder):

    def content():
        return json.loads((folder / "progress.json").read_text())

    def beat(tracker=None):
        tracker = tracker or ProgressTracker(Progress(4, 50))
        return heartbeat(
            Heartbeat(folder, {"cpu": PoolSpec(workers=3)}, Telemetry("eg", "EGTagger", tracker))
        )

    tracker = ProgressTracker(Progress(4, 50))
    with beat(tracker):
        assert content()["state"] == "running"
        tracker.counts.done = 4
        tracker.publish()
    assert (content()["state"], content()["done"], content()["pools"]["cpu"]["wanted"]) == ("done", 4, 3)
    with beat():
        pass
    assert content()["state"] == "stopped"
    with pytest.raises(OutputError), beat():
        raise OutputError("x", "is full")
    assert (content()["state"], content()["error"]) == ("failed", "x: is full")


def test_a_pool_that_can_not_be_asked_counts_as_empty(folder):
    class Gone:
        name, failure_reason = "cpu", ""

        @property
        def dashboard(self):
            raise OSError("its scheduler is gone")

    telemetry = Telemetry("eg", "EGTagger", ProgressTracker(Progress(4, 50)))
    beat = Heartbeat(folder, {"cpu": PoolSpec()}, telemetry)
    with heartbeat(beat):
        beat.add_pool(Gone())
    (pool,) = json.loads((folder / "progress.json").read_text())["pools"].values()
    assert (pool["queued"], pool["running"], pool["joined"]) == (0, 0, 0)


def test_the_screen_and_the_json_agree(folder, capsys):
    write_ledger(folder, done(0, 0, 10), failed(1, 0, 30))
    assert main([str(folder)]) == 1
    text = capsys.readouterr().out
    assert "2 of 4 ended" in text
    assert "10 of 50 done" in text
    assert "bad basket" in text
    assert "the same submit does the rest" in text
    assert main([str(folder), "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert (facts["counts"]["ended"], facts["counts"]["events_done"]) == (2, 10)
    assert (facts["state"], facts["exit_code"]) == ("stopped", 1)


def test_what_is_watched_ends_with_the_campaign(folder, terminal, tmp_path):
    command = [sys.executable, "-m", "e2edist.status", "--watch", "0.2"]
    write_ledger(folder, done(0, 0, 10))
    with locked(folder):
        write_heartbeat(folder, pid=os.getpid())
        screen = terminal([*command, str(folder)], 80)
        lines = subprocess.Popen([*command, str(folder)], stdout=subprocess.PIPE, text=True)
        events = subprocess.Popen([*command, "--json", str(folder)], stdout=subprocess.PIPE, text=True)
        screen.read(lambda text: "1 of 4 ended" in text and re.search("state +running", text))
        assert " running: 1 of 4 chunks, 10 of 50 events (20.0 %)" in lines.stdout.readline()
        assert json.loads(events.stdout.readline())["state"] == "running"
        write_ledger(folder, done(0, 0, 10), done(0, 10, 20), failed(1, 0, 30))
        assert "running: 3 of 4 chunks, 20 of 50 events (40.0 %), 30 lost" in lines.stdout.readline()
        screen.read(lambda text: "3 of 4 ended" in text)
        write_heartbeat(folder, pid=os.getpid(), state="stopped")
    text = "\n".join(screen.read(lambda text: "the same submit" in text))
    assert text.count("campaign") == 1  # what was drawn before is gone
    assert re.search("state +stopped", text)
    assert re.search("state +stopped", lines.communicate(timeout=20)[0])
    assert json.loads(events.communicate(timeout=20)[0].splitlines()[-1])["exit_code"] == 1
    assert [one.wait(20) for one in (screen.process, lines, events)] == [1, 1, 1]


def test_an_interrupt_ends_the_watching_quietly(folder, terminal):
    with locked(folder):
        write_heartbeat(folder, pid=os.getpid())
        screen = terminal([sys.executable, "-m", "e2edist.status", str(folder), "--watch"], 80)
        screen.read(lambda text: re.search("state +running", text))
        screen.process.send_signal(signal.SIGINT)
        assert screen.process.wait(20) == 130
        assert "Traceback" not in screen.raw.decode()


@pytest.mark.parametrize("words", ["--watch {}", "{} --watch", "--watch=3 {}", "--watch 3 {}"])
def test_the_seconds_of_watch_may_be_left_out(words, folder, capsys):
    write_ledger(folder, done(0, 0, 10), done(0, 10, 20), done(1, 0, 30), done(2, 0, 0))
    assert main(words.format(folder).split()) == 0
    text = capsys.readouterr().out
    assert "4 of 4 ended" in text
    assert re.search(rf"^next: python -m e2edist.report {folder}$", text, re.MULTILINE)


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_watch_waits_some_time(seconds, folder, capsys):
    assert main([f"--watch={seconds}", str(folder)]) == 2
    assert "is no time to wait" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["status", "cancel", "aggregate", "report"])
def test_without_a_folder_that_of_the_workflow_file_is_taken(verb, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder.parent)
    workflow = folder.parent / "campaign.toml"
    workflow.write_text('tagger = "eg"\n')
    run = import_module(f"e2edist.{verb}").main
    assert run([]) == 2
    assert "DIR: is missing, and campaign.toml names no output." in capsys.readouterr().err
    workflow.write_text('output = "out"\n')
    run([])
    said = capsys.readouterr()
    assert f"campaign {folder} of campaign.toml in this folder" in said.out
    assert "is missing" not in said.err
    assert run(["other"]) == 2
    assert f"{folder.parent / 'other'}: " in capsys.readouterr().err


def test_quiet_is_the_state_in_one_line(folder, capsys):
    write_ledger(folder, done(0, 0, 10))
    assert main(["-q", str(folder)]) == 1
    assert capsys.readouterr().out == "stopped: 1 of 4 chunks, 10 of 50 events (20.0 %)\n"


def test_a_hundred_thousand_chunks_are_counted_whatever_else_their_receipts_hold(tmp_path):
    edges = tuple(range(0, 101_000, 1000))
    write_plan(tmp_path, *[edges] * 1000)
    with (tmp_path / "ledger.jsonl").open("w") as stream:
        for file in range(1000):
            stream.writelines(done(file, start, start + 1000, pad="x" * 900) for start in edges[:-1])
    found = read_state(tmp_path)
    assert (found.state, found.counts.ended, found.counts.events_done) == ("done", 100_000, 100_000_000)


def test_ids_of_plan_and_ledger_are_the_chunks_own():
    from e2edist.records.chunk import Chunk

    chunk = Chunk("u", "hits", "a/b c", "id", 1, 9, 2, 5)
    assert chunk.id == chunk_id("id", "a/b c", 2, 5)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", chunk.id)


def test_a_process_has_a_birth_until_it_is_gone_even_if_nobody_has_asked_how_it_ended():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    born = birth(process.pid)
    assert born >= birth(os.getpid()) > 0
    assert birth(process.pid) == born
    process.stdin.close()
    # It is a zombie then; its exit code is not taken.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert birth(process.pid) == 0
    process.wait()
    assert birth(process.pid) == 0


def test_the_log_says_when_workers_come_and_go(folder, caplog):
    numbers = {}

    class Pool:
        name, failure_reason, dashboard = "cpu", "", ""

        def counts(self):
            return numbers

    telemetry = Telemetry("eg", "EGTagger", ProgressTracker(Progress(4, 50)))
    beat = Heartbeat(folder, {"cpu": PoolSpec(workers=2)}, telemetry)
    beat.add_pool(Pool())
    with caplog.at_level("INFO", logger="e2edist"):
        for counts in ((2, 0, 0), (2, 0, 0), (0, 2, 2)):
            numbers.update(zip(("queued", "running", "joined"), counts, strict=True))
            beat._write("running", "")
    assert [record.getMessage() for record in caplog.records] == [
        "pool cpu: of 2 workers 2 queued, 0 running, 0 joined",
        "pool cpu: of 2 workers 0 queued, 2 running, 2 joined",
    ]


def test_pieces_of_a_cut_chunk_are_counted_as_submit_counts_them(tmp_path, capsys):
    folder = tmp_path / "out"
    write_plan(folder, (0, 100, 220))
    write_ledger(folder, done(0, 0, 100), done(0, 200, 220), failed(0, 100, 200))
    main([str(folder)])
    text = capsys.readouterr().out
    assert "2 of 2 ended, in 3 pieces: 2 done, 1 failed" in text
    assert "/data/0.root entries 100-200 (100 events, 3 attempts)" in text
