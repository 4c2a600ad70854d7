"""Tries, other servers, and the cache that the workers of a node share."""

import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from slowfs import SlowFS, fake_root

from e2edist.errors import BranchError, ChangedFileError, InputError, ResourceError
from e2edist.storage import _remote_files, _servers, read_inputs
from e2edist.storage.read_inputs import InputOptions, attempts_of, read_input, stage

MIB = 2**20
HERE = Path(__file__).resolve().parent


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """Every place is alike for these urls, and nobody remembers a warning."""
    monkeypatch.setattr(_servers, "replicas", lambda url, others: [url, *others])
    monkeypatch.setattr(read_inputs, "_warned", set())
    monkeypatch.setattr(SlowFS, "faults", [])
    monkeypatch.setattr(SlowFS, "dead", set())


@pytest.fixture
def options(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return InputOptions(stage="always", scratch=str(scratch), cache_gib=1.0, backoff_s=0.001)


@pytest.fixture
def source(tmp_path):
    return fake_root(tmp_path / "a.root", 3 * MIB)


def cached(options):
    """Return what lies in the cache, drafts too and locks not."""
    (folder,) = Path(options.scratch).glob("e2edist-inputs-*")
    return {path.name: path.stat().st_size for path in folder.iterdir() if not path.name.endswith(".lock")}


def worker(options, urls, hold=0.0, **environ):
    """Start a process that stages `urls`."""
    path = os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, str(HERE.parent / "slowfs.py"), options.scratch, str(options.cache_gib), str(hold)]
        + [f"slow://{url}" for url in urls],
        env=os.environ | {"PYTHONPATH": path} | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(processes):
    for process in processes:
        _, faults = process.communicate(timeout=60)
        assert process.returncode == 0, faults


def wait_for(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def size(path):
    return Path(path).stat().st_size


def read_head(path):
    """Read as a reader would, with its kind of error."""
    return _remote_files.connect(path, 1.0).read(0, 1000)


# --- where a file is read from


def test_a_path_is_read_as_it_is(source):
    for name in (str(source), f"file://{source}"):
        assert read_input(name, InputOptions(), str) == str(source)


def test_a_path_is_not_tried_twice_and_its_error_is_about_the_name_given(tmp_path):
    calls = []

    def use(path):
        calls.append(path)
        raise InputError(f"{path}:Events", "can't be read", retryable=True)

    with pytest.raises(InputError, match=r"file:///.*/a%20b.root:Events: can't be read") as raised:
        read_input(f"file://{tmp_path}/a%20b.root", InputOptions(), use)
    assert calls == [f"{tmp_path}/a b.root"]
    assert len(attempts_of(raised.value)) == 1


def test_a_try_that_fails_is_repeated_after_growing_pauses(source, monkeypatch):
    pauses = []
    monkeypatch.setattr(_servers.time, "sleep", pauses.append)
    SlowFS.faults[:] = [OSError("reset"), TimeoutError("slow")]
    options = InputOptions(backoff_s=10.0)
    assert len(read_input(f"slow://{source}", options, read_head)) == 1000
    pauses = [pause for pause in pauses if pause]  # the file system's own are of 0 s
    assert 5 <= pauses[0] <= 15
    assert 10 <= pauses[1] <= 30


def test_the_next_server_is_asked_when_one_is_dead(source):
    SlowFS.dead.add("/gone.root")
    options = InputOptions(redirectors=(f"slow://{source}",), tries=2, backoff_s=0.001)
    tried = []

    def size_noted(path):
        tried.append(path)
        return size_of_url(path)

    assert read_input("slow:///gone.root", options, size_noted) == 3 * MIB
    assert tried == ["slow:///gone.root", "slow:///gone.root", f"slow://{source}"]


def size_of_url(path):
    return _remote_files.connect(path, 1.0).size


def test_the_error_names_every_try_and_gives_them_as_data():
    SlowFS.dead.update({"/a.root", "/b.root"})
    options = InputOptions(redirectors=("slow:///b.root",), tries=3, backoff_s=0.001)
    with pytest.raises(InputError) as raised:
        read_input("slow:///a.root", options, size_of_url)
    error = pickle.loads(pickle.dumps(raised.value))
    assert error.where == "slow:///a.root"
    for url in ("slow:///a.root", "slow:///b.root"):
        assert f"tried to open {url} 3 times (can't be reached (ConnectionError: no route to host))" in str(
            error
        )
    assert [one.url for one in attempts_of(error)] == ["slow:///a.root"] * 3 + ["slow:///b.root"] * 3


@pytest.mark.parametrize("kind", [BranchError, ResourceError])
def test_what_no_server_can_change_is_not_tried_again(source, kind):
    calls = []

    def use(path):
        calls.append(path)
        raise kind(path, "has no branch pt")

    with pytest.raises(kind, match="has no branch pt"):
        read_input(f"slow://{source}", InputOptions(redirectors=("slow:///b",)), use)
    assert len(calls) == 1


def test_a_bad_copy_at_one_server_leads_to_the_next_without_a_second_try(source):
    calls = []

    def use(path):
        calls.append(path)
        if path.endswith("old.root"):
            raise ChangedFileError(path, "changed")
        return path

    options = InputOptions(redirectors=(f"slow://{source}",))
    assert read_input("slow:///old.root", options, use) == f"slow://{source}"
    assert len(calls) == 2
    with pytest.raises(ChangedFileError):
        read_input("slow:///old.root", InputOptions(), use)


def test_a_logical_name_needs_redirectors():
    with pytest.raises(InputError, match="redirectors"):
        read_input("/store/none/a.root", InputOptions(), str)


@pytest.mark.parametrize(("url", "extra"), [("root://h//a.root", "xrootd"), ("https://h/a.root", "http")])
def test_a_missing_package_is_named_with_its_extra(monkeypatch, url, extra):
    monkeypatch.setattr(_remote_files, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=rf"not installed .*pip install .*\[{extra}\]"):
        read_input(url, InputOptions(), str)


# --- copies


def test_eight_processes_fetch_a_file_once(source, options, tmp_path):
    notes = tmp_path / "notes"
    finish([worker(options, [source], SLOWFS_JOURNAL=str(notes), SLOWFS_DELAY="0.3") for _ in range(8)])
    assert len(notes.read_text().splitlines()) == 1
    assert list(cached(options).values()) == [3 * MIB]


def test_eight_threads_fetch_a_file_once(source, options, tmp_path, monkeypatch):
    monkeypatch.setattr(SlowFS, "journal", str(tmp_path / "notes"))
    monkeypatch.setattr(SlowFS, "delay", 0.1)

    def one(_):
        return read_input(f"slow://{source}", options, size)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(8))) == [3 * MIB] * 8
    assert len((tmp_path / "notes").read_text().splitlines()) == 1


