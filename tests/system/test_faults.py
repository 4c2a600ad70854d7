"""What happens to campaigns: each fault, its end, and every row exactly once against a clean run.

Workers are real processes, and so is what kills them. After each campaign that lost something, the
same line without the fault must give the clean table, bit for bit.
"""

import os
import shutil
import signal
import time

import pytest
import uproot
from lab import CHUNK, ENTRIES, can_mount, mount, small_disk, until
from runs import parts, receipts, table

from e2edist import aggregate

slow = pytest.mark.slow
both_threads = pytest.mark.parametrize("threads", [1, 2])


# ---- workers that die


@pytest.mark.parametrize(
    ("threads", "fork"), [(1, True), pytest.param(2, False, marks=slow), pytest.param(1, False, marks=slow)]
)
def test_workers_killed_anywhere_in_a_chunk_cost_nothing(lab, clean, threads, fork):
    points = ("start", "read", "infer", "write", "draft", "synced", "renamed")
    faults = [
        {"name": at, "at": at, "do": "kill", "file": "a.root", "entry": CHUNK * i, "times": 1}
        for i, at in enumerate(points)
    ]
    code, said = lab.run(faults=faults, workers=2, threads=threads, fork=fork)
    assert code == 0, said
    assert all(lab.hit(at) for at in points)
    assert lab.bad() == []
    lab.holds(clean)


@slow
def test_a_killed_worker_that_takes_long_to_start_again_is_waited_for(lab, clean):
    fault = {"name": "dead", "at": "infer", "do": "kill", "file": "a.root", "entry": 0, "times": 1}
    # Longer than Dask waits by default before it gives such a worker up.
    code, said = lab.run(faults=[fault], workers=1, env={"E2E_IMPORT": "17"})
    assert code == 0, said
    assert lab.hit("dead")
    lab.holds(clean)


@slow
@pytest.mark.parametrize("threads", [1, 2])
def test_an_entry_that_crashes_and_one_that_raises_are_all_that_is_lost(lab, clean, clean_folder, threads):
    faults = [
        {"at": "infer", "do": "abort", "file": "a.root", "entry": 42},
        {"at": "read", "do": "raise", "file": "b.root", "entry": 77},
    ]
    code, said = lab.run(faults=faults, workers=2, threads=threads, fork=True)
    lost = [("a.root", 42, 43), ("b.root", 77, 78)]
    assert code == 1
    assert "1.042 % of the events failed" in said
    assert lab.bad() == lost
    assert any("its worker died" in reason for reason in lab.reasons())
    assert any("ValueError: an odd value" in reason for reason in lab.reasons())
    lab.holds(clean, without=lost)
    # A worker that was cut off writes the whole chunk late, beside the halves that were made of it.
    late = next(
        p for p in parts(clean_folder) if p.stem.endswith("-40-48") and p.name[:32] in _uuid(lab, "a")
    )
    shutil.copy(late, lab.out / "predictions")
    lab.completes(clean)


def _uuid(lab, letter):
    with uproot.open(lab.source / f"{letter}.root") as file:
        return file.file.uuid.hex


@slow
def test_of_200_chunks_with_one_that_crashes_only_its_entry_is_lost(lab, chunky, tmp_path):
    chunky(tmp_path / "many", 800, 4, files=1)
    lab.source = tmp_path / "many"
    fault = {"at": "infer", "do": "abort", "entry": 402}
    code, said = lab.run("--chunk-events", 4, faults=[fault], workers=2)
    ((name, start, stop),) = lab.bad()
    assert (code, start, stop) == (1, 402, 403), said
    assert len(receipts(lab.out)) == 199 + 2  # 400-402 and 403-404 are what was left of the guilty one
    log = (lab.out / "submit.log").read_text()
    # The others: at most dragged along, never tried again for an error of theirs, never halved.
    assert {line.split()[4].rpartition("Events-")[2] for line in log.splitlines() if "halve" in line} == {
        "400-404:",
        "402-404:",
    }
    assert " ERROR " in log
    assert log.count(" ERROR ") == 1
    code, said = lab.run("--max-bad-fraction", 0.01, "--chunk-events", 4, faults=[fault], fork=True)
    assert code == 0, said
    assert lab.bad() == [(name, 402, 403)]


@slow
@both_threads
def test_a_worker_that_hangs_is_stopped_and_its_chunk_done(lab, clean, threads):
    faults = [
        {"name": "stop", "at": "infer", "do": "stop", "file": "a.root", "entry": 20, "times": 1},
        {
            "name": "long",
            "at": "read",
            "do": "sleep",
            "seconds": 600,
            "file": "b.root",
            "entry": 50,
            "times": 1,
        },
    ]
    code, said = lab.run("--chunk-limit-min", 0.1, faults=faults, workers=2, threads=threads, fork=True)
    assert code == 0, said
    assert lab.hit("stop")
    assert lab.hit("long")
    lab.holds(clean)


@slow
def test_an_entry_without_end_is_all_that_is_lost(lab, clean):
    fault = {"at": "read", "do": "sleep", "seconds": 600, "file": "a.root", "entry": 3}
    code, said = lab.run("--chunk-limit-min", 0.06, faults=[fault], workers=2, fork=True)
    lost = [("a.root", 3, 4)]
    assert (code, lab.bad()) == (1, lost), said
    assert "it ran for more than 4 s" in lab.reasons()[0]
    lab.holds(clean, without=lost)
    lab.completes(clean)


@slow
@both_threads
def test_a_chunk_that_needs_too_much_memory_is_halved_until_it_fits(lab, clean, threads):
    faults = [{"name": "bomb", "at": "infer", "do": "bomb", "file": "a.root", "entry": 9, "above": 4}]
    code, said = lab.run(faults=faults, threads=threads, fork=True, site="memory_gib = 1.0")
    assert code == 0, said
    assert lab.hit("bomb")
    lab.holds(clean)
    assert [r["id"] for r in receipts(lab.out) if r["events"] == CHUNK // 2]


# ---- errors that pass and errors that stay


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=slow)])
def test_errors_that_pass_leave_no_trace(lab, clean, threads):
    kinds = {
        "ENOSPC": "draft",
        "EIO": "write",
        "ESTALE": "synced",
        "EDQUOT": "renamed",
        "memory": "infer",
        "raise": "infer",
        "ETIMEDOUT": "read",
    }
    faults = [
        {"name": do, "at": at, "do": do, "file": "b.root", "entry": CHUNK * i, "times": 1}
        for i, (do, at) in enumerate(kinds.items())
    ]
    code, said = lab.run(faults=faults, threads=threads)
    assert code == 0, said
    assert all(lab.hit(do) for do in kinds)
    lab.holds(clean)


@slow
@pytest.mark.parametrize("kind", ["ENOSPC", "EIO", "ESTALE"])
def test_an_output_that_stays_unwritable_stops_the_campaign_and_loses_nothing(lab, clean, kind):
    fault = {"at": "draft", "do": kind, "file": "b.root", "entry": 60}
    code, said = lab.run(faults=[fault])
    assert code == 2
    assert os.strerror(getattr(__import__("errno"), kind)) in said
    assert parts(lab.out)
    lab.completes(clean)


needs_mount = pytest.mark.skipif(not can_mount(), reason="needs to be root to mount a RAM disk")


@slow
@needs_mount
def test_a_full_output_disk_stops_the_campaign_and_with_more_room_it_goes_on(lab, clean):
    with small_disk(lab.out, "160k"):
        code, said = lab.run()
        assert code == 2, said
        assert "No space left on device" in said
        assert 0 < len(parts(lab.out)) < 24
        mount("-o", "remount,size=100m", lab.out)
        lab.completes(clean)


@slow
@needs_mount
def test_an_output_folder_that_becomes_read_only_stops_the_campaign(lab, clean):
    hold = {
        "name": "hold",
        "at": "read",
        "do": "wait",
        "file": "b.root",
        "entry": 8,
        "until": str(lab.folder / "go"),
    }
    (lab.out / "predictions").mkdir(parents=True)
    with small_disk(lab.out / "predictions", "10m"):
        process = lab.start(faults=[hold])
        until(lambda: lab.hit("hold"))
        mount("-o", "remount,ro", lab.out / "predictions")
        (lab.folder / "go").touch()
        code, said = lab.end(process)
        assert code == 2, said
        assert "Read-only file system" in said
        mount("-o", "remount,rw", lab.out / "predictions")
        lab.completes(clean)