def test_a_killed_download_is_taken_over_by_who_waits_for_it(source, options, tmp_path):
    notes = tmp_path / "notes"
    first = worker(options, [source], SLOWFS_JOURNAL=str(notes), SLOWFS_DELAY="60")
    wait_for(notes.exists)
    second = worker(options, [source], SLOWFS_JOURNAL=str(notes))
    time.sleep(1.0)
    assert second.poll() is None
    assert [name.endswith(".draft") for name in cached(options)] == [True]
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    finish([second])
    assert [name.endswith("a.root") for name in cached(options)] == [True]


def test_what_a_killed_download_left_is_swept_by_the_next(source, options, tmp_path):
    notes = tmp_path / "notes"
    first = worker(options, [source], SLOWFS_JOURNAL=str(notes), SLOWFS_DELAY="60")
    wait_for(notes.exists)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    other = fake_root(tmp_path / "b.root", MIB)
    # 3.5 MiB hold the rest of the killed one, or this one.
    with stage(f"slow://{other}", replace(options, cache_gib=3.5 / 1024)) as path:
        assert list(cached(options)) == [path.name]


def test_a_download_that_runs_is_not_swept(source, options, tmp_path):
    notes = tmp_path / "notes"
    first = worker(options, [source], SLOWFS_JOURNAL=str(notes), SLOWFS_DELAY="2")
    wait_for(notes.exists)
    with stage(f"slow://{fake_root(tmp_path / 'b.root', MIB)}", options):
        assert sorted(cached(options).values()) == [MIB, 3 * MIB]
    finish([first])