@slow
@needs_mount
def test_a_full_scratch_disk_is_named(lab, clean):
    with small_disk(lab.folder / "scratch", "64k"):
        (lab.folder / "scratch" / "ballast").write_bytes(bytes(60 * 1024))
        code, said = lab.run(env={"TMPDIR": str(lab.folder / "scratch")})
        assert code in (0, 2), said
        if code == 2:
            assert "No space left" in said
    lab.completes(clean)


# ---- inputs and models that change


def _copied(lab, source, names):
    lab.source = lab.folder / "source"
    lab.source.mkdir()
    for name, old in names.items():
        shutil.copy(source / old, lab.source / name)


@slow
@both_threads
def test_inputs_cut_replaced_or_deleted_midway_are_given_up_and_nothing_else(
    lab, chunky, source, clean, threads
):
    """All of b changes in three ways, one after the other; a is done."""
    _copied(lab, source, {"a.root": "a.root", "b.root": "b.root"})
    other = chunky(lab.folder / "other", ENTRIES, CHUNK, files=1, seed=5)[0]
    go, b = lab.folder / "go", lab.source / "b.root"
    hold = {"name": "hold", "at": "read", "do": "wait", "file": "b.root", "until": str(go)}
    process = lab.start(faults=[hold], workers=1, threads=threads)
    until(lambda: lab.hit("hold"))
    os.truncate(b, b.stat().st_size // 2)
    go.touch()
    code, said = lab.end(process)
    lost = [("b.root", i, i + CHUNK) for i in range(0, ENTRIES, CHUNK)]
    assert (code, lab.bad()) == (1, lost), said
    assert all("is cut short" in reason for reason in lab.reasons())
    lab.holds(clean, without=lost)
    shutil.copy(other, b)
    code, said = lab.run(threads=threads)
    assert (code, lab.bad()) == (1, lost), said
    assert all("changed since it was planned" in reason for reason in lab.reasons())
    b.unlink()
    code, said = lab.run(threads=threads)
    assert code == 2
    assert f"1 inputs are missing, as {b}" in said
    shutil.copy(source / "b.root", b)
    lab.completes(clean)


@slow
@pytest.mark.parametrize("codec", ["ZLIB", "LZ4"])
def test_flipped_bits_cost_their_basket_and_nothing_else(lab, chunky, monkeypatch, codec):
    pack = getattr(uproot, codec)
    monkeypatch.setattr(uproot, "ZSTD", lambda _: pack(1))
    (path,) = chunky(lab.folder / "flipped", ENTRIES, CHUNK, files=1)
    lab.source = lab.folder / "flipped"
    code, said = lab.run("--chunk-events", 24)
    assert code == 0, said
    whole = table(lab.out)
    with uproot.open(path) as file:
        branch = file["Events/EBRecHit_detid"]  # the energies are too random to be compressed
        place = branch.member("fBasketSeek")[5] + branch.member("fBasketBytes")[5] // 2
    shutil.copy(path, lab.folder / "sound.root")
    content = bytearray(path.read_bytes())
    content[place : place + 8] = bytes(byte ^ 255 for byte in content[place : place + 8])
    path.write_bytes(content)
    code, said = lab.run("--fresh", "--chunk-events", 24)
    lost = [(path.name, 40, 48)]
    assert (code, lab.bad()) == (1, lost), said
    lab.holds(whole, without=lost)
    code, said = lab.run("--chunk-events", 24, "--max-bad-fraction", 0.1)
    assert (code, lab.bad()) == (0, lost), said
    shutil.copy(lab.folder / "sound.root", path)
    lab.completes(whole, "--chunk-events", 24)


@slow
def test_a_model_deleted_midway_stops_the_campaign_and_restored_it_goes_on(lab, clean, tiny_model):
    lab.model = lab.folder / "eg.onnx"
    shutil.copy(tiny_model, lab.model)
    go = lab.folder / "go"
    faults = [
        {"name": "hold", "at": "read", "do": "wait", "file": "a.root", "entry": 40, "until": str(go)},
        {"at": "infer", "do": "kill", "file": "a.root", "entry": 40, "times": 1},
    ]
    process = lab.start(faults=faults)
    until(lambda: lab.hit("hold"))
    lab.model.unlink()
    go.touch()
    code, said = lab.end(process)
    assert code == 2, said
    assert "eg.onnx" in said
    code, said = lab.run()
    assert code == 2, said
    shutil.copy(tiny_model, lab.model)
    lab.completes(clean)


# ---- time


@slow
@pytest.mark.parametrize("jump", [86400, -86400])
def test_a_clock_that_jumps_changes_nothing(lab, clean, jump):
    slow_down = {"at": "start", "do": "sleep", "seconds": 0.3}
    code, said = lab.run(faults=[slow_down], threads=2, env={"E2E_CLOCK": f"6:{jump}"})
    assert code == 0, said
    lab.holds(clean)


# ---- drivers


@pytest.mark.parametrize(
    ("number", "times", "wanted"),
    [
        pytest.param(signal.SIGKILL, 1, -signal.SIGKILL, marks=slow),
        pytest.param(signal.SIGINT, 1, 130, marks=slow),
        pytest.param(signal.SIGINT, 2, 130, marks=slow),
        pytest.param(signal.SIGTERM, 1, 130, marks=slow),
    ],
    ids=["SIGKILL", "SIGINT", "SIGINT twice", "SIGTERM"],
)
def test_a_driver_that_is_stopped_leaves_whole_parts_and_no_process(lab, clean, number, times, wanted):
    hang = {"name": "hang", "at": "read", "do": "sleep", "seconds": 600, "file": "b.root", "entry": 16}
    process = lab.start(faults=[hang], threads=2)
    until(lambda: lab.hit("hang") and parts(lab.out))
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.3)
    code, said = lab.end(process)  # a hanging chunk is waited for, for half a minute
    assert code == wanted, said
    before = {path: path.stat().st_mtime_ns for path in parts(lab.out)}
    assert before
    lab.completes(clean)
    assert {path: path.stat().st_mtime_ns for path in before} == before  # nothing was made twice


@slow
def test_a_second_submit_is_refused_with_host_and_pid_and_a_dead_ones_lock_is_taken(lab, clean):
    go = lab.folder / "go"
    hold = {"name": "hold", "at": "read", "do": "wait", "file": "a.root", "entry": 0, "until": str(go)}
    first = lab.start(faults=[hold])
    until(lambda: lab.hit("hold"))
    code, said = lab.run()
    assert code == 2
    assert f"another submit works on it: pid {first.pid} on {os.uname().nodename}" in said
    assert first.poll() is None
    first.send_signal(signal.SIGKILL)
    lab.end(first)
    assert str(first.pid) in (lab.out / ".lock").read_text()
    go.touch()
    lab.completes(clean)


# ---- what lies on disk


@slow
def test_ledger_and_parts_that_are_lost_cut_or_damaged_come_back(lab, clean, clean_folder, capsys):
    shutil.copytree(clean_folder, lab.out)
    ledger = lab.out / "ledger.jsonl"
    content = ledger.read_bytes()
    ledger.write_bytes(content[: len(content) * 2 // 3])
    lab.completes(clean)
    ledger.unlink()
    lab.completes(clean)
    assert len(ledger.read_bytes().splitlines()) == 24
    deleted, cut, flipped = parts(lab.out)[3:6]
    deleted.unlink()
    os.truncate(cut, cut.stat().st_size // 2)
    damaged = bytearray(flipped.read_bytes())
    damaged[200] ^= 16
    flipped.write_bytes(damaged)
    assert aggregate.main([str(lab.out), "--verify"]) == 1
    said = " ".join(capsys.readouterr())
    assert "2 parts damaged" in said
    assert aggregate.main([str(lab.out), "--verify", "--discard"]) == 1
    lab.completes(clean)
    assert aggregate.main([str(lab.out), "--verify"]) == 0