def test_the_bound_holds_while_many_processes_copy_and_evict(options, tmp_path):
    files = [fake_root(tmp_path / f"f{i}.root", MIB, mark=i) for i in range(10)]
    options = replace(options, cache_gib=5.5 / 1024)
    seen, done = [], threading.Event()

    def sizes():
        found = {}
        for path in Path(options.scratch).glob("e2edist-inputs-*/*"):
            with suppress(FileNotFoundError):
                found[path] = path.stat().st_size
        return found

    def watch():
        # A listing is no moment: it may see a file that goes, and the one that comes in its place.
        while not done.wait(0.005) or not seen:
            if (found := sizes()) == sizes():
                seen.append(sum(found.values()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        orders = [files, files[::-1], files[5:] + files[:5], files[::2] + files[1::2]]
        finish([worker(options, order * 3, hold=0.01) for order in orders])
    finally:
        done.set()
        watcher.join()
    assert max(seen) <= 5.5 * MIB
    assert sum(cached(options).values()) <= 5.5 * MIB
    assert len(cached(options)) == 5


def test_a_file_in_use_is_never_evicted_and_others_are_read_in_place_meanwhile(options, tmp_path, caplog):
    first, second = (fake_root(tmp_path / name, MIB) for name in ("a.root", "b.root"))
    options = replace(options, cache_gib=1.5 / 1024)
    with stage(f"slow://{first}", options) as path, caplog.at_level(logging.WARNING):
        with pytest.raises(ResourceError, match="no room"), stage(f"slow://{second}", options):
            pass
        for _ in range(3):
            assert read_input(f"slow://{second}", options, str) == f"slow://{second}"
        assert size(path) == MIB
    assert [record.getMessage()[:25] for record in caplog.records] == ["inputs are read in place:"]
    with stage(f"slow://{second}", options) as path:
        assert list(cached(options)) == [path.name]


def test_the_least_recently_used_goes_first(options, tmp_path):
    files = [fake_root(tmp_path / f"f{i}.root", MIB) for i in range(4)]
    options = replace(options, cache_gib=3.5 / 1024)
    for name in (0, 1, 2, 0, 3):
        with stage(f"slow://{files[name]}", options):
            time.sleep(0.02)
    assert {name[-7:] for name in cached(options)} == {"f0.root", "f2.root", "f3.root"}


def test_a_file_larger_than_the_cache_is_read_in_place(source, options, caplog):
    with caplog.at_level(logging.WARNING):
        found = read_input(f"slow://{source}", replace(options, cache_gib=1 / 1024), str)
    assert found == f"slow://{source}"
    assert "larger than the whole cache" in caplog.text
    assert cached(options) == {}


def test_a_disk_quota_leads_to_reading_in_place(source, options):
    process = worker(options, [source], SLOWFS_LIMIT=str(MIB))
    _, faults = process.communicate(timeout=60)
    assert "ScratchError" in faults
    assert "File too large" in faults
    assert cached(options) == {}


@pytest.fixture
def tiny_disk(tmp_path):
    """Give a real disk of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root; the quota test covers the same path")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_evicts_and_then_reads_in_place(tiny_disk, options, tmp_path, caplog):
    first = fake_root(tmp_path / "a.root", 2 * MIB)
    second = fake_root(tmp_path / "b.root", 3 * MIB)
    options = replace(options, scratch=str(tiny_disk))
    with stage(f"slow://{first}", options):
        pass
    with stage(f"slow://{second}", options) as path:
        assert list(cached(options)) == [path.name]
    (tiny_disk / "somebody's").write_bytes(bytes(MIB - 65536))
    third = fake_root(tmp_path / "c.root", 7 * MIB // 2)
    with caplog.at_level(logging.WARNING):
        assert read_input(f"slow://{third}", options, str) == f"slow://{third}"
    assert "no room" in caplog.text


def test_a_disk_that_fills_while_copying_leaves_nothing_behind(tiny_disk, options, tmp_path, monkeypatch):
    source = fake_root(tmp_path / "a.root", 3 * MIB)
    options = replace(options, scratch=str(tiny_disk))
    answer = SlowFS.cat_file

    def fill_then_answer(self, path, start=None, end=None, **rest):
        if end - start > 20:
            (tiny_disk / "somebody's").write_bytes(bytes(2 * MIB))
        return answer(self, path, start, end, **rest)

    monkeypatch.setattr(SlowFS, "cat_file", fill_then_answer)
    assert read_input(f"slow://{source}", options, str) == f"slow://{source}"
    assert cached(options) == {}


@pytest.mark.parametrize("scratch", ["/nowhere/at/all", "$E2EDIST_NOT_SET/tmp", "/proc"])
def test_a_useless_scratch_is_no_reason_to_fail(source, options, scratch):
    assert read_input(f"slow://{source}", replace(options, scratch=scratch), size_of_url) == 3 * MIB


def test_scratch_may_name_a_variable_of_the_worker(source, options, monkeypatch):
    monkeypatch.setenv("E2EDIST_SCRATCH", options.scratch)
    with stage(f"slow://{source}", replace(options, scratch="$E2EDIST_SCRATCH")) as path:
        assert str(path).startswith(options.scratch)


@pytest.mark.parametrize("fault", [OSError("reset"), 1000, 0])
def test_a_copy_that_breaks_is_made_again(source, options, fault):
    SlowFS.faults[:] = [fault]
    path, content = read_input(f"slow://{source}", options, lambda path: (path, Path(path).read_bytes()))
    assert path.startswith(options.scratch)
    assert content == source.read_bytes()
    assert SlowFS.faults == []


def test_a_file_that_is_cut_at_its_server_is_not_copied(options, tmp_path):
    source = fake_root(tmp_path / "a.root", MIB)
    os.truncate(source, MIB - 1000)
    with pytest.raises(InputError, match="cut short") as raised:
        read_input(f"slow://{source}", options, str)
    assert len(attempts_of(raised.value)) == 1
    page = tmp_path / "login.root"
    page.write_text("<html>please log in to read this file</html>")
    with pytest.raises(InputError, match="is not a ROOT file"):
        read_input(f"slow://{page}", options, str)
    assert cached(options) == {}


def test_a_damaged_copy_is_fetched_again(source, options):
    with stage(f"slow://{source}", options) as path:
        pass
    os.truncate(path, MIB)
    with stage(f"slow://{source}", options) as path:
        assert size(path) == 3 * MIB


def test_a_copy_of_an_older_file_is_replaced_once(options, tmp_path):
    source = fake_root(tmp_path / "a.root", MIB)
    read_input(f"slow://{source}", options, size)
    fake_root(source, 2 * MIB)

    def use(path):
        if size(path) != 2 * MIB:
            raise ChangedFileError(path, f"size was {2 * MIB}")
        return path

    read_input(f"slow://{source}", options, use)
    assert list(cached(options).values()) == [2 * MIB]
    source = fake_root(source, 3 * MIB)
    with stage(f"slow://{source}", options):
        pass  # it is still the old copy: nobody asked whether it is the right one

    def never(path):
        raise ChangedFileError(path, "size was 1")

    with pytest.raises(ChangedFileError) as raised:
        read_input(f"slow://{source}", options, never)
    assert raised.value.where == f"slow://{source}"
    assert list(cached(options).values()) == [3 * MIB]


def test_fallback_copies_only_what_cannot_be_read_in_place(source, options):
    options = replace(options, stage="fallback", tries=2)
    url = f"slow://{source}"
    assert read_input(url, options, str) == url

    def use(path):
        if path == url:
            raise InputError(path, "can't be read", retryable=True)
        return path

    assert read_input(url, options, use).startswith(options.scratch)
    assert len(cached(options)) == 1

    def damaged(path):
        raise InputError(path, "has no TTree")

    with pytest.raises(InputError, match="has no TTree") as raised:
        read_input(url, options, damaged)
    assert len(attempts_of(raised.value)) == 1


def test_remote_stages_urls_and_leaves_paths_alone(source, options):
    options = replace(options, stage="remote")
    assert read_input(str(source), options, str) == str(source)
    assert read_input(f"slow://{source}", options, str).startswith(options.scratch)
    assert read_input(str(source), replace(options, stage="always"), str).startswith(options.scratch)


def test_planning_reads_in_place(options):
    assert options.in_place().stage == "never"
    assert replace(options, stage="fallback").in_place().stage == "fallback"


def test_many_entries_can_be_held_at_once(options, tmp_path):
    with ExitStack() as held:
        paths = [
            held.enter_context(stage(f"slow://{fake_root(tmp_path / f'{i}.root', 1000)}", options))
            for i in range(20)
        ]
        assert all(size(path) == 1000 for path in paths)


def test_of_a_wrong_copy_and_a_server_that_may_come_back_the_server_is_remembered(source, options):
    options = replace(options, tries=1, redirectors=("https://b.example",))

    def use(path):
        if "a.example" in path:
            raise InputError(path, "does not answer", retryable=True)
        raise InputError(path, "is cut short")

    with pytest.raises(InputError) as caught:
        read_input("https://a.example/x.root", options, use)
    assert caught.value.retryable
    assert len(attempts_of(caught.value)) == 2
